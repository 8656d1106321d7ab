"""What the API promises: whatever the system refuses is an OcirunError, out of every public function."""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import pkgutil

import pytest

import ocirun
from ocirun import aio, container, containers, errors
from ocirun._base import boundary
from ocirun.runs import async_process, container_files, in_new_container
from ocirun.state import stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .conftest import Make

CLASSES = (
    *(container.Container, container_files.ContainerFiles, stored.StoredContainer),
    *(ocirun.Pool, ocirun.Prepared, ocirun.Process, ocirun.Snapshot, async_process.Process),
)
FUNCTIONS = (
    *(ocirun.run, ocirun.delete, ocirun.explain, ocirun.list_ids, ocirun.list_states, aio.run, aio.run_in, aio.wait),
    *(containers.run_container, containers.restore, containers.read_process, ocirun.cleanup),
    *(ocirun.sandbox, ocirun.save_config),
)


def test_every_public_name_is_there() -> None:
    for name in dir(ocirun):
        getattr(ocirun, name)
    assert pkgutil.get_data("ocirun", "py.typed") is not None


def test_every_public_function_keeps_it() -> None:
    for function in FUNCTIONS:
        assert hasattr(function, "__wrapped__"), function
    for cls in CLASSES:
        for name, value in vars(cls).items():
            inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(inner) and not name.startswith("_"):
                assert hasattr(inner, "__wrapped__"), f"{cls.__name__}.{name}"
    # Nothing public but these, the errors, and what only holds values.
    values = ("Change", "Changes", "Outcome", "Usage", "CreateOptions", "ExecOptions", "Problem", "SPEC_VERSION")
    values += ("Learned", "RefusedCall")
    for name in dir(ocirun):
        thing = getattr(ocirun, name, None)
        if name.startswith("_") or name in values or not callable(thing):
            continue
        is_error = inspect.isclass(thing) and issubclass(thing, ocirun.OcirunError)
        assert is_error or thing in CLASSES or thing in FUNCTIONS, name


def test_it_is_not_seen() -> None:
    parameters = inspect.signature(ocirun.Container.start).parameters
    assert list(parameters) == ["self"]
    assert "timeout" in inspect.signature(ocirun.run).parameters
    assert ocirun.run.__doc__
    assert ocirun.run.__name__ == "run"
    assert inspect.iscoroutinefunction(aio.run)
    assert inspect.isgeneratorfunction(ocirun.Container.watch) == inspect.isgeneratorfunction(
        inspect.unwrap(ocirun.Container.watch)
    )


@boundary.methods_raise_ocirun_errors
class Thing:
    """Every kind of function."""

    def __init__(self) -> None:
        self.id = "web"

    def method(self, error: BaseException) -> None:
        raise error

    @classmethod
    def made(cls, name: str, error: BaseException) -> None:
        raise error

    @property
    def value(self) -> int:
        raise OSError(errno.EIO, "x", "/some/file")

    def each(self, error: BaseException) -> Iterator[int]:
        yield 1
        raise error

    async def later(self, error: BaseException) -> None:
        raise error


def raised(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def test_every_kind_of_function() -> None:
    thing = Thing()
    lost = OSError(errno.EMFILE, "x")
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("method web: too many open files", lambda: thing.method(lost)),
        ("made db: too many open files", lambda: Thing.made("db", lost)),
        ("value web: /some/file: input/output error", lambda: thing.value),
        ("each web: too many open files", lambda: list(thing.each(lost))),
        ("later web: too many open files", lambda: asyncio.run(thing.later(lost))),  # type: ignore[arg-type]
    )
    for text, call in calls:
        error = raised(call)
        assert isinstance(error, ocirun.HostError)
        assert error.message == text
        assert error.errno in (errno.EMFILE, errno.EIO)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (MemoryError(), "method web: cannot allocate memory"),
        (ImportError("too many open files", name="_socket"), "method web: cannot load _socket: too many open files"),
        (FileNotFoundError(2, "x", b"/a\xff"), "method web: /a\udcff: no such file or directory"),
    ],
)
def test_what_becomes_an_error_of_ours(monkeypatch: pytest.MonkeyPatch, error: BaseException, text: str) -> None:
    # Whatever other tests have compiled or linked since this process began.
    monkeypatch.setattr("ocirun._base.installation.is_replaced", lambda: False)
    found = raised(lambda: Thing().method(error))
    assert isinstance(found, ocirun.HostError)
    assert found.message == text


@pytest.mark.parametrize("error", [TimeoutError("not within 1 s"), KeyError("x"), KeyboardInterrupt(), ValueError()])
def test_what_is_left_alone(error: BaseException) -> None:
    assert raised(lambda: Thing().method(error)) is error


# What is called on the way of each, and may fail for lack of something.
CALLS = ("open", "read", "write", "fstat", "stat", "mkdir", "pipe2", "memfd_create", "pidfd_open", "rename", "listdir")


class Failing:
    """os.NAME, of which the n-th call fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, reason: int) -> None:
        self.left = number
        self.plain: Any = getattr(os, name)
        self.reason = reason
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: Any, **named: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise OSError(self.reason, os.strerror(self.reason))
        return self.plain(*args, **named)


VERBS: dict[str, Callable[[ocirun.Container], object]] = {
    "state": lambda one: one.state(),
    "pids": lambda one: one.pids(),
    "stats": lambda one: one.stats(),
    "usage": lambda one: one.usage(),
    "run": lambda one: one.run(["/bin/true"]),
    "pause": lambda one: (one.pause(), one.resume()),
    "update": lambda one: one.update({"pids": {"limit": 20}}),
    "kill": lambda one: one.kill(0),
    "load": lambda one: ocirun.Container.load(one.id, root=one.root),
}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("verb", VERBS)
def test_calls_that_fail(make: Make, verb: str) -> None:
    one = make("/bin/sleep", "600")
    one.start()
    VERBS[verb](one)  # what it keeps for the next call is open then
    failed, before = 0, set(os.listdir("/proc/self/fd"))
    for name in CALLS:
        for number in (1, 2, 3, 5, 8):
            with pytest.MonkeyPatch.context() as patch:
                failing = Failing(patch, name, number, (errno.ENOMEM, errno.EMFILE, errno.EIO)[number % 3])
                try:
                    VERBS[verb](one)
                except ocirun.OcirunError:
                    failed += 1
            if failing.left > 0:
                break
            if one.status() == "paused":
                one.resume()
            assert set(os.listdir("/proc/self/fd")) == before, f"{name} number {number} loses a descriptor"
    assert failed >= 3


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("how", ["run", "aio", "prepared"])
def test_runs_whose_calls_fail(bundle: str, root: str, how: str) -> None:
    if how == "prepared":
        ready = ocirun.Prepared(bundle, args=["/bin/true"], root=root)
    failed, before = 0, set(os.listdir("/proc/self/fd"))
    for name in CALLS:
        for number in (1, 2, 4, 7, 11):
            with pytest.MonkeyPatch.context() as patch:
                in_new_container._kept.clear()  # of an earlier run, which would read next to nothing
                failing = Failing(patch, name, number, (errno.ENOMEM, errno.EMFILE, errno.EIO)[number % 3])
                try:
                    if how == "run":
                        ocirun.run(bundle, args=["/bin/true"], root=root)
                    elif how == "prepared":
                        ready.run()
                    else:
                        asyncio.run(aio.run(bundle, args=["/bin/true"], root=root))
                except ocirun.OcirunError:
                    failed += 1
            for left in ocirun.list_states(root, warn=lambda _: None):
                ocirun.delete(left["id"], root=root, force=True)
            assert set(os.listdir("/proc/self/fd")) == before, f"{name} number {number} loses a descriptor"
            if failing.left > 0:
                break
    assert failed >= (1 if how == "prepared" else 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_options_are_those_of_the_caller(make: Make) -> None:
    """A remedy for a Python program names parameters, and not what a command line has."""
    assert errors.option("console-socket") == "console_socket"
    one = make("/bin/sleep", "600")
    found = raised(lambda: one.delete(if_stopped=True))
    assert isinstance(found, ocirun.StateError)
    assert found.remedy == "`delete(force=True)` kills it first"
    one.pause()
    found = raised(lambda: one.run(["/bin/true"]))
    assert "(use ignore_paused to override)" in str(found)
    one.resume()


def test_options_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors.Spelling, "flags", True)
    assert errors.option("console-socket") == "--console-socket"
    assert errors.option("cgroup-manager", "disabled") == "--cgroup-manager disabled"
    assert errors.with_force("delete") == "`delete --force`"
