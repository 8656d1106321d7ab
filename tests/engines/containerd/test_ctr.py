"""containerd by its own client: ctr run and the tasks of its containers."""

from __future__ import annotations

import json
import os
import re

import pytest

from ..terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Containerd


def test_output_and_status(ctr: Containerd) -> None:
    ctr.run("echo", "hi").says("hi")
    ctr.run("sh", "-c", "exit 42").ends(42)
    # ctr forgets an end of input that comes before the task runs.
    words = " ".join(ctr.words("--rm", "--", "cat"))
    ctr.machine.run("sh", "-c", f"(sleep 1; echo given) | ctr {words}").says("given")


def test_program_that_cannot_start(ctr: Containerd) -> None:
    ctr.run("nosuchcmd").ends(1, 'exec: "nosuchcmd": executable file not found in $PATH')
    ctr.run("/etc/passwd").ends(1, "permission denied")


@pytest.mark.parametrize(
    ("mount", "texts"),
    [
        ("type=bind,src=/nosuch,dst=/x,options=rbind", ["/mounts/", "/nosuch", "no such file or directory"]),
        ("type=bind,src=/etc,dst=/etc/passwd,options=rbind", ["/mounts/", "/etc/passwd", "not a directory"]),
        ("type=tmpfs,src=tmpfs,dst=/x,options=size=lots", ["/options/0", "Bad value for 'size'"]),
    ],
    ids=["no source", "directory on file", "option"],
)
def test_failing_mount(ctr: Containerd, mount: str, texts: list[str]) -> None:
    """The message of the runtime reaches the user whole; the status is ctr's, as with runc."""
    result = ctr.run("--mount", mount, "--", "true").ends(1)
    if ctr.runtime.ours:
        result.ends(1, "OCI runtime create failed: ", *texts)
    other = [word.replace(ctr.path, "/usr/sbin/runc") for word in ctr.words("--rm", "--mount", mount, "--", "true")]
    if os.path.exists("/usr/sbin/runc"):
        ctr(*other, check=False).ends(1, "runc create failed: ")


def start(ctr: Containerd, *words: str) -> None:
    """A container c1 that sleeps."""
    ctr(*ctr.words("-d", "id=c1", *words, "--", "sleep", "1000"))


def test_tasks(ctr: Containerd) -> None:
    start(ctr)
    ctr("task", "exec", "--exec-id=e1", "c1", "echo", "e").says("e")
    ctr("task", "exec", "--exec-id=e2", "c1", "sh", "-c", "exit 7", check=False).ends(7)
    ctr("task", "pause", "c1")
    assert "PAUSED" in ctr("task", "ls").out
    ctr("task", "resume", "c1")
    assert "RUNNING" in ctr("task", "ls").out
    assert len(ctr("task", "ps", "c1").out.splitlines()) == 2
    metrics = json.loads(ctr("task", "metrics", "--format=json", "c1").out)
    text = json.dumps(metrics)
    assert "memory" in text and "pids" in text
    ctr("task", "kill", "-s", "KILL", "c1")
    ctr.until(lambda: "STOPPED" in ctr("task", "ls").out, "the task has stopped")
    assert "exit code 137" in ctr("task", "rm", "c1").err


def test_kill_all_and_remove_by_force(ctr: Containerd) -> None:
    start(ctr)
    ctr("task", "exec", "-d", "--exec-id=e1", "c1", "sleep", "999")
    ctr("task", "kill", "-a", "-s", "KILL", "c1")
    ctr.until(lambda: "STOPPED" in ctr("task", "ls").out, "the task has stopped")
    ctr("task", "rm", "-f", "c1", check=False)
    assert ctr("task", "ls", "-q").words == []
    assert not [args for args in ctr.machine.processes().values() if args.startswith("sleep")]


def test_terminals(ctr: Containerd) -> None:
    terminal = Terminal(ctr.machine, "ctr", *ctr.words("--rm", "-t", "id=c1", "--", "sh"), rows=33, columns=99)
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.type("tty\n")
    terminal.expect("/dev/pts/0")
    other = Terminal(ctr.machine, "ctr", "task", "exec", "-t", "--exec-id=e1", "c1", "sh", rows=22, columns=88)
    other.expect("#")
    other.type("tty\n")
    other.expect("/dev/pts/1")
    other.follows(22, 88)
    other.follows(20, 70)
    other.type("exit 4\n")
    assert other.wait() == 4
    terminal.follows(30, 90)
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_root_and_cgroup(ctr: Containerd) -> None:
    start(ctr, "--runc-root=/run/other", "--memory-limit=67108864")
    assert "c1" in ctr.machine.run("ls", "/run/other/default").words
    limit = ctr.machine.run("cat", "/sys/fs/cgroup/memory/default/c1/memory.limit_in_bytes")
    assert limit.words == [str(64 << 20)]
    out = ctr.run("--cgroup=/a/b", "--", "cat", "/proc/self/cgroup").ok().out
    assert re.search(r":memory:/a/b$", out, re.M)


@pytest.mark.parametrize(
    ("options", "script", "text"),
    [
        (["--privileged"], "grep CapEff /proc/self/status", "CapEff:\t000001ff"),
        (["--read-only"], "touch /x 2>&1; true", "Read-only file system"),
        (["--mount", "type=bind,src=/etc,dst=/m,options=rbind:ro"], "touch /m/x 2>&1; true", "Read-only file system"),
        (["--device=/dev/fuse"], "stat -c '%t,%T' /dev/fuse", "a,e5"),
        (["--env=A=b"], "echo $A", "b"),
        (["--seccomp"], "grep Seccomp: /proc/self/status", "Seccomp:\t2"),
        (["--net-host"], "readlink /proc/self/ns/net", "net:"),
        (["--cwd=/tmp"], "pwd", "/tmp"),
    ],
)
def test_options(ctr: Containerd, options: list[str], script: str, text: str) -> None:
    assert text in ctr.run(*options, "--", "sh", "-c", script).ok().out


def test_user_namespace(ctr: Containerd) -> None:
    words = ["--uidmap=0:100000:65536", "--gidmap=0:100000:65536", "--", "cat", "/proc/self/uid_map"]
    assert ctr.run(*words).words == ["0", "100000", "65536"]


def test_without_output(ctr: Containerd) -> None:
    ctr(*ctr.words("-d", "--null-io", "id=c1", "--", "sh", "-c", "echo lost; exec sleep 1000"))
    ctr("task", "kill", "-s", "KILL", "c1")


def test_containerd_restarts(ctr: Containerd) -> None:
    """The shim and the container outlive the daemon; a new one takes them over."""
    start(ctr)
    ctr.stop()
    assert any(args == "sleep 1000" for args in ctr.machine.processes().values())
    ctr.start()
    ctr("task", "exec", "--exec-id=e1", "c1", "echo", "e").says("e")
    ctr("task", "kill", "-s", "KILL", "c1")
    ctr.until(lambda: "STOPPED" in ctr("task", "ls").out, "the task has stopped")


def test_shim_is_killed(ctr: Containerd) -> None:
    start(ctr)
    (shim,) = [pid for pid, args in ctr.machine.processes().items() if "containerd-shim" in args]
    ctr.machine.run("kill", "-KILL", str(shim)).ok()
    ctr.until(lambda: not [args for args in ctr.machine.processes().values() if args == "sleep 1000"], "cleaned up")
    ctr("containers", "rm", "c1")
    start(ctr)
    ctr("task", "exec", "--exec-id=e1", "c1", "echo", "e").says("e")


COUNT = "i=0; while true; do i=$((i+1)); echo $i > /next; mv /next /count; sleep 0.1; done"


def test_checkpoint_without_criu(ctr: Containerd) -> None:
    """Nothing is lost when a checkpoint cannot be made: the container goes on."""
    ctr.machine.write("/usr/local/bin/criu", "#!/bin/sh\nexit 1\n", 0o755)
    start(ctr)
    ctr("container", "checkpoint", "--task", "--rw", "--image", "c1", "docker.io/library/saved:1", check=False).ends(1)
    ctr("task", "exec", "--exec-id=e1", "c1", "echo", "e").says("e")
    ctr.machine.run("rm", "/usr/local/bin/criu").ok()


@pytest.mark.usefixtures("criu")
def test_checkpoint_and_restore(ctr: Containerd) -> None:
    def count(name: str) -> int:
        ctr.exec_count += 1
        text = ctr("task", "exec", f"--exec-id=n{ctr.exec_count}", name, "cat", "/count", check=False).out
        return int(text) if text.strip() else 0

    saved = "docker.io/library/saved:1"
    ctr(*ctr.words("-d", "id=c1", "--", "sh", "-c", COUNT))
    ctr.until(lambda: count("c1") >= 20, "it counts")
    ctr("container", "checkpoint", "--task", "--rw", "--image", "c1", saved)
    ctr("task", "kill", "-s", "KILL", "c1", check=False)
    ctr.until(lambda: "RUNNING" not in ctr("task", "ls").out, "the first one has ended")
    ctr("task", "rm", "-f", "c1", check=False)
    ctr("container", "rm", "c1")
    ctr("container", "restore", "--rw", "--live", "c2", saved)
    before = count("c2")
    assert before >= 20
    ctr.until(lambda: count("c2") > before, "it counts on")
    ctr("image", "rm", saved)
