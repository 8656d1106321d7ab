"""Global options, help, versions, exit statuses."""

from __future__ import annotations

import os
import tomllib

import pytest

from ocirun._base import roots, version
from ocirun._base.roots import default_root
from ocirun.cli.commands import load
from ocirun.cli.table import COMMANDS, GLOBALS
from ocirun.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Result
    from cli.fake import Fake

    Caller = Callable[..., Result]


def test_version(call: Caller) -> None:
    for word in ("--version", "-v", "-V", "-version"):
        result = call(word)
        lines = result.out.splitlines()
        assert (result.status, result.err) == (0, "")
        assert lines[0] == f"ocirun version {version.VERSION}"
        assert lines[1].startswith("commit: ")
        assert lines[2] == "spec: 1.3.0"
        # Docker takes the last line with that word.
        assert sum("version" in line for line in lines) == 1


def test_version_is_that_of_the_package() -> None:
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    with open(os.path.join(top, "pyproject.toml"), "rb") as file:
        assert tomllib.load(file)["project"]["version"] == version.VERSION


def test_general_help(call: Caller) -> None:
    result = call("--help")
    assert (result.status, result.err) == (0, "")
    assert all(f"\n  {name} " in result.out for name in COMMANDS)
    for option in GLOBALS:
        assert (f"--{option.names[0]}" in result.out) is not option.hidden
    assert max(map(len, result.out.splitlines())) <= 80
    for words in ((), ("-h",), ("help",), ("help", "--help"), ("--help=true",)):
        assert call(*words).out == result.out


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(call: Caller, fake: Fake, name: str) -> None:
    command = load(name)[0]
    result = call(name, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"ocirun {name}: {command.summary}\n\nUsage: ocirun [global options] {name} [options]")
    assert all(f"--{option.names[0]}" in result.out for option in command.options if not option.hidden)
    assert max(map(len, result.out.splitlines())) <= 80
    for words in ((name, "-h", "a", "b", "c"), ("help", name), ("--help", name)):
        assert call(*words).out == result.out
    assert fake.calls == []


def test_unknown_command(call: Caller) -> None:
    for words in (("nosuch",), ("help", "nosuch"), ("migrate", "--help"), ("__init__",), ("",)):
        result = call(*words)
        assert result.status == 3
        assert result.out.startswith("Usage: ocirun ")
        assert "level=error msg=" in result.err
        assert "unknown command" in result.err


def test_unknown_option(call: Caller, fake: Fake) -> None:
    for words in (("--nosuch", "state", "c1"), ("state", "--nosuch", "c1"), ("--root",), ("--debug=x", "state", "c1")):
        result = call(*words)
        assert result.status == 1
        assert result.out.startswith("Usage: ocirun ")
        assert "level=error msg=" in result.err
    assert fake.calls == []


def test_global_options_of_engines(call: Caller, fake: Fake) -> None:
    words = ("--criu", "/x", "--log-format=json", "--systemd-cgroup", "--debug", "--rootless=false")
    assert call("--root=/r", *words, "state", "c1").status == 0
    assert fake.calls == [("load", "c1", {"root": "/r"})]
    assert call("--root", "/r", "--criu=", "--rootless", "", "state", "c1").status == 0


@pytest.mark.parametrize("value", ["maybe", "yes", " true"])
def test_rootless_takes_three_values(call: Caller, value: str) -> None:
    result = call("--rootless", value, "state", "c1")
    assert result.status == 1
    assert "is none of true, false, auto" in result.err


@pytest.mark.parametrize(("given", "asked"), [("1", "true"), ("T", "true"), ("0", "false"), ("Auto", "auto")])
def test_rootless_words(call: Caller, fake: Fake, given: str, asked: str) -> None:
    call("--rootless", given, "create", "c1")
    options = fake.calls[0][2]["options"]
    assert isinstance(options, dict)
    assert options["rootless"] == asked


def test_root_becomes_absolute(call: Caller, fake: Fake, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    call("--root", "some/../state", "state", "c1")
    assert fake.calls[0][2] == {"root": f"{tmp_path}/state"}
    assert not os.path.exists("state")


@pytest.mark.parametrize("root", ["", "/", "//", "/.", "/x/.."])
def test_roots_refused(call: Caller, fake: Fake, root: str) -> None:
    assert call("--root", root, "state", "c1").status == 1
    assert fake.calls == []


def test_root_without_current_directory(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> str:
        raise FileNotFoundError(2, "gone")

    monkeypatch.setattr(os, "getcwd", gone)
    result = call("--root", "x", "state", "c1")
    assert result.status == 1
    assert "--root x: no such file or directory" in result.err


@pytest.mark.parametrize(
    ("environ", "euid", "inside", "expected"),
    [
        ({}, 0, False, "/run/ocirun"),
        ({}, 1000, False, "/run/ocirun"),
        ({"XDG_RUNTIME_DIR": "/run/user/0"}, 0, False, "/run/ocirun"),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, 1000, False, "/run/user/1000/ocirun"),
        ({"XDG_RUNTIME_DIR": "/x"}, 0, True, "/x/ocirun"),
        ({"XDG_RUNTIME_DIR": "/x", "USER": "alice"}, 0, True, "/x/ocirun"),
        ({"XDG_RUNTIME_DIR": "/x", "USER": "root"}, 0, True, "/run/ocirun"),
        ({"XDG_RUNTIME_DIR": ""}, 1000, False, "/run/ocirun"),
        ({"XDG_RUNTIME_DIR": "relative"}, 1000, False, "/run/ocirun"),
    ],
)
def test_default_root(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], euid: int, inside: bool, expected: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    monkeypatch.setattr(roots, "in_user_namespace", lambda: inside)
    assert default_root(environ) == expected


def test_user_namespace_is_told_from_the_map() -> None:
    with open("/proc/self/uid_map") as file:
        whole = file.read().split() == ["0", "0", "4294967295"]
    assert roots.in_user_namespace() is not whole


def test_interrupt(call: Caller, fake: Fake) -> None:
    fake.failure = KeyboardInterrupt()
    result = call("run", "c1")
    assert (result.status, result.out, result.err) == (130, "", "")


def test_error_of_the_container_layer(call: Caller, fake: Fake) -> None:
    fake.failure = HostError("open /run/x: no space left on device", call="openat", errno=28)
    result = call("create", "c1")
    assert (result.status, result.out) == (1, "")


def test_public_names() -> None:
    import ocirun
    from ocirun import errors

    assert ocirun.__version__ == version.VERSION
    assert ocirun.UsageError is errors.UsageError
    assert {"Container", "run", "StepError"} <= set(dir(ocirun))
    with pytest.raises(AttributeError):
        _ = ocirun.nosuch
