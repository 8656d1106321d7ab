"""The man pages in ``man/`` are those that the tables make, and render without a warning."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ocirun._base.version import VERSION
from ocirun.cli import manual
from ocirun.cli.commands import load
from ocirun.cli.table import COMMANDS, GLOBALS, Command, Option

ROOT = Path(__file__).resolve().parents[2]
MAN = ROOT / "man"
PAGES = manual.pages()


def render(text: str, *command: str) -> str:
    if not shutil.which(command[0]):
        pytest.skip(f"no {command[0]} here")
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not result.stderr
    return result.stdout


def test_the_kept_pages_are_up_to_date() -> None:
    kept = {path.name: path.read_text(encoding="ascii") for path in MAN.glob("*.1")}
    assert kept == PAGES, "make them again: PYTHONPATH=runtime python3 -m ocirun.cli.manual man"


def test_main_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert manual.main([str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == set(PAGES)
    assert manual.main([]) == 2
    assert "DIRECTORY" in capsys.readouterr().err


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_has_nothing_to_say(name: str) -> None:
    assert render(PAGES[name], "mandoc", "-T", "lint", "-W", "warning") == ""


@pytest.mark.parametrize("name", PAGES)
def test_groff_has_nothing_to_say(name: str) -> None:
    # -rLL: lines so long that no option is cut in two
    text = render(PAGES[name], "groff", "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=200n")
    command = name.removeprefix("ocirun").removesuffix(".1").removeprefix("-")
    for option in load(command)[0].options if command else GLOBALS:
        for word in option.names:
            form = re.search(f"(?<![-\\w])--?{word}(?![-\\w])", text)
            assert option.hidden != bool(form), word


def test_every_command_has_a_page() -> None:
    assert set(PAGES) == {"ocirun.1", *(f"ocirun-{name}.1" for name in COMMANDS)}
    assert all(f"ocirun\\-{name}" in PAGES["ocirun.1"] for name in COMMANDS)


def test_text_that_means_something_to_roff() -> None:
    option = Option("dash-ed", help="it's a `--bold` \\ word", kind="text", metavar="A-B")
    command = Command(
        "odd",
        arguments="ID [COMMAND ...] [ARG...]",
        summary="a - b",
        description=".PP begins a line\n\n'tis so",
        options=(option,),
    )
    text = render(manual.page(command), "groff", "-man", "-ww", "-Tascii", "-P-cbou", "-rLL=200n")
    assert "ocirun [global options] odd [options] ID [COMMAND ...] [ARG...]" in text
    assert "It's a --bold \\ word." in text
    assert "--dash-ed A-B" in text
    assert ".PP begins a line" in text
    assert "'tis so" in text


def test_the_date_is_that_of_the_release() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{VERSION}] - {manual.RELEASED}" in changes
