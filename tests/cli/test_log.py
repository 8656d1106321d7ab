"""What is written for an error, where, and that writing it cannot fail."""

from __future__ import annotations

import json
import os
import re
import stat

import pytest

from ocirun.errors import ConfigError, HostError, OcirunError, Problem, StateError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cli.conftest import Result
    from cli.fake import Fake

    Caller = Callable[..., Result]

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NASTY = 'a"\\\n{"level":"x"}\x1b[31m\xe9\u2028\u202e\udcff\ud800\x00'

STEP = StepError(
    "mount /x",
    pointer="/mounts/3",
    operation="bind",
    call="open_tree",
    errno=2,
    remedy="create it",
    index=17,
    actor="init",
)


def test_text_on_stderr(call: Caller, fake: Fake) -> None:
    fake.failure = StateError('cannot "x"')
    err = call("start", "c1").err
    assert re.fullmatch(rf'time="{TIME}" level=error msg="cannot \\"x\\""\n', err)


def test_json_on_stderr(call: Caller, fake: Fake) -> None:
    fake.failure = STEP
    err = call("--log-format", "json", "start", "c1").err
    assert err.count("\n") == 1
    record = json.loads(err)
    assert re.fullmatch(TIME, record.pop("time"))
    assert record == {
        "level": "error",
        "msg": "mount /x (create it)",
        "code": "step",
        "pointer": "/mounts/3",
        "operation": "bind",
        "call": "open_tree",
        "errno": 2,
        "remedy": "create it",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_file(call: Caller, fake: Fake, tmp_path: Path, form: str) -> None:
    path = tmp_path / "log"
    fake.failure = StateError("first")
    assert call("--log", str(path), "--log-format", form, "start", "c1").err == "first\n"
    fake.failure = StateError("second")
    assert call("--log", str(path), f"--log-format={form}", "start", "c1").err == "second\n"
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    if form == "json":
        assert [json.loads(line)["msg"] for line in lines] == ["first", "second"]
        assert {json.loads(line)["level"] for line in lines} == {"error"}
    else:
        assert re.fullmatch(rf'time="{TIME}" level=error msg="second"', lines[1])
    assert stat.S_IMODE(path.stat().st_mode) & 0o133 == 0


def test_log_file_stays_empty_on_success(call: Caller, tmp_path: Path) -> None:
    assert call("--log", str(tmp_path / "log"), "start", "c1").status == 0
    assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize(
    "words", [("start", "--nosuch", "c1"), ("--nosuch",), ("nosuch",), ("start",), ("--rootless=x", "start", "c1")]
)
def test_mistakes_in_the_call_are_logged(call: Caller, tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "log"
    result = call("--log", str(path), "--log-format", "json", *words)
    record = json.loads(path.read_text())
    assert record["level"] == "error"
    assert result.err == record["msg"] + "\n"


def test_warnings_stay_out_of_json_logs(call: Caller, fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "log"
    fake.warnings = ["w"]
    assert call("--log", str(path), "--log-format", "json", "list").err == ""
    assert path.read_text() == ""
    assert call("--log", str(path), "list").err == ""
    assert path.read_text().endswith('level=warning msg="w"\n')


def test_dev_stderr_is_stderr(call: Caller, fake: Fake) -> None:
    fake.failure = StateError("x")
    assert call("--log", "/dev/stderr", "--log-format", "json", "start", "c1").err.count("\n") == 1


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("target", ["stderr", "file"])
def test_nasty_texts(call: Caller, fake: Fake, tmp_path: Path, form: str, target: str) -> None:
    path = tmp_path / "log"
    fake.failure = HostError(NASTY, remedy=NASTY, pointer=NASTY)
    words = ("--log", str(path)) if target == "file" else ()
    result = call(*words, "--log-format", form, "start", "c1")
    assert result.status == 1
    for text in (result.err, path.read_text() if words else "\n"):
        assert text.count("\n") == 1
        assert "\x1b" not in text
        assert "\x00" not in text
    if form == "json":
        record = json.loads(path.read_text() if words else result.err)
        assert record["level"] == "error"
        assert record["msg"].startswith('a"\\\n{"level":"x"}\x1b[31m\xe9')
        record["msg"].encode("utf-8")
    else:
        assert r"\x1b[31m" + "\xe9" + r"\u2028\u202e\xff\ud800\x00" in result.err


@pytest.mark.parametrize("form", ["text", "json"])
def test_records_fit_into_a_pipe(call: Caller, fake: Fake, form: str) -> None:
    fake.failure = HostError("\udcff" * 1_000_000, pointer="\x01" * 100_000, remedy="\u2028" * 100_000)
    err = call("--log-format", form, "start", "c1").err
    assert len(err) < 65536
    assert "(1100000 characters)" in err or "(1100003 characters)" in err


@pytest.mark.parametrize("form", ["text", "json"])
def test_log_that_cannot_be_written(call: Caller, fake: Fake, form: str) -> None:
    fake.failure = StateError("the error")
    result = call("--log", "/dev/full", "--log-format", form, "start", "c1")
    assert result.status == 1
    assert result.err.startswith("the error\n")
    assert result.err.endswith(": ENOSPC\n")


def test_log_fifo_with_a_reader(call: Caller, fake: Fake, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        fake.failure = StateError("x")
        call("--log", str(fifo), "start", "c1")
        assert os.read(reader, 4096).endswith(b'level=error msg="x"\n')
    finally:
        os.close(reader)


def test_people_get_details(call: Caller, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: fd == 2)
    fake.failure = STEP
    assert call("start", "c1").err == (
        "ocirun: mount /x\n"
        "  pointer: /mounts/3\n"
        "  operation: bind (number 17 of the plan, init)\n"
        "  system call: open_tree ENOENT\n"
        "  remedy: create it\n"
    )
    fake.failure = OcirunError(NASTY)
    err = call("start", "c1").err
    assert err == 'ocirun: a"\\\\n{"level":"x"}\\x1b[31m\xe9\\u2028\\u202e\\xff\\ud800\\x00\n'


def test_people_get_every_problem(call: Caller, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    fake.failure = ConfigError([Problem("/a", "one"), Problem("/b", "two", warning=True), Problem("/c", "three")])
    lines = call("create", "c1").err.splitlines()
    assert lines[0].startswith("ocirun: config.json: /a: one (and 1 more")
    assert lines[1:] == ["  also /c: three", "  pointer: /a"]


def test_people_get_warnings(call: Caller, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    fake.warnings = ["w\n"]
    assert call("list").err == "ocirun: warning: w\\n\n"


def test_programs_get_json_on_a_terminal_too(call: Caller, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: True)
    fake.failure = STEP
    assert json.loads(call("--log-format", "json", "start", "c1").err)["code"] == "step"


class OddError(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the package are those of the beginning, whatever other tests have compiled since."""
    monkeypatch.setattr("ocirun._base.installation.is_replaced", lambda: False)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (KeyError("x"), "internal error: KeyError: 'x'"),
        (ZeroDivisionError(), "internal error: ZeroDivisionError"),
        (RecursionError("deep"), "internal error: RecursionError: deep"),
        (OddError(), "internal error: OddError"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "no"), "internal error: UnicodeEncodeError: "),
    ],
)
def test_faults_of_our_own(call: Caller, fake: Fake, failure: Exception, text: str) -> None:
    fake.failure = failure
    result = call("--log-format", "json", "start", "c1")
    assert (result.status, result.out) == (1, "")
    assert result.err.count("\n") == 1
    assert json.loads(result.err)["msg"].startswith(text)
    assert "Traceback" not in call("start", "c1").err


@pytest.mark.usefixtures("unchanged")
def test_debug_adds_the_traceback(call: Caller, fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "log"
    fake.failure = KeyError("x")
    result = call("--debug", "--log", str(path), "--log-format", "json", "start", "c1")
    assert result.err == "internal error: KeyError: 'x'\n"
    _, first, last = (json.loads(line) for line in path.read_text().splitlines())
    assert first["level"] == "debug"
    assert first["msg"].startswith("Traceback")
    assert last["level"] == "error"
    text = call("--debug", "start", "c1").err
    assert 'level=debug msg="Traceback (most recent call last):"\n' in text


@pytest.mark.parametrize("path", ["/nonexistent/log", "/", "/dev/null/log", "fifo", "a\0b"])
@pytest.mark.parametrize("words", [["start", "c1"], ["create", "-b", "/b", "c1"], ["nosuch"]])
def test_log_that_cannot_be_opened(
    call: Caller, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, words: list[str]
) -> None:
    """As with runc and crun: an error at once, and nothing is done."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")  # nobody reads it
    result = call("--log", path, *words)
    assert result.status == 1
    assert fake.calls == []
    assert result.err.count("\n") == 1
    assert "cannot open the log " in result.err
    # Engines would take these words for a program that was not found.
    assert "no such file" not in result.err.lower()


def test_debug_tells_the_command(call: Caller, fake: Fake, tmp_path: Path) -> None:
    path = tmp_path / "log"
    call("--debug", "--root", "/r", "--log", str(path), "create", "-b", "/secret", "c1")
    assert fake.calls
    assert re.fullmatch(rf'time="{TIME}" level=debug msg="create: state root /r"\n', path.read_text())
    assert call("--log", str(path), "kill", "c1", "KILL").err == ""
    assert path.read_text().count("\n") == 1
