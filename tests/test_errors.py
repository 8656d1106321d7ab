"""The exceptions: one tree, fields that stay, one line for people, the same record for programs."""

from __future__ import annotations

import copy
import pickle

import pytest

import ocirun
from ocirun import errors
from ocirun.errors import ConfigError, HookError, HostError, OcirunError, Problem, StateError, StepError

CLASSES = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, OcirunError)),
    key=lambda kind: kind.__name__,
)


def example(kind: type[OcirunError]) -> OcirunError:
    """An error of a class with every field set."""
    if kind is ConfigError:
        warning = Problem("/b", "odd", warning=True)
        return ConfigError(
            [Problem("/a/0", "is wrong", expected="right", found="wrong"), warning], path="/x/config.json"
        )
    if issubclass(kind, StepError):
        error = kind(
            "mount",
            index=7,
            actor="init",
            pointer="/mounts/1",
            operation="attach",
            call="move_mount",
            errno=22,
            remedy="x",
        )
    elif kind is StateError:
        error = StateError("cannot", status="running", remedy="wait")
    else:
        error = kind("failed", pointer="/p", call="open", errno=2, remedy="try")
    if isinstance(error, HookError):
        error.kind, error.hook_index, error.exit_code, error.output = "prestart", 3, 5, "said"
    return error


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_are_whole(kind: type[OcirunError], through: object) -> None:
    """Process pools and asyncio hand errors on by pickling."""
    error = example(kind)
    again = through(error)  # type: ignore[operator]
    assert type(again) is kind
    assert (str(again), again.args, again.record()) == (str(error), error.args, error.record())
    fields = {name: value for name, value in vars(error).items() if name != "problems"}
    assert {name: value for name, value in vars(again).items() if name != "problems"} == fields
    if isinstance(error, ConfigError):
        assert [one.record() for one in again.problems] == [one.record() for one in error.problems]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_record_and_line(kind: type[OcirunError]) -> None:
    error = example(kind)
    record = error.record()
    assert record["code"] == kind.code
    assert all(record.values()), "what is not known is not there"
    assert str(error) == error.line()
    assert "\n" not in error.line()
    for field in ("pointer", "operation", "call", "errno", "remedy"):
        assert record.get(field, getattr(error, field)) == getattr(error, field)


def test_one_tree_and_all_of_it_is_public() -> None:
    for kind in CLASSES:
        assert issubclass(kind, OcirunError)
        assert getattr(ocirun, kind.__name__) is kind
    codes = [kind.code for kind in CLASSES]
    assert len(set(codes)) == len(codes)


def test_error_of_the_system_names_the_path_of_its_call() -> None:
    """The path is that of the call that failed, where the words before it are about something larger."""
    missing = OSError(2, "x", ".state.json.7")
    assert (
        HostError.from_os("state of web", missing).message == "state of web: .state.json.7: no such file or directory"
    )
    assert HostError.from_os("open /a/.state.json.7", missing).message.count("state.json") == 1
    renamed = OSError(13, "x", ".state.json.7", None, "state.json")
    assert HostError.from_os("state of web", renamed).message == "state of web: state.json: permission denied"
    assert HostError.from_os("read it", OSError(5, "x")).message == "read it: input/output error"
    assert HostError.from_os("read it", OSError(5, "x", 3)).message == "read it: input/output error"
    assert HostError.from_os("open", OSError(5, "x", b"/a\xff")).message == "open: /a\udcff: input/output error"
