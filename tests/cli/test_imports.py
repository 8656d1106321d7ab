"""What the command line imports: one command's module, and nothing slow."""

from __future__ import annotations

import ast
import os

import pytest

from cli.conftest import RUNTIME
from ocirun.cli.table import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Spawner = Callable[..., subprocess.CompletedProcess[bytes]]

CALLS = {
    "create": ("create", "-b", "/b", "c1"),
    "start": ("start", "c1"),
    "run": ("run", "c1"),
    "state": ("state", "c1"),
    "kill": ("kill", "c1", "KILL"),
    "delete": ("delete", "--force", "c1"),
    "pause": ("pause", "c1"),
    "resume": ("resume", "c1"),
    "list": ("list",),
}

# Together they cost more than everything else at start-up.
SLOW = {
    "argparse",
    "collections",
    "contextlib",
    "ctypes",
    "dataclasses",
    "enum",
    "functools",
    "importlib",
    "json",
    "logging",
    "pathlib",
    "re",
    "signal",
    "socket",
    "struct",
    "subprocess",
    "traceback",
    "typing",
}


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_hot_path(spawn: Spawner, name: str, failing: bool) -> None:
    code = """
if sys.argv[-1] == "fail":
    del sys.argv[-1]
    from ocirun.errors import StateError
    fake.failure = StateError("x")
status = main()
import os
os.write(2, ("\\n" + " ".join(sys.modules)).encode())
sys.exit(status)
"""
    result = spawn("--log", "/dev/null", *CALLS[name], *(["fail"] if failing else []), code=code)
    assert result.returncode == int(failing)
    loaded = set(result.stderr.decode().splitlines()[-1].split())
    assert not loaded & SLOW
    commands = {f"ocirun.cli.commands.{module}" for module in COMMANDS.values()}
    assert loaded & commands == {f"ocirun.cli.commands.{name}"}
    assert "ocirun.cli.help" not in loaded
    assert ("ocirun.cli.log" in loaded) is failing


def test_signals_need_no_signal_module() -> None:
    with open(os.path.join(RUNTIME, "ocirun", "_base", "signals.py"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "ocirun.errors", "ocirun._base.near"}


def test_module_entry(spawn: Spawner) -> None:
    code = "import runpy\nsys.argv[0] = 'ocirun'\nrunpy.run_module('ocirun', run_name='__main__')"
    result = spawn("--version", code=code)
    assert result.returncode == 0
    assert result.stdout.startswith(b"ocirun version ")
