"""Seccomp: errors, and what an agent gets over listenerPath."""

from __future__ import annotations

import array
import json
import os
import socket
import threading

from .. import host
from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench


def _filter(**changes: Any) -> dict[str, Any]:
    rule = {"names": ["getcwd"], "action": "SCMP_ACT_ERRNO"}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule], **changes}


def _supported(bench: Bench) -> None:
    """A plain filter works; a runtime without seccomp fails, and with it all that follows."""
    bundle = bench.shell("pwd -P; echo end")
    bundle.linux["seccomp"] = _filter(
        syscalls=[{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22}]
    )
    bundle.process["args"][2] = "mkdir /tmp/made 2>/dev/null || echo refused"
    assert bench.output(bundle) == "refused\n", "the filter has no effect"


def _plain(bench: Bench) -> None:
    bench.once("seccomp", _supported)


def _refused(bench: Bench, **changes: Any) -> None:
    _plain(bench)
    bundle = bench.bundle()
    bundle.linux["seccomp"] = _filter(**changes)
    bench.fails(bundle)


@covers("config-linux.seccomp.defaultErrnoRet.unsupported")
def default_errno(bench: Bench) -> None:
    """Allow, kill, trap and log have no errno."""
    for action in ("SCMP_ACT_ALLOW", "SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"):
        _refused(bench, defaultAction=action, defaultErrnoRet=1)


@covers("config-linux.seccomp.syscalls.errnoRet.unsupported")
def rule_errno(bench: Bench) -> None:
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"):
        _refused(bench, syscalls=[{"names": ["getcwd"], "action": action, "errnoRet": 1}])


@covers("config-linux.seccomp.syscalls.names.one")
def no_names(bench: Bench) -> None:
    _refused(bench, syscalls=[{"names": [], "action": "SCMP_ACT_ERRNO"}])


@covers("config-linux.seccomp.listenerMetadata")
def metadata_alone(bench: Bench) -> None:
    _refused(bench, listenerMetadata="text")


class Agent:
    """Listens on a socket; keeps for each connection the messages, with their descriptors, until its end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.connections: list[list[tuple[bytes, int]]] = []
        self.ended: list[bool] = []
        self.fds: list[int] = []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.bind(path)
        self.socket.listen(4)
        self.socket.settimeout(10)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                messages: list[tuple[bytes, int]] = []
                self.connections.append(messages)
                ended = False
                while not ended:
                    try:
                        data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(64))
                    except OSError:
                        break
                    count = 0
                    for level, kind, payload in ancillary:
                        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                            fds = array.array("i")
                            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                            self.fds += list(fds)
                            count += len(fds)
                    ended = not data
                    if data:
                        messages.append((data, count))
                self.ended.append(ended)

    def close(self) -> None:
        """Stop listening and let the filters go, so that waiting system calls get ENOSYS."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)
        for fd in self.fds:
            os.close(fd)
        os.unlink(self.path)


def _bundle(bench: Bench, path: str) -> Bundle:
    """A container whose program never makes the call that is handed to the agent."""
    bundle = bench.bundle(["/bin/sleep", "70000"])
    rule = {"names": ["mount"], "action": "SCMP_ACT_NOTIFY"}
    bundle.linux["seccomp"] = _filter(syscalls=[rule], listenerPath=path, listenerMetadata="some text")
    bundle.process["noNewPrivileges"] = True
    return bundle


def _notified(bench: Bench) -> Any:
    """What the agent got of one container."""
    _plain(bench)
    agent = Agent(f"{bench.dir}/agent")
    bundle = _bundle(bench, agent.path)
    kinds = []
    try:
        bench.launch(bundle)
        pid = bench.pid(bundle)
        kinds = [os.readlink(f"/proc/self/fd/{fd}") for fd in agent.fds]
        status = host.text(f"/proc/{pid}/status")
    finally:
        agent.close()
    return {
        "connections": agent.connections,
        "ended": agent.ended,
        "kinds": kinds,
        "pid": pid,
        "id": bundle.id,
        "filtered": "\nSeccomp:\t2\n" in status,
    }


def _got(bench: Bench) -> Any:
    found = bench.once("seccomp agent", _notified)
    assert found["connections"], "nobody has connected"
    return found


def _state(bench: Bench) -> Any:
    return json.loads(b"".join(data for data, _ in _got(bench)["connections"][0]))


@covers(
    "config-linux.seccomp.listenerPath.socket",
    "config-linux.seccomp.listenerPath.one-state",
    "config-linux.seccomp.state.payload",
)
def one_state(bench: Bench) -> None:
    """Over a stream socket: one document, and nothing after it."""
    found = _got(bench)
    assert len(found["connections"]) == 1 and found["filtered"]
    state = _state(bench)
    assert state["metadata"] == "some text" and isinstance(state["fds"], list)


@covers("config-linux.seccomp.listenerPath.closed", "config-linux.seccomp.listenerPath.not-reused")
def closed(bench: Bench) -> None:
    assert _got(bench)["ended"] == [True]


@covers("config-linux.seccomp.listenerPath.failure")
def failure(bench: Bench) -> None:
    """Nobody listens; no socket; a socket of another type."""
    _plain(bench)
    bench.fails(_bundle(bench, f"{bench.dir}/nobody"))
    with open(f"{bench.dir}/file", "w", encoding="ascii"):
        pass
    bench.fails(_bundle(bench, f"{bench.dir}/file"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"{bench.dir}/datagrams")
        bench.fails(_bundle(bench, f"{bench.dir}/datagrams"))


@covers("config-linux.seccomp.listenerPath.seccompFd", "config-linux.seccomp.state.fds")
def seccomp_fd(bench: Bench) -> None:
    assert _state(bench)["fds"] == ["seccompFd"]
    found = _got(bench)["kinds"]
    assert found == ["anon_inode:seccomp notify"], found


@covers("config-linux.seccomp.state.fds.first")
def first_message(bench: Bench) -> None:
    counts = [count for _, count in _got(bench)["connections"][0]]
    assert counts[0] == 1 and not any(counts[1:]), counts


@covers("config-linux.seccomp.state.ociVersion")
def version(bench: Bench) -> None:
    assert len(_state(bench)["ociVersion"].partition("-")[0].split(".")) == 3


@covers("config-linux.seccomp.state.pid")
def pid(bench: Bench) -> None:
    assert _state(bench)["pid"] == _got(bench)["pid"]


@covers("config-linux.seccomp.state.state")
def container_state(bench: Bench) -> None:
    found = _state(bench)["state"]
    assert found["id"] == _got(bench)["id"] and found["status"] == "creating", found
    assert found["pid"] == _got(bench)["pid"] and os.path.isabs(found["bundle"]), found
