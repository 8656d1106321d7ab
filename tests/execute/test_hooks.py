"""Hooks of the runtime's own namespaces, for real: no privilege is needed to run one."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ocirun.errors import HookError
from ocirun.execute.hooks import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37  # linux/prctl.h
RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


def run(script: str, *, env: list[str] | None = None, timeout: int = 0, cwd: str = "/", state: str = "{}") -> None:
    args: dict[str, Any] = {
        "kind": "createRuntime",
        "index": 2,
        "path": "/bin/sh",
        "args": ["sh", "-c", script],
        "env": env,
        "timeout": timeout,
        "status": "creating",
        "logs": ("", ""),
    }
    hooks.run_hook(
        args, pointer="/hooks/createRuntime/2", index=9, state=state, cwd=cwd, environ=["PATH=/bin:/usr/bin", "A=1"]
    )


def failure(script: str, **how: Any) -> HookError:
    with pytest.raises(HookError) as caught:
        run(script, **how)
    return caught.value


def children() -> set[str]:
    """Children of this process, those that have ended too; earlier tests may have left some."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    libc = ctypes.CDLL(None)
    reaps = ctypes.c_int()
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(reaps), 0, 0, 0)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)  # what a hook leaves is not ours
    before = os.listdir("/proc/self/fd"), children()
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, reaps.value, 0, 0, 0)
    assert os.listdir("/proc/self/fd") == before[0]
    assert children() <= before[1]


def test_state_environment_and_directory(tmp_path: Path) -> None:
    script = "cat > state; pwd > directory; echo $A > a"
    run(script, cwd=str(tmp_path), state='{"x": "ä"}')
    assert (tmp_path / "state").read_text() == '{"x": "ä"}'
    assert (tmp_path / "directory").read_text() == f"{tmp_path}\n"
    assert (tmp_path / "a").read_text() == "1\n"


def test_own_environment(tmp_path: Path) -> None:
    run(f"/usr/bin/env > '{tmp_path}/env'", env=["B=2"])
    assert "A=1" not in (tmp_path / "env").read_text()
    assert "B=2\n" in (tmp_path / "env").read_text()


def test_large_state(tmp_path: Path) -> None:
    run(f"wc -c > '{tmp_path}/n'", state="x" * 3_000_000)
    assert (tmp_path / "n").read_text().strip() == "3000000"


def test_hook_that_does_not_read() -> None:
    run("exit 0", state="x" * 3_000_000)


def test_failure() -> None:
    error = failure("echo one; echo two >&2; exit 3")
    assert (error.kind, error.hook_index, error.exit_code, error.index) == ("createRuntime", 2, 3, 9)
    assert error.message == (
        "/hooks/createRuntime/2: error running createRuntime hook #2: exit status 3, path: /bin/sh, output: one | two"
    )


def test_killed_by_a_signal() -> None:
    assert failure("kill -TERM $$").exit_code == 128 + 15


def test_missing_program() -> None:
    args = {
        "kind": "prestart",
        "index": 0,
        "path": "/no/such",
        "args": ["x"],
        "env": None,
        "timeout": 0,
        "status": "creating",
        "logs": ("", ""),
    }
    with pytest.raises(HookError, match="cannot execute /no/such: no such file or directory"):
        hooks.run_hook(args, pointer="/hooks/prestart/0", index=1, state="{}", cwd="/", environ=[])


def test_time_limit_ends_its_children_too() -> None:
    begin = time.monotonic()
    error = failure("sleep 60 & sleep 60", timeout=1)
    assert "timed out after 1 s and was killed" in error.message
    assert 0.9 < time.monotonic() - begin < 5


def test_background_child_does_not_hold_us() -> None:
    """A hook may leave a daemon that keeps the pipe; the end of the hook itself is what counts."""
    begin = time.monotonic()
    run("sleep 5 &")
    assert time.monotonic() - begin < 3


def test_endless_output_is_cut_to_its_end() -> None:
    error = failure("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 1")
    assert error.output.endswith("line 19999")
    assert len(error.output) <= 4096


def test_descriptors_of_the_runtime_stay_out(tmp_path: Path) -> None:
    with open(tmp_path / "secret", "w") as file:
        os.set_inheritable(file.fileno(), True)
        run(f"ls /proc/self/fd > '{tmp_path}/fds'")
    assert (tmp_path / "fds").read_text().split() in (["0", "1", "2"], ["0", "1", "2", "3"])


@pytest.mark.parametrize("code", [0, 5])
def test_a_caller_that_ignores_sigchld(code: int) -> None:
    """The kernel would throw the status away, and a hook that fails would pass for one that does not."""
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "sys.path[:0] = sys.argv[1:2]\n"
        "from ocirun.execute.hooks import hooks\n"
        "args = {'kind': 'prestart', 'index': 0, 'path': '/bin/sh', 'args': ['sh', '-c', 'exit ' + sys.argv[2]],\n"
        "        'env': None, 'timeout': 0, 'status': 'creating', 'logs': ('', '')}\n"
        "hooks.run_hook(args, pointer='/hooks/prestart/0', index=1, state='{}', cwd='/', environ=[])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(RUNTIME), str(code)], capture_output=True, text=True, check=False
    )
    assert (result.returncode != 0) is (code != 0), result.stderr
    assert (f"exit status {code}" in result.stderr) is (code != 0)
