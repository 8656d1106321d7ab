"""SCMP_ACT_NOTIFY: the listener and the state that go to an agent, and a container that the agent answers."""

from __future__ import annotations

import errno
import os

import pytest
import waiting

from ocirun._base.version import SPEC_VERSION

from . import execs, filters
from .agent import Agent
from .filters import denying, rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .bundles import Bundle
    from .case import Case

# Every call that a runtime's last steps may need but write, which the check refuses.
LATE_CALLS = [
    *("execve", "openat", "read", "close", "fcntl", "sendmsg", "recvmsg", "prctl", "close_range", "rt_sigaction"),
    *("rt_sigprocmask", "prlimit64", "clone", "clone3", "exit_group", "seccomp", "getcwd", "openat2", "dup3", "mmap"),
    *("connect", "sendto", "socket", "nanosleep", "exit", "futex", "sched_yield", "ppoll", "waitid", "pipe2"),
]


def go_on(_: int) -> int:
    return 0


def deny_mkdir(number: int) -> int:
    return errno.EXDEV if number == filters.NUMBERS["mkdirat"] else 0


@pytest.fixture
def notified(live: Case) -> Callable[..., tuple[Bundle, str]]:
    """A bundle whose filter asks about some calls, and the path at which it looks for the agent."""

    def make(args: list[str], *names: str, **more: Any) -> tuple[Bundle, str]:
        bundle = live.bundle(args)
        path = f"{live.dir}/agent"
        asking = rule(*(names or ("mkdirat",)), action="SCMP_ACT_NOTIFY")
        bundle.linux["seccomp"] = denying(asking, listenerPath=path, **more)
        return bundle, path

    return make


def test_message_and_answer(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(["/syscall", filters.numbered("mkdirat"), "0", "0"], listenerMetadata="MKNOD=/dev/null")
    bundle.config["annotations"] = {"org.test": "x" * 5000}
    with Agent(path, deny_mkdir) as agent:
        live.create(bundle)
        # It is sent before the container is there; the thread may take it after that.
        (message,) = waiting.eventually(lambda: agent.messages, "a message")
        state = message.pop("state")
        pid = live.pid(bundle)
        assert message == {
            "ociVersion": SPEC_VERSION,
            "fds": ["seccompFd"],
            "count": 1,
            "pid": pid,
            "metadata": "MKNOD=/dev/null",
        }
        assert state == {
            "ociVersion": SPEC_VERSION,
            "id": bundle.id,
            "status": "creating",
            "pid": pid,
            "bundle": bundle.path,
            "annotations": bundle.config["annotations"],
        }
        live.delete(bundle, "--force")
        assert live.run(bundle).code == errno.EXDEV
        assert agent.asked == [filters.NUMBERS["mkdirat"]]
        assert "metadata" in agent.messages[1]


def test_receiver_of_an_annotation(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(["/syscall", filters.numbered("mkdirat"), "0", "0"])
    del bundle.linux["seccomp"]["listenerPath"]
    bundle.config["annotations"] = {"run.oci.seccomp.receiver": path}
    live.refused(bundle, "/annotations/run.oci.seccomp.receiver", "no such file or directory")
    with Agent(path, deny_mkdir) as agent:
        assert live.run(bundle).code == errno.EXDEV
        assert agent.asked == [filters.NUMBERS["mkdirat"]]


def test_exec(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(execs.IDLE)
    with Agent(path, deny_mkdir) as agent:
        live.launch(bundle)
        tried = execs.run(live, bundle, "/syscall", filters.numbered("mkdirat"), "0", "0")
        assert tried.code == errno.EXDEV
        first, second = agent.messages
        assert (first["state"]["status"], second["state"]["status"]) == ("creating", "running")
        assert first["pid"] == first["state"]["pid"] == second["state"]["pid"] == live.pid(bundle)
        assert second["pid"] != first["pid"]
        assert "metadata" not in first
        live.delete(bundle, "--force")


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_every_late_call(live: Case, notified: Callable[..., tuple[Bundle, str]], no_new_privileges: bool) -> None:
    """The agent has the descriptor before anything that it is asked about is done."""
    bundle, path = notified(["/bare"], *LATE_CALLS)
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.hook("startContainer", "/bare", path="/bare")
    bundle.config["hooks"]["startContainer"][0]["args"] = ["bare"]
    with Agent(path, go_on) as agent:
        live.create(bundle)
        # The hook ends with 42, which is a failure: it ran.
        live.command("start", bundle.id).failed("exit status 42")
        assert agent.asked
        del bundle.config["hooks"]
        bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}]
        live.create(bundle)
        live.start(bundle)
        live.ended(bundle)
        bundle.process["args"] = execs.IDLE
        live.launch(bundle)
        assert execs.run(live, bundle, "/bare").code == 42
        live.delete(bundle, "--force")


def test_user_namespace(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(["/syscall", filters.numbered("mkdirat"), "0", "0"])
    bundle.user_namespace()
    with Agent(path, deny_mkdir):
        assert live.run(bundle).code == errno.EXDEV


def test_nothing_of_it_in_the_container(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(["/probe"])
    with Agent(path, deny_mkdir):
        fds = live.probe(bundle)["fds"]
        assert len(fds) == 3, fds


def test_no_agent(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(["/bin/true"])
    live.refused(bundle, "/linux/seccomp/listenerPath", path, "no such file")
    bundle.linux["seccomp"]["listenerPath"] = "@abstract"
    live.refused(bundle, "/linux/seccomp/listenerPath", verbs=("create",))
    bundle.linux["seccomp"]["listenerPath"] = ""
    live.refused(bundle, "listenerPath", verbs=("create",))


def test_no_agent_for_exec(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, path = notified(execs.IDLE)
    with Agent(path, go_on):
        live.launch(bundle)
    execs.run(live, bundle, "/bin/true").failed("/linux/seccomp/listenerPath", path)
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")


def test_listener_without_questions(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    """listenerPath is of no interest without SCMP_ACT_NOTIFY (config-linux.md)."""
    bundle, _ = notified(["/bin/true"])
    bundle.linux["seccomp"]["syscalls"] = []
    live.run(bundle).ok()


def test_agent_that_dies(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    """The helper has not kept the descriptor: the kernel sees that nobody is left, and answers ENOSYS."""
    bundle, path = notified(["/bin/sh", "-c", f"/syscall {filters.numbered('mkdirat 0 0')}; echo $?"])
    with Agent(path, go_on) as agent:
        result = live.create(bundle)
        agent.stop()
        live.start(bundle)
        live.ended(bundle)
        assert result.out == f"{errno.ENOSYS}\n"


def test_socket_path_of_any_length(live: Case, notified: Callable[..., tuple[Bundle, str]]) -> None:
    bundle, _ = notified(["/syscall", filters.numbered("mkdirat"), "0", "0"])
    folder = f"{live.dir}/{'d' * 150}"
    os.mkdir(folder)
    here = os.open(folder, os.O_PATH)
    bundle.linux["seccomp"]["listenerPath"] = f"{folder}/agent"
    try:
        with Agent(f"/proc/self/fd/{here}/agent", deny_mkdir):
            assert live.run(bundle).code == errno.EXDEV
    finally:
        os.close(here)
