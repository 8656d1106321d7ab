"""The completion scripts: valid for their shells, and complete what the tables hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from ocirun.cli.commands import completion, load
from ocirun.cli.table import COMMANDS, GLOBALS, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

# In place of the program: two containers, those of another root if --root is given.
FAKE = """#!/bin/sh
case "$*" in
"list --quiet") printf 'alpha\\nbeta\\n' ;;
"--root /srv/root list --quiet") echo gamma ;;
esac
"""

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_ocirun
printf '%s\\n' "${COMPREPLY[@]}"
"""

# What a line completes to, and what is not offered for it.
CASES = [
    ("ocirun sta", {"start", "state"}, {"stats", "run"}),
    ("ocirun --ro", {"--root", "--rootless"}, {"--log"}),
    ("ocirun --log-format ", {"text", "json"}, {"alpha"}),
    ("ocirun --debug kill ", {"alpha", "beta"}, {"TERM"}),
    ("ocirun kill alpha T", {"TERM", "TRAP"}, {"KILL"}),
    ("ocirun kill --all b", {"beta"}, {"alpha"}),
    ("ocirun --root /srv/root delete ", {"gamma"}, {"alpha"}),
    ("ocirun run ", set(), {"alpha"}),
    ("ocirun run --pre", {"--preserve-fds"}, {"--root"}),
    ("ocirun completion ", {"bash", "fish", "zsh"}, {"alpha"}),
    ("ocirun help cre", {"create"}, {"run"}),
    ("ocirun exec --us", {"--user"}, {"--root"}),
    ("ocirun exec --user 0 ", {"alpha", "beta"}, {"sh"}),
    ("ocirun exec alpha ls --", set(), {"--user", "--tty"}),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a fake program, the scripts, and a bundle."""
    program = tmp_path / "bin" / "ocirun"
    program.parent.mkdir()
    program.write_text(FAKE)
    program.chmod(0o755)
    for shell in completion.SHELLS:
        (tmp_path / shell).write_text(completion.script(shell))
    (tmp_path / "work" / "bundle").mkdir(parents=True)
    (tmp_path / "work" / "note").write_text("")
    return tmp_path


def run(place: Path, *command: str) -> set[str]:
    env = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}", "HOME": str(place)}
    env.pop("XDG_CONFIG_HOME", None)
    result = subprocess.run(command, cwd=place / "work", env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return {line.partition("\t")[0] for line in result.stdout.splitlines() if line}


def in_bash(place: Path, *words: str) -> set[str]:
    return run(place, "bash", "--norc", "-c", BASH, "bash", str(place / "bash"), *words)


def in_fish(place: Path, line: str) -> set[str]:
    return run(place, "fish", "--no-config", "-c", f"source '{place}/fish'; complete -C '{line}'")


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_syntax(place: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    assert not run(place, shell, "-n", str(place / shell))


@pytest.mark.parametrize(("line", "wanted", "unwanted"), CASES, ids=[case[0] for case in CASES])
def test_bash(place: Path, line: str, wanted: set[str], unwanted: set[str]) -> None:
    found = in_bash(place, *line.split(" "))
    assert wanted <= found
    assert not unwanted & found


def test_bash_paths(place: Path) -> None:
    assert in_bash(place, "ocirun", "create", "--bundle", "") == {"bundle"}
    assert in_bash(place, "ocirun", "create", "--pid-file", "") == {"bundle", "note"}
    assert in_bash(place, "ocirun", "bundle", "") == {"bundle", "note"}
    assert in_bash(place, "ocirun", "bundle", "note", "") == {"bundle"}


def test_bash_splits_at_the_equals_sign(place: Path) -> None:
    # This is how bash hands over `--log-format=j` and `--root=/srv/root`.
    assert in_bash(place, "ocirun", "--log-format", "=", "j") == {"json"}
    assert in_bash(place, "ocirun", "--log-format", "=") == {"text", "json"}
    assert in_bash(place, "ocirun", "--root", "=", "/srv/root", "state", "") == {"gamma"}


@pytest.mark.parametrize(("line", "wanted", "unwanted"), CASES, ids=[case[0] for case in CASES])
def test_fish(place: Path, line: str, wanted: set[str], unwanted: set[str]) -> None:
    if not shutil.which("fish"):
        pytest.skip("no fish here")
    found = in_fish(place, line)
    assert wanted <= found
    assert not unwanted & found


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_all_options_are_there(shell: str) -> None:
    text = completion.script(shell)
    for options in (GLOBALS, *(load(name)[0].options for name in COMMANDS)):
        for option in options:
            for name in option.names:
                form = f"-[sl] {name} " if shell == "fish" else f"[^-]{'-' if len(name) == 1 else '--'}{name}[^a-z-]"
                assert option.hidden or re.search(form, text), name


def test_hidden_options_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(option.hidden for name in COMMANDS for option in load(name)[0].options)
    monkeypatch.setattr(completion, "GLOBALS", (*GLOBALS, Option("secretly", help="no word of it", hidden=True)))
    assert all("secretly" not in completion.script(shell) for shell in completion.SHELLS)


def test_another_shell() -> None:
    with pytest.raises(UsageError, match="no script for the shell"):
        completion.script("ksh")
