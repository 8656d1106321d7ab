"""Stopping, pausing, updating and restarting, by the user, by the daemon, and by accident."""

from __future__ import annotations

import signal

import pytest

from ..terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

TRAP = "trap 'echo got it' USR1; trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done"


def state(docker: Docker, name: str = "c1") -> str:
    return docker.inspect(name, ".State.Status")


def test_signals(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--", "sh", "-c", TRAP).ok()
    docker.until(lambda: "ready" in docker("logs", "c1").out, "the handlers are set")
    docker("kill", "-s", "USR1", "c1")
    docker.until(lambda: "got it" in docker("logs", "c1").out, "the handler ran")
    docker("stop", "-t", "20", "c1")
    assert docker.inspect("c1", ".State.ExitCode") == "7"
    docker("start", "c1")
    docker("kill", "c1")
    docker.until(lambda: state(docker) == "exited", "the container is dead")
    assert docker.inspect("c1", ".State.ExitCode") == "137"
    assert "is not running" in docker("kill", "c1", check=False).ends(1).err


def test_stop_start_restart_remove(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    docker("stop", "-t", "1", "c1")
    docker("start", "c1")
    docker("restart", "-t", "0", "c1")
    assert state(docker) == "running"
    docker("rm", "-f", "c1")
    docker("inspect", "c1", check=False).ends(1)


def test_pause(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    docker("pause", "c1")
    assert state(docker) == "paused"
    assert "is paused" in docker("exec", "c1", "true", check=False).ends(1).err
    docker("unpause", "c1")
    docker("exec", "c1", "true")
    docker("pause", "c1")
    docker("stop", "-t", "1", "c1", limit=20)
    docker("start", "c1")
    docker("pause", "c1")
    docker("rm", "-f", "c1", limit=20)


def test_update(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--memory=32m", "--", "sleep", "1000").ok()
    docker("update", "--memory=64m", "--memory-swap=128m", "--cpus=0.5", "--pids-limit=50", "--cpuset-cpus=0", "c1")
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max cpuset/cpuset.cpus"
    assert docker("exec", "c1", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").words == [
        str(64 << 20),
        "50000",
        "50",
        "0",
    ]
    docker("update", "--restart=on-failure", "c1")
    docker("exec", "c1", "dd", "if=/dev/zero", "of=/dev/null", "bs=4", "count=1")
    refused = docker("update", "--memory=4k", "--memory-swap=4k", "c1", check=False)
    assert refused.code == 1


def test_restart_policy(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--restart=on-failure:2", "--", "sh", "-c", "exit 3").ok()
    docker.until(lambda: docker.inspect("c1", ".RestartCount") == "2" and state(docker) == "exited", "two more starts")
    assert docker.inspect("c1", ".State.ExitCode") == "3"


def test_health(docker: Docker) -> None:
    docker.keep(
        "-d",
        "--name=c1",
        "--health-cmd=test -e /tmp/well",
        "--health-interval=0.5s",
        "--health-retries=2",
        "--",
        "sleep",
        "1000",
    ).ok()
    docker.until(lambda: docker.inspect("c1", ".State.Health.Status") == "unhealthy", "the check fails twice")
    docker("exec", "c1", "touch", "/tmp/well")
    docker.until(lambda: docker.inspect("c1", ".State.Health.Status") == "healthy", "the check succeeds")


def test_commit_copy_export(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--", "sh", "-c", "echo mine > /file; exec sleep 1000").ok()
    docker.until(lambda: docker("exec", "c1", "cat", "/file", check=False).out == "mine\n", "the file is there")
    docker("commit", "c1", "mine")
    docker("cp", "c1:/file", f"{docker.machine.store}/copied")
    docker("cp", f"{docker.machine.store}/copied", "c1:/back")
    docker("exec", "c1", "cat", "/back").says("mine")
    docker("run", "--rm", "mine", "cat", "/file").says("mine")
    docker("rmi", "mine")


def test_terminal(docker: Docker) -> None:
    terminal = Terminal(
        docker.machine,
        "docker",
        "run",
        "-ti",
        "--name=c1",
        "bb",
        "sh",
        rows=33,
        columns=99,
    )
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.type("tty; test -t 0 && echo 'a t'ty\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("a tty")
    terminal.follows(20, 70)
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_detach_and_attach(docker: Docker) -> None:
    docker.keep("-dit", "--name=c1", "--", "sh").ok()
    for _ in range(2):
        terminal = Terminal(docker.machine, "docker", "attach", "c1")
        terminal.type("\n")
        terminal.expect("#")
        terminal.type("echo $((6*7))\n")
        terminal.expect("42")
        terminal.press("\x10", "\x11")
        terminal.expect("read escape sequence")
        terminal.wait()
        assert state(docker) == "running"


@pytest.mark.parametrize("victim", ["containerd-shim-runc-v2", "sleep 1000"])
def test_end_of_shim_or_init(docker: Docker, victim: str) -> None:
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    (pid,) = [pid for pid, args in docker.machine.processes().items() if victim in args]
    docker.machine.run("kill", "-KILL", str(pid)).ok()
    docker.until(lambda: state(docker) == "exited", "dockerd sees the end")
    assert docker.inspect("c1", ".State.ExitCode") == "137"
    docker("start", "c1")
    docker("exec", "c1", "true")


def reload(docker: Docker, what: str, shown: str, **settings: object) -> None:
    """Change daemon.json, send SIGHUP, and wait until `docker info` shows it."""
    docker.configure(**settings)
    docker.signal(signal.SIGHUP)
    docker.until(lambda: shown in docker("info", "-f", "{{json " + what + "}}").out, f"{what} shows {shown}")


def test_new_runtime_by_hangup(docker: Docker) -> None:
    """A runtime that is added to daemon.json is known after SIGHUP, and can become the default one."""
    runtimes = {**docker.settings.get("runtimes", {}), "again": {"path": docker.runtime.path}}
    reload(docker, ".Runtimes", "again", runtimes=runtimes)
    docker.run("--runtime=again", "--", "echo", "hi").says("hi")
    logged = {**runtimes, "again": {"path": docker.runtime.path, "runtimeArgs": ["--debug"]}}
    reload(docker, ".Runtimes", "--debug", runtimes=logged)
    docker.run("--runtime=again", "--", "echo", "hi").says("hi")
    reload(docker, ".DefaultRuntime", "again", **{"default-runtime": "again"})
    docker.keep("--name=c1", "--", "echo", "hi").says("hi")
    assert docker.inspect("c1", ".HostConfig.Runtime") == "again"
    reload(docker, ".DefaultRuntime", docker.runtime.name, **{"default-runtime": docker.runtime.name})


def test_eight_at_once(docker: Docker) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do docker run --rm bb echo n$i & done; wait"
    assert sorted(docker.machine.run("sh", "-c", script).words) == [f"n{number}" for number in range(1, 9)]


def test_live_restore(docker: Docker) -> None:
    """Containers go on running without a daemon, and a new one takes them over."""
    docker.configure(**{"live-restore": True})
    docker.signal(signal.SIGHUP)
    docker.until(lambda: docker("info", "-f", "{{.LiveRestoreEnabled}}").out.strip() == "true", "live-restore is on")
    docker.keep("-d", "--name=c1", "--", "sh", "-c", TRAP).ok()
    docker.until(lambda: "ready" in docker("logs", "c1").out, "the handlers are set")
    pid = docker.inspect("c1", ".State.Pid")
    docker.stop()
    assert int(pid) in docker.machine.processes()
    docker.start()
    assert docker.inspect("c1", ".State.Pid") == pid
    docker("exec", "c1", "echo", "e").says("e")
    docker("stop", "-t", "20", "c1")
    assert docker.inspect("c1", ".State.ExitCode") == "7"
