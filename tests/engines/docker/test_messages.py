"""What a user reads when the runtime refuses or fails, and the status that docker ends with."""

from __future__ import annotations

import re

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker


FAILING = {
    "mount option": (["--tmpfs=/x:size=lots"], 125, ["/mounts/", "size=lots", "tmpfs"]),
    "file on directory": (["-v", "/etc/hostname:/etc"], 125, ["/mounts/", "not a directory", "/etc"]),
    "directory on file": (["-v", "/etc:/etc/passwd"], 125, ["/mounts/", "not a directory", "/etc/passwd"]),
    "tmpfs on file": (["--tmpfs=/etc/passwd"], 125, ["/mounts/", "not a directory", "/etc/passwd"]),
    "volume in proc": (["-v", "/etc:/proc/x"], 125, ["/destination", "inside /proc"]),
    "sysctl": (["--sysctl=net.ipv4.nosuch=1"], 127, ["/linux/sysctl/net.ipv4.nosuch", "no such file or directory"]),
    "value of a sysctl": (["--sysctl=net.ipv4.ip_forward=x"], 125, ["/linux/sysctl/", "invalid argument"]),
    "rlimit": (["--ulimit=nofile=9999999999:9999999999"], 125, ["/process/rlimits/0", "operation not permitted"]),
    "real-time share": (["--cpu-rt-runtime=95000"], 125, ["/cpu/realtimeRuntime", "cpu.rt_runtime_us"]),
    "host name": ([f"--hostname={'x' * 200}"], 125, ["/hostname", "200 bytes"]),
}


@pytest.mark.parametrize("what", FAILING)
def test_failing_step(docker: Docker, what: str) -> None:
    """What failed is told with its place in config.json; docker ends with the same status as with runc."""
    options, code, texts = FAILING[what]
    result = docker.run(*options, "--", "true").ends(code, "OCI runtime create failed: ")
    if docker.runtime.ours:
        result.ends(code, *texts)
        assert "Traceback" not in result.err
    if docker.peer:
        docker.run(f"--runtime={docker.peer}", *options, "--", "true").ends(code, "runc create failed: ")


def test_statuses_of_docker_itself(docker: Docker) -> None:
    docker("run", "--rm", "--nosuchoption", "bb", check=False).ends(125)
    docker("run", "--rm", "--pull=never", "nosuchimage", check=False).ends(125)


def test_runtime_that_is_gone(docker: Docker) -> None:
    docker.run("--runtime=nosuch", "--", "true").ends(125, "nosuch")


@pytest.mark.parametrize("signal", ["TERM", "KILL", "USR1"])
def test_program_that_is_killed(docker: Docker, signal: str) -> None:
    """128 + n, with the number of the signal."""
    number = {"TERM": 15, "KILL": 9, "USR1": 10}[signal]
    docker.keep("-d", "--init", "--name=c1", "--", "sleep", "1000").ok()
    docker("kill", "-s", signal, "c1")
    docker("wait", "c1").says(str(128 + number))


def test_error_is_kept_in_the_state(docker: Docker) -> None:
    docker.keep("--name=c1", "--", "nosuchcmd").ends(127)
    assert "executable file not found" in docker.inspect("c1", ".State.Error")
    assert docker.inspect("c1", ".State.ExitCode") == "127"


def test_version(docker: Docker) -> None:
    """dockerd shows the commit of its default runtime."""
    first, commit, *_ = docker.machine.run(docker.runtime.name, "--version").ok().out.splitlines()
    assert re.fullmatch(rf"{docker.runtime.name} version \S+", first)
    assert docker("info", "-f", "{{.DefaultRuntime}}").out.strip() == docker.runtime.name
    assert docker("info", "-f", "{{.RuncCommit.ID}}").out.strip() == commit.removeprefix("commit: ")
