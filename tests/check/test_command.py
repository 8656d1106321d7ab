"""``ocirun check``: where it reads, what it prints, how it ends."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from check.rootfs import make
from check.test_audit import base
from ocirun.audit.findings import CONFIG, ERROR, HOST, NOTE, PEERS, Audit, Finding
from ocirun.cli.commands.check import report
from ocirun.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]


def bundle(folder: Path, **more: Any) -> Path:
    """A bundle with a good config, changed by `more`."""
    make(folder / "rootfs")
    (folder / "config.json").write_text(json.dumps({**base(), **more}))
    return folder


def check(capfd: Capture, *words: str) -> tuple[int, str]:
    capfd.readouterr()
    status = main(["--cgroup-manager", "disabled", "check", *words])
    captured = capfd.readouterr()
    return status, captured.out or captured.err


def test_good(tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    place = bundle(tmp_path / "b")
    good = (0, f"{place}/config.json: 0 errors, 0 warnings, 0 notes\n")
    assert check(capfd, "-b", str(place)) == good
    assert check(capfd, str(place)) == good, "a directory is a bundle"
    assert check(capfd, str(place / "config.json")) == good
    monkeypatch.chdir(place)
    assert check(capfd) == good
    assert check(capfd, "config.json") == good


def test_where_relative_paths_start(tmp_path: Path, capfd: Capture) -> None:
    place = bundle(tmp_path / "b")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(base()))
    status, text = check(capfd, str(other))
    assert status == 1
    assert f"{tmp_path}/rootfs: no such file or directory" in text
    assert check(capfd, "--bundle", str(place), str(other))[0] == 0


def test_standard_input(tmp_path: Path, capfd: Capture) -> None:
    place = bundle(tmp_path / "b")
    saved = os.dup(0)
    fd = os.open(place / "config.json", os.O_RDONLY)
    os.dup2(fd, 0)
    try:
        assert check(capfd, "-b", str(place), "-") == (0, "standard input: 0 errors, 0 warnings, 0 notes\n")
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(fd)


def test_strict_and_json(tmp_path: Path, capfd: Capture) -> None:
    place = bundle(tmp_path / "b", hostnam="x")
    status, text = check(capfd, "-b", str(place))
    assert (status, "1 warning," in text) == (0, True)
    status, text = check(capfd, "--strict", "--json", "-b", str(place))
    assert status == 1
    record = json.loads(text)
    assert {key: record[key] for key in ("valid", "errors", "warnings", "notes")} == {
        "valid": False, "errors": 1, "warnings": 0, "notes": 0,
    }  # fmt: skip
    assert record["findings"][0] == {
        "severity": "error",
        "source": "config",
        "pointer": "/hostnam",
        "message": "is not a key of the spec and is ignored; did you mean hostname?",
        "expected": "",
        "found": "",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-b", "/nonexistent"), "bundle /nonexistent: no such file"),
        (("/nonexistent.json",), "/nonexistent.json: no such file"),
        (("",), "FILE is empty"),
        (("/usr",), "/usr/config.json: no such file"),
        (("a", "b"), "Usage: ocirun"),
    ],
)
def test_unreadable(capfd: Capture, words: tuple[str, ...], message: str) -> None:
    status, text = check(capfd, *words)
    assert status == 1
    assert message in text


def audit() -> Audit:
    return Audit(
        "f\x1b.json",
        [
            Finding(NOTE, PEERS, "/c", "differs"),
            Finding(ERROR, CONFIG, "/a", "is wrong", expected="right", found="wrong"),
            Finding(ERROR, HOST, "/" + "b" * 60, "cannot be\x1b[2J"),
        ],
    )


def test_report() -> None:
    lines = report(audit(), colour=False).splitlines()
    margin = " " * 53
    assert lines == [
        "In config.json",
        "  error    /a  is wrong",
        "               expected: right",
        "  note     /c  differs",
        "",
        "On this host",
        "  error    /" + "b" * 60,
        f"{margin}cannot be\\x1b[2J",
        "",
        "Other runtimes: as seen with runc 1.1.5 and crun 1.8.1.",
        "",
        "f\\x1b.json: 2 errors, 0 warnings, 1 note",
    ]


def test_host_that_was_not_asked() -> None:
    wrong = Audit("f", [Finding(ERROR, CONFIG, "/a", "is wrong")])
    assert "On this host\n  not looked at, as there are errors in config.json\n" in report(wrong, colour=False)
    assert "On this host" not in report(wrong, colour=False, config_only=True)


def test_config_only(tmp_path: Path, capfd: Capture) -> None:
    place = bundle(tmp_path / "b", root={"path": "/nowhere"})
    assert check(capfd, "-b", str(place))[0] == 1
    status, text = check(capfd, "--config-only", "-b", str(place))
    assert (status, text) == (0, f"{place}/config.json: 0 errors, 0 warnings, 0 notes\n")


def test_colour_adds_sequences_only() -> None:
    import re

    coloured = report(audit(), colour=True)
    assert "\033[31merror    \033[0m" in coloured
    assert re.sub(r"\033\[[0-9;]*m", "", coloured) == report(audit(), colour=False)
