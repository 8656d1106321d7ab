"""Each command imports what it needs and nothing else; the lists are sets, so that they never flicker.

A module that is missing here costs start-up time: think before adding it.
"""

from __future__ import annotations

import subprocess
import time

import pytest
from waiting import eventually

from .command import LAUNCHER, imports, start_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Bundle = Callable[..., Path]

# Of the standard library: all of them small modules in C, or of a few lines.
EVERY = {"__future__", "errno", "_struct", "struct", "_json", "time"}
NATIVE = {"_cffi_backend", "_functools", "fcntl"}
ALLOWED = {
    "create": EVERY | NATIVE | {"_socket", "resource", "select", "_signal", "_bisect"},
    "run": EVERY | NATIVE | {"_socket", "resource", "select", "_signal", "termios"},
    "start": EVERY | NATIVE | {"select", "_signal"},
    "state": EVERY | {"pwd"},
    "list": EVERY | {"pwd"},
    "kill": EVERY | {"_signal", "fcntl"},
    "delete": EVERY | NATIVE | {"_signal", "select"},
    "pause": EVERY | {"fcntl"},
    "resume": EVERY | {"fcntl"},
    "spec": EVERY,
    "--version": EVERY,
    "explain": EVERY | NATIVE | {"gc", "resource"},
}
# Never on the way of any of them.
FORBIDDEN = {
    *("argparse", "collections", "contextlib", "ctypes", "dataclasses", "enum", "fastjsonschema", "functools"),
    *("importlib", "inspect", "json", "jsonschema", "logging", "orjson", "pathlib", "re", "shutil", "signal", "site"),
    *("socket", "subprocess", "tempfile", "threading", "traceback", "typing", "warnings", "cffi", "_ctypes"),
}
# What only a failure or a rare request needs.
FAILURES = ("execute.report", "plan.render", "execute.hooks.hooks", "execute.streams.sockets", "execute.streams.notify")
# Parts of ours that a command does without: the second command of a container reads no config.
WITHOUT = {
    "state": ("config", "plan.build", "plan.encode", "plan.render", "_native", "commands.create", "execute.session"),
    "list": ("config", "plan.build", "plan.encode", "plan.render", "_native", "commands.create"),
    "kill": ("config", "plan.build", "plan.encode", "plan.render", "_native", "commands.create"),
    "pause": ("config", "plan.build", "plan.encode", "plan.render", "_native", "commands.create"),
    "resume": ("config", "plan.build", "plan.encode", "plan.render", "_native", "commands.create"),
    "start": ("config", "plan.build", "commands.create", "execute.session", "execute.host_operations"),
    "delete": ("plan.build", "commands.create", "execute.session", "execute.host_operations"),
    "create": (
        "commands.start",
        "commands.run",
        "execute.streams.terminal",
        "cgroup.usage.v1",
        *FAILURES,
    ),
    "run": ("commands.start", "cgroup.usage.v1", "execute.streams.terminal", *FAILURES),
    "spec": ("config", "plan", "cgroup", "state", "execute", "commands", "_native", "container"),
    "--version": ("config", "plan", "cgroup", "state", "execute", "commands", "_native", "container"),
    "explain": ("commands.run", "commands.start", "cgroup.usage.v1"),
}


def check(name: str, loaded: set[str]) -> None:
    """A command's modules against its lists."""
    ours = {module.removeprefix("ocirun.") for module in loaded if module.startswith("ocirun.")}
    foreign = {module for module in loaded if module.partition(".")[0] != "ocirun"}
    assert not foreign & FORBIDDEN
    assert not foreign - ALLOWED[name]
    assert not {module for module in ours for part in WITHOUT[name] if module == part or module.startswith(part + ".")}
    commands = {module for module in ours if module == f"cli.commands.{name}"}
    assert commands or name.startswith("-")


def test_interpreter_starts_bare() -> None:
    """-I -S: neither site nor anything that a .pth file could name."""
    assert not start_up() & (FORBIDDEN - {"importlib"})


def test_allowed_and_forbidden_do_not_meet() -> None:
    assert not {name for names in ALLOWED.values() for name in names} & FORBIDDEN
    assert set(ALLOWED) == set(WITHOUT)


def test_version(tmp_path: Path) -> None:
    check("--version", imports("--version", where=tmp_path))


def test_spec(tmp_path: Path) -> None:
    check("spec", imports("spec", "-b", str(tmp_path), where=tmp_path))


def test_life_of_a_container(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle("hello", "/bin/sleep", "60")
    root = tmp_path / "root"
    top, name = ("--root", str(root)), f"budget-{time.monotonic_ns()}"

    def loads(command: str, *words: str) -> None:
        check(command, imports(*top, command, *words, where=tmp_path))

    try:
        loads("create", "-b", str(folder), name)
        loads("state", name)
        loads("list")
        loads("start", name)
        loads("pause", name)
        loads("state", name)
        loads("resume", name)
        loads("kill", name, "KILL")
        eventually(lambda: '"stopped"' in _state(top, name), "it has stopped")
        loads("delete", name)
    finally:
        subprocess.run([LAUNCHER, *top, "delete", "--force", name], check=True)


def test_run_and_explain(bundle: Bundle, tmp_path: Path) -> None:
    folder = bundle("hello", "/bin/true")
    top = ("--root", str(tmp_path / "root"))
    check("explain", imports(*top, "explain", "-b", str(folder), where=tmp_path))
    check("run", imports(*top, "run", "-b", str(folder), f"budget-{time.monotonic_ns()}", where=tmp_path))


@pytest.mark.parametrize("name", ["state", "kill", "delete", "start", "pause", "resume"])
def test_unknown_container(built: None, tmp_path: Path, name: str) -> None:
    """Engines ask for containers that are gone all day long."""
    loaded = imports("--root", str(tmp_path / "root"), name, "nobody", where=tmp_path, status=1)
    assert not loaded & FORBIDDEN
    assert not {module for module in loaded if module.startswith(("ocirun.config", "ocirun._native"))}


def _state(top: tuple[str, str], name: str) -> str:
    return subprocess.run([LAUNCHER, *top, "state", name], capture_output=True, text=True, check=False).stdout
