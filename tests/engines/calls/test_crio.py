"""CRI-O's calls: conmon with `--root=DIR` in one word, signals by name, an environment without anything."""

from __future__ import annotations

import datetime as dt
import json
import os
import re

import pytest
from waiting import eventually

from ..terminal import Terminal
from .bare import SLEEP
from .crio import FailedError, outputs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bare import Bundle
    from .crio import Crio

GONE = ("no such process", "container not running", "invalid process")  # what CRI-O takes for "has ended"


def start(crio: Crio, *args: str, options: tuple[str, ...] = ()) -> Bundle:
    """A running container."""
    bundle = crio.bare.bundle(*args or SLEEP, terminal="-t" in options)
    crio.create(bundle, *options)
    crio.call("start", bundle.id).says("")
    return bundle


def test_what_it_asks_first(crio: Crio) -> None:
    """Version and features; standard output and error of the latter together are one document."""
    assert crio.call("--version").ok().out.splitlines()[0].startswith(f"{os.path.basename(crio.bare.path)} version ")
    crio.call("checkpoint", "--help").ok()
    result = crio.call("features").ok()
    features = json.loads(result.err + result.out)
    assert features["ociVersionMin"] and features["ociVersionMax"]
    assert "ro" in features["mountOptions"]
    assert "user" in features["linux"]["namespaces"]


def test_life(crio: Crio) -> None:
    bundle = crio.bare.bundle("sh", "-c", "echo out; echo err >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done")
    pid = crio.create(bundle)
    state = json.loads(crio.call("state", bundle.id).ok().out)
    assert (state["id"], state["pid"], state["status"], state["bundle"]) == (bundle.id, pid, "created", bundle.path)
    assert state["annotations"]["io.kubernetes.pod.name"] == "pod"
    made = dt.datetime.fromisoformat(re.sub(r"\.\d+Z$|Z$", "+00:00", state["created"]))
    assert abs((dt.datetime.now(dt.UTC) - made).total_seconds()) < 120
    crio.call("start", bundle.id).says("")
    assert json.loads(crio.call("state", bundle.id).ok().out) == {**state, "status": "running"}
    eventually(lambda: outputs(f"{bundle.path}/log") == ("out\n", "err\n"), "both outputs are in the log")
    crio.call("kill", bundle.id, "TERM").ok()
    assert crio.status_of(bundle) == 7
    assert json.loads(crio.call("state", bundle.id).ok().out)["status"] == "stopped"
    for _ in range(2):
        assert crio.call("delete", "--force", bundle.id).ok().out == ""
    assert crio.call("state", bundle.id).code != 0


def test_kill_until_it_is_gone(crio: Crio) -> None:
    """KILL is repeated; from some moment on the answer is that the process has ended."""
    bundle = start(crio)
    crio.call("kill", bundle.id, "TERM").ok()  # `sleep` is deaf to it
    crio.call("kill", bundle.id, "KILL").ok()
    assert crio.status_of(bundle) == 137
    result = crio.call("kill", bundle.id, "KILL")
    assert result.code != 0
    assert any(words in result.err for words in GONE), result
    assert any(words in crio.call("kill", "nosuch", "KILL").err for words in ("does not exist", *GONE))


def test_pause(crio: Crio) -> None:
    bundle = start(crio)
    crio.call("pause", bundle.id).says("")
    assert json.loads(crio.call("state", bundle.id).ok().out)["status"] == "paused"
    with pytest.raises(FailedError):
        crio.exec_sync(bundle, "true")
    crio.call("resume", bundle.id).says("")
    assert crio.exec_sync(bundle, "echo", "e") == ("e\n", "", 0)


def test_exec_sync(crio: Crio) -> None:
    bundle = start(crio)
    assert crio.exec_sync(bundle, "sh", "-c", "echo out; echo err >&2; exit 3") == ("out\n", "err\n", 3)
    assert crio.exec_sync(bundle, "sh", "-c", "kill -9 $$")[2] == 137
    with pytest.raises(FailedError, match="executable file not found in \\$PATH"):
        crio.exec_sync(bundle, "nosuchcmd")
    with pytest.raises(FailedError, match="permission denied"):
        crio.exec_sync(bundle, "/etc/passwd")
    with pytest.raises(FailedError, match="command timed out"):
        crio.exec_sync(bundle, "sleep", "999", timeout=1)
    eventually(lambda: "sleep 999" not in crio.bare.machine.processes().values(), "the program was killed")
    # A probe, again and again.
    assert [crio.exec_sync(bundle, "true")[2] for _ in range(5)] == [0] * 5


def test_streaming_exec(crio: Crio) -> None:
    """In the foreground: the runtime's status and streams are the program's."""
    bundle = start(crio)
    result = crio.call(
        "exec", "--process", bundle.process("sh", "-c", "cat; echo err >&2; exit 4"), bundle.id, stdin=b"x\n"
    )
    assert (result.code, result.out, result.err) == (4, "x\n", "err\n")
    words = crio.bare.words("exec", "--process", bundle.process("sh", terminal=True), bundle.id)
    terminal = Terminal(crio.bare.machine, "env", "-i", "XDG_RUNTIME_DIR=/run/user/0", *words, rows=33, columns=99)
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.follows(20, 70)
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_terminal(crio: Crio) -> None:
    """A container with a terminal: conmon holds it, and is told the size through a file."""
    script = "stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.1; done"
    bundle = start(crio, "sh", "-c", script, options=("-t",))
    eventually(lambda: "ready" in outputs(f"{bundle.path}/log")[0], "the program runs")
    with open(f"{bundle.path}/ctl", "w", encoding="ascii") as file:
        file.write("1 20 70\n")
    eventually(lambda: "20 70" in outputs(f"{bundle.path}/log")[0], "the new size")
    assert crio.exec_sync(bundle, "tty") == ("/dev/pts/1\n", "", 0)


def test_failed_create(crio: Crio) -> None:
    bundle = crio.bare.bundle("nosuchcmd")
    with pytest.raises(FailedError, match="executable file not found in \\$PATH"):
        crio.create(bundle)
    assert not os.path.exists(f"{bundle.path}/pidfile")
    assert crio.call("state", bundle.id).code != 0
    crio.call("delete", "--force", bundle.id).ok()
    bundle.config["process"]["args"] = list(SLEEP)
    bundle.config["mounts"].append({"destination": "/x", "type": "tmpfs", "source": "t", "options": ["size=lots"]})
    with pytest.raises(FailedError) as caught:
        crio.create(bundle)
    if crio.bare.ours:
        assert "/mounts/5/options/0" in str(caught.value)


def test_update(crio: Crio) -> None:
    bundle = start(crio)
    wanted = {
        "devices": [{"allow": False, "access": "rwm"}],
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "cpu": {"shares": 256, "quota": 50000, "period": 100000},
    }
    crio.call("update", "--resources", "-", bundle.id, stdin=json.dumps(wanted).encode()).says("")
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us cpu/cpu.shares"
    shown = crio.exec_sync(bundle, "sh", "-c", f"cd /sys/fs/cgroup && cat {files} && head -c 4 /dev/zero | wc -c")
    assert shown == (f"{64 << 20}\n50000\n256\n4\n", "", 0)


def test_pod(crio: Crio) -> None:
    """Namespaces of the first container by path, and processes of the host's."""
    first = start(crio)
    pid = crio.bare.state(first)["pid"]
    second = crio.bare.bundle("sh", "-c", "sleep 997 & exec sleep 998")
    shared = ("ipc", "uts", "net")
    spaces: list[dict[str, str]] = [{"type": "mount"}]
    for name in shared:
        spaces.append({"type": "network" if name == "net" else name, "path": f"/proc/{pid}/ns/{name}"})
    second.config["linux"]["namespaces"] = spaces
    second.config.pop("hostname")
    crio.create(second)
    crio.call("start", second.id).ok()
    paths = [f"/proc/self/ns/{name}" for name in shared]
    assert crio.exec_sync(first, "readlink", *paths) == crio.exec_sync(second, "readlink", *paths)
    eventually(lambda: "sleep 997" in crio.bare.machine.processes().values(), "both run")
    crio.call("kill", second.id, "KILL").ok()
    assert crio.status_of(second) == 137
    # What is left of it has to be ended by its cgroup.
    crio.call("kill", "-a", second.id, "9").ok()
    eventually(lambda: "sleep 997" not in crio.bare.machine.processes().values(), "the other one has ended")


def test_out_of_memory(crio: Crio) -> None:
    """conmon watches the cgroup that the container is in when it has been created."""
    bundle = crio.bare.bundle("dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
    bundle.config["linux"]["resources"]["memory"] = {"limit": 32 << 20, "swap": 32 << 20}
    crio.create(bundle)
    crio.call("start", bundle.id).ok()
    assert crio.status_of(bundle) == 137
    eventually(lambda: os.path.exists(f"{bundle.path}/persist/oom"), "conmon tells of it")
