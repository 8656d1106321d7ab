"""exec of the command line: what its flags make of the container's process, and what they hand on."""

from __future__ import annotations

import copy
import sys

import pytest

from ocirun.cli.main import main
from ocirun.errors import ProgramError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cli.fake import Fake

BASE: dict[str, Any] = {
    "args": ["sleep"],
    "cwd": "/base",
    "env": ["A=1", "PATH=/bin"],
    "terminal": False,
    "user": {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 18},
    "capabilities": {"bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "inheritable": ["CAP_KILL"]},
}


class Options:
    """Keeps its keywords."""

    def __init__(self, **given: Any) -> None:
        self.given = given


class Recorder:
    """The container layer's part for exec."""

    def __init__(self) -> None:
        self.process: dict[str, Any] = {}
        self.options: dict[str, Any] = {}
        self.file: dict[str, Any] = {}
        self.path = ""
        self.code = 0
        self.failure: Exception | None = None

    def read(self, path: str) -> dict[str, Any]:
        self.path = path
        return copy.deepcopy(self.file)

    def exec(self, process: dict[str, Any], options: Options) -> int:
        self.process, self.options = process, options.given
        if self.failure:
            raise self.failure
        return self.code


@pytest.fixture
def recorder(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Takes what exec hands on."""
    made = Recorder()
    module = sys.modules["ocirun.container"]
    monkeypatch.setattr(module, "ExecOptions", Options, raising=False)
    monkeypatch.setattr(sys.modules["ocirun.containers"], "read_process", made.read, raising=False)
    container: Any = module.Container
    container.base_process = lambda self: copy.deepcopy(BASE)
    container.exec = lambda self, process, options: made.exec(process, options)
    return made


def process(recorder: Recorder, *words: str) -> dict[str, Any]:
    assert main(["exec", *words]) == 0
    return recorder.process


def test_plain(recorder: Recorder) -> None:
    assert process(recorder, "c1", "ls", "-l", "--tty") == {**BASE, "args": ["ls", "-l", "--tty"]}
    given = recorder.options
    assert given["detach"] is False and given["foreground"] is True and given["source"] == ""
    assert (given["preserve_fds"], given["cgroup"], given["ignore_paused"]) == (0, [], False)


def test_changes(recorder: Recorder) -> None:
    words = ["--cwd", "/x", "-e", "B=2", "--env=C=3", "-t", "--no-new-privs", "-u", "1:2", "-g", "9"]
    seen = process(recorder, *words, "c1", "ls")
    assert (seen["cwd"], seen["terminal"], seen["noNewPrivileges"]) == ("/x", True, True)
    assert seen["env"] == ["A=1", "PATH=/bin", "B=2", "C=3"]
    assert seen["user"] == {"uid": 1, "gid": 2, "additionalGids": [7, 9], "umask": 18}


def test_user_alone_keeps_the_group(recorder: Recorder) -> None:
    assert process(recorder, "--user", "01", "c1", "ls")["user"]["gid"] == 6
    assert recorder.process["user"]["uid"] == 1


@pytest.mark.parametrize(
    "text", ["1:", ":1", "+1", " 1", "1 ", "0x1", "1_0", "\u0661", "4294967295", "-1", "1:2:3", "x"]
)
def test_users_that_are_none(recorder: Recorder, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", f"--user={text}", "c1", "ls"]) == 255
    assert "ids are decimal numbers" in capfd.readouterr().err
    assert recorder.process == {}


def test_capabilities(recorder: Recorder) -> None:
    seen = process(recorder, "--cap", "CAP_KILL", "-c", "CAP_CHOWN", "c1", "ls")["capabilities"]
    assert seen == {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_KILL", "CAP_CHOWN"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }


def test_file(recorder: Recorder) -> None:
    recorder.file = {"args": ["prog"], "cwd": "/", "env": ["X=1"]}
    assert process(recorder, "-p", "f.json", "-e", "Y=2", "c1") == recorder.file
    assert recorder.path == "f.json" and recorder.options["source"] == "f.json"
    assert process(recorder, "-p", "f.json", "--cap", "CAP_KILL", "c1")["capabilities"]["bounding"] == [
        "CAP_CHOWN",
        "CAP_KILL",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": 5},
        {"user": []},
        {"user": {"additionalGids": 5}},
        {"capabilities": 5},
        {"capabilities": {"bounding": 5}},
    ],
)
def test_wrong_types_are_handed_on(recorder: Recorder, wrong: dict[str, Any]) -> None:
    # For the check of the whole process to name; never a traceback here.
    recorder.file = {"args": ["prog"], "cwd": "/", **wrong}
    seen = process(recorder, "-p", "f.json", "-g", "5", "--cap", "CAP_KILL", "c1")
    for key, value in wrong.items():
        assert seen[key] == value or seen[key] == {**value}


def test_handed_on(recorder: Recorder) -> None:
    words = [
        "-d",
        "--pid-file",
        "p",
        "--console-socket",
        "c",
        "--pidfd-socket",
        "f",
        "--preserve-fds=3",
        "--ignore-paused",
    ]
    process(recorder, *words, "--cgroup", "a", "--cgroup", "cpu:b", "c1", "ls")
    expected = {
        "detach": True,
        "foreground": False,
        "pid_file": "p",
        "console_socket": "c",
        "pidfd_socket": "f",
        "preserve_fds": 3,
        "ignore_paused": True,
        "cgroup": ["a", "cpu:b"],
    }
    assert {name: recorder.options[name] for name in expected} == expected


def test_status(recorder: Recorder) -> None:
    recorder.code = 137
    assert main(["exec", "c1", "ls"]) == 137


@pytest.mark.parametrize(
    "failure", [StateError("cannot exec in a stopped container"), ProgramError('exec: "x": permission denied')]
)
def test_errors(recorder: Recorder, failure: Exception, capfd: pytest.CaptureFixture[str]) -> None:
    recorder.failure = failure
    assert main(["exec", "c1", "ls"]) == 255
    assert "exec failed: " in capfd.readouterr().err


def test_unknown_container_and_no_command(recorder: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "nosuch", "ls"]) == 255
    assert "exec failed: container does not exist" in capfd.readouterr().err
    assert main(["exec", "c1"]) == 255
    assert main(["exec"]) == 255


def test_labels(recorder: Recorder) -> None:
    assert main(["exec", "--process-label", "u:r:t:s0", "--apparmor", "profile", "c1", "ls"]) == 0
    assert recorder.process["selinuxLabel"] == "u:r:t:s0"
    assert recorder.process["apparmorProfile"] == "profile"


def explained(recorder: Recorder, fake: Fake, *words: str) -> dict[str, Any]:
    assert main(["explain", *words]) == 0
    assert recorder.process == {}, "nothing was run"
    return fake.calls[-1][2]


def test_explained(recorder: Recorder, fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["--cwd", "/x", "-u", "1:2", "--preserve-fds", "2", "--detach"]
    seen = explained(recorder, fake, "--short", "--exec", "c1", *words, "ls", "-l", "--tty")
    assert seen["process"] == {
        **BASE,
        "args": ["ls", "-l", "--tty"],
        "cwd": "/x",
        "user": {**BASE["user"], "uid": 1, "gid": 2},
    }
    assert (seen["options"].given["preserve_fds"], seen["options"].given["detach"]) == (2, True)
    assert capfd.readouterr().out == "parts of the exec\n"
    assert explained(recorder, fake, "--exec=c1", "--", "-l")["process"]["args"] == ["-l"]
    recorder.file = {"args": ["id"], "cwd": "/"}
    assert explained(recorder, fake, "--process", "FILE", "--exec", "c1")["process"] == recorder.file
    assert recorder.path == "FILE"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--exec", "c1"], "exec: no COMMAND and no --process"),
        (["--exec", "c1", "--bundle", "/b", "ls"], "explain: --bundle cannot go with --exec"),
        (["--exec", "c1", "--foreground", "ls"], "explain: --foreground cannot go with --exec"),
        (["--user", "5"], "explain: --user needs --exec ID"),
        (["--env", "A=5", "c1"], "explain: --env needs --exec ID"),
        (["--exec", "unknown", "ls"], "container does not exist"),
    ],
)
def test_not_explained(recorder: Recorder, words: list[str], error: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *words]) == 1
    assert error in capfd.readouterr().err
