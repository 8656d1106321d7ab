"""examples/agent_tool.py and examples/notebook_kernel.py: what stays from call to call, and what a hostile one can do."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ocirun

from .conftest import ENVIRONMENT, EXAMPLES, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Call = Callable[..., dict[str, Any]]

agent_tool, notebook_kernel = load("agent_tool"), load("notebook_kernel")


@pytest.fixture
def call(rootfs: str) -> Iterator[Call]:
    session = [agent_tool.Session(rootfs)]
    with session[0].container:
        yield lambda tool, **parameters: session[0].call(json.dumps({"tool": tool, **parameters}))
    session.clear()  # a handle holds what was written, for `changes`


def test_files_stay(call: Call) -> None:
    assert call("write", path="/work/x", text="echo 42; echo new >/etc/motd; rm /etc/passwd") == {}
    ran = call("run", command="sh x")
    assert (ran["exit_code"], ran["stdout"], ran["stderr"], ran["limit"]) == (0, "42\n", "", "")
    assert call("read", path="/etc/motd") == {"text": "new\n"}
    changes = call("changes")
    assert set(changes["added"]) >= {"/etc/motd", "/work", "/work/x"}
    assert changes["removed"] == ["/etc/passwd"]
    assert call("run", command="cat /etc/motd")["stdout"] == "new\n"


@pytest.mark.parametrize(
    "line",
    ["no json", "[]", '{"tool": "other"}', '{"tool": "run"}', '{"tool": "run", "command": 1}',
     '{"tool": "read", "path": "/none"}', '{"tool": "write", "path": "x", "text": ""}',
     '{"tool": "run", "command": "a\\u0000b"}'],
)  # fmt: skip
def test_a_wrong_call_is_answered(rootfs: str, line: str) -> None:
    session = agent_tool.Session(rootfs)
    with session.container:
        assert list(session.call(line)) == ["error"]
        assert session.call('{"tool": "run", "command": "echo on"}')["stdout"] == "on\n"


def test_a_failure_leaves_the_session_as_it_is(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(container: ocirun.Container) -> None:
        raise ocirun.HostError("the changes cannot be read")

    with monkeypatch.context() as patch:
        patch.setattr(ocirun.Container, "changes", fail)
        assert call("changes") == {"error": "the changes cannot be read"}
    assert call("run", command="echo on")["stdout"] == "on\n"


def test_orphans_leave_nothing_behind(call: Call) -> None:
    """More than the container may have processes; those of a time-out are some, too."""
    for _ in range(14):
        assert call("run", command="for i in 1 2 3 4 5; do (sleep 600 &); done")["exit_code"] == 0
        call("run", command="kill -9 -1")
    assert call("run", command="echo a | cat")["stdout"] == "a\n"


def test_hostile_commands(call: Call) -> None:
    cut = call("run", command="cat /dev/zero | tr '\\0' a | head -c 1000000")
    assert (len(cut["stdout"]), cut["stdout_cut"]) == (9999, True)
    assert call("run", command="cat /dev/zero >/work/fill")["exit_code"] != 0
    call("run", command="rm /work/fill")
    call("run", command="b() { b | b & b; }; b")
    call("run", command="sleep 1000 & setsid sleep 1000 & kill -9 -1")
    left = call("run", command="ps | grep -c 'sleep 100[0]'; echo on")
    assert left["stdout"] == "0\non\n"


def test_the_agents_program(rootfs: str) -> None:
    calls = [{"tool": "write", "path": "/work/x", "text": "echo 42"}, {"tool": "run", "command": "sh /work/x"}]
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "agent_tool.py", rootfs],
        input="".join(json.dumps(one) + "\n" for one in calls),
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert [json.loads(line).get("stdout") for line in ran.stdout.splitlines()] == [None, "42\n"]
    assert ran.stderr == ""


@pytest.fixture
def kernel(rootfs: str) -> Iterator[Any]:
    made = notebook_kernel.Kernel(rootfs)
    with made.container, made.shell:
        yield made


def test_cells_share_state(kernel: Any) -> None:
    assert kernel.run("x=5; f() { echo f $x; }; echo one; echo two >&2") == ("one\ntwo\n", 0)
    assert kernel.run("f; false") == ("f 5\n", 1)
    output, status = kernel.run("if fi")
    assert "syntax error" in output
    assert status == 2
    assert kernel.run("read -r line; echo $x:$line") == ("5:\n", 0)
    assert kernel.run("printf unended") == ("unended", 0)


@pytest.mark.parametrize("cell", ["yes >/dev/null; echo no", "sleep 1000; echo no", "cat /dev/zero"])
def test_interrupt_keeps_the_state(kernel: Any, cell: str) -> None:
    kernel.run("x=5")
    output, status = kernel.run(cell, seconds=0.5)
    assert status is None
    assert len(output) < 200_000
    assert kernel.interrupt()[1] == 130
    assert kernel.run("echo $x") == ("5\n", 0)


def test_a_loop_of_the_interpreter_itself(kernel: Any) -> None:
    assert kernel.run("while :; do :; done", seconds=0.5) == ("", None)
    kernel.restart()
    with kernel.shell:
        assert kernel.run("echo on") == ("on\n", 0)


def test_restart(kernel: Any) -> None:
    assert kernel.run("x=5; sleep 1000 & exit 3", seconds=0.5)[1] is None
    first = kernel.shell
    kernel.restart()
    with kernel.shell:
        assert first.poll() == 3
        assert kernel.run("echo x$x; ps | grep -c 'sleep 100[0]'") == ("x\n0\n", 1)


def test_much_output(kernel: Any) -> None:
    output, status = kernel.run("i=0; while [ $i -lt 40000 ]; do echo $i; i=$((i + 1)); done; (exit 7)", seconds=60.0)
    assert status == 7
    assert output.startswith("0\n1\n2\n")
    assert kernel.run("echo on") == ("on\n", 0)


def test_the_kernels_program(rootfs: str) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLES / "notebook_kernel.py", rootfs, "x=6", "echo $((x * 7))"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == (" 0\n42\n 0\n", "")
