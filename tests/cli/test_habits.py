"""Typical mistakes of who comes from other programs, and slips of the finger: each has its remedy."""

from __future__ import annotations

import pytest

from ocirun._base.near import nearest
from ocirun.cli import habits
from ocirun.cli.commands import load
from ocirun.cli.table import COMMANDS, GLOBALS
from ocirun.config import check
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cli.conftest import Caller
    from cli.fake import Fake

# A command line, and what the reader is told to do.
MISTAKES = [
    (["rum", "x"], 'did you mean "run"?'),
    (["kil", "x"], 'did you mean "kill"?'),
    (["help", "strat"], 'did you mean "start"?'),
    (["stop", "x"], "`ocirun kill ID` asks the program to end"),
    (["rm", "-f", "x"], "`ocirun delete ID` removes a container"),
    (["logs", "x"], "ocirun keeps no output"),
    (["inspect", "x"], "`ocirun state ID` prints"),
    (["pull", "alpine"], "`ocirun bundle IMAGE DIR` makes a bundle"),
    (["version"], "`ocirun --version`"),
    (["ps", "-a"], "`ocirun list` shows all containers"),
    (["ps"], "`ocirun list` shows the ids"),
    (["list", "-a"], "those that have stopped are always shown"),
    (["run", "-it", "--rm", "alpine", "sh"], "process.terminal in config.json"),
    (["run", "--rm", "x"], "`ocirun run` removes the container"),
    (["run", "--name", "x"], "the ID is the name"),
    (["run", "-v", "/a:/b", "x"], "it is mounts there"),
    (["run", "-p", "80:80", "x"], "ports are published by who makes the network"),
    (["run", "-t", "latest", "x"], "process.terminal in config.json"),
    (["run", "x", "sh"], "the program and its arguments are process.args"),
    (["create", "x", "sh"], "the program and its arguments are process.args"),
    (["run"], "ID is a name of your choice"),
    (["exec", "-it", "x", "sh"], "write `-t`"),
    (["exec", "-w", "/tmp", "x", "sh"], "that is --cwd here"),
    (["kill", "-9", "x"], "`ocirun kill ID 9`"),
    (["kill", "-HUP", "x"], "`ocirun kill ID HUP`"),
    (["kill", "c1", "TREM"], 'did you mean "TERM"?'),
    (["kill", "c1", "sigusr3"], 'did you mean "SIGUSR1"?'),
    (["create", "--bundel", "b", "x"], 'did you mean "--bundle"?'),
    (["--rot", "/x", "list"], 'did you mean "--root"?'),
    (["run", "--root", "/x", "x"], "global options stand before the command"),
    (["--keep", "run", "x"], "options of a command stand behind it: `ocirun run --keep`"),
    (["list", "--formt", "json"], 'did you mean "--format"?'),
]


@pytest.mark.parametrize(
    ("words", "remedy"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_remedy(call: Caller, fake: Fake, words: list[str], remedy: str) -> None:
    result = call(*words)
    assert result.status != 0
    assert remedy in result.err.replace('\\"', '"')
    assert "internal error" not in result.err


def test_none_where_nothing_is_near(call: Caller) -> None:
    assert 'msg="unknown command \\"frobnicate\\""' in call("frobnicate").err
    assert 'msg="state: unknown option --frobnicate"' in call("state", "--frobnicate", "x").err


def test_the_tables_name_what_there_is() -> None:
    """What is a command or an option of ours is no foreign one, and what a remedy tells to type exists."""
    assert not set(habits._COMMANDS) & set(COMMANDS)
    for command, options in habits._OPTIONS.items():
        own = {name for option in load(command)[0].options for name in option.names}
        assert set(options) & own <= {"t", "init"}, command
    texts = [*habits._COMMANDS.values(), *(text for options in habits._OPTIONS.values() for text in options.values())]
    for text in texts:
        for part in text.split("`")[1::2]:
            program, *words = part.split()
            if program != "ocirun":
                continue
            assert words[0] in COMMANDS or words[0].lstrip("-") in {name for one in GLOBALS for name in one.names}
            names = {name for one in load(words[0])[0].options for name in one.names} if words[0] in COMMANDS else ()
            assert all(word.lstrip("-") in names for word in words[1:] if word.startswith("-")), part


@pytest.mark.parametrize(
    ("pointer", "config", "meant"),
    [
        ("/process/capabilities/bounding/0", {"capabilities": {"bounding": ["CAP_SYS_ADMNI"]}}, "CAP_SYS_ADMIN"),
        ("/process/capabilities/effective/0", {"capabilities": {"effective": ["net_raw"]}}, "CAP_NET_RAW"),
        ("/process/rlimits/0/type", {"rlimits": [{"type": "NOFILE", "soft": 1, "hard": 1}]}, "RLIMIT_NOFILE"),
        ("/linux/seccomp/defaultAction", {"seccomp": {"defaultAction": "SCMP_ACT_ALOW"}}, "SCMP_ACT_ALLOW"),
        ("/linux/namespaces/0/type", {"namespaces": [{"type": "pids"}]}, "pid"),
        ("/linux/sysctl/kernel.shmmaxx", {"sysctl": {"kernel.shmmaxx": "1"}}, "kernel.shmmax"),
    ],
)
def test_in_a_config(pointer: str, config: dict[str, object], meant: str) -> None:
    part = pointer.split("/")[1]
    data: dict[str, object] = {"ociVersion": "1.0.0", "root": {"path": "r"}}
    data["process"] = {
        "cwd": "/",
        "args": ["sh"],
        "user": {"uid": 0, "gid": 0},
        **(config if part == "process" else {}),
    }
    data["linux"] = {"namespaces": [{"type": "mount"}, {"type": "ipc"}], **(config if part == "linux" else {})}
    (problem,) = [problem for problem in check.check(data) if problem.pointer == pointer]
    assert problem.message.endswith(f'; did you mean "{meant}"?')


@pytest.mark.parametrize(
    ("word", "known", "near"),
    [
        ("", ["a"], ""),
        ("ab", ["abc"], ""),
        ("abd", ["abc", "abe"], "abc"),
        ("KILL", ["CAP_KILL", "CAP_KILLER"], "CAP_KILL"),
        ("same", ["same"], ""),
        ("x" * 65, ["x" * 64], ""),
        ("abc", [], ""),
    ],
)
def test_nearest(word: str, known: list[str], near: str) -> None:
    assert nearest(word, known) == near


def test_a_signal_of_an_annotation() -> None:
    from ocirun._base import signals

    with pytest.raises(UsageError, match="name the signal on the command line"):
        signals.of_image({signals.STOP_SIGNAL: "SIGTREM"})
