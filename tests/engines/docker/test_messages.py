"""What a user reads when the runtime refuses or fails, and the status that docker ends with."""

from __future__ import annotations

import re

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker


@pytest.mark.parametrize(
    ("options", "code", "texts"),
    [
        (["--tmpfs=/x:size=lots"], 125, ["/mounts/", "size=lots", "tmpfs"]),
        (["--sysctl=net.ipv4.nosuch=1"], 127, ["/linux/sysctl/net.ipv4.nosuch", "no such file or directory"]),
        (["-v", "/etc/hostname:/etc"], 125, ["/mounts/", "not a directory"]),
        (["-v", "/etc:/etc/passwd"], 125, ["/mounts/", "not a directory"]),
        (
            ["--memory=6m", "--memory-swap=6m", "--cpuset-cpus=0", "--ulimit=nofile=9999999999:9999999999"],
            125,
            ["rlimit"],
        ),
    ],
    ids=["mount option", "sysctl", "file on directory", "directory on file", "rlimit"],
)
def test_failing_step(docker: Docker, options: list[str], code: int, texts: list[str]) -> None:
    result = docker.run(*options, "--", "true")
    if not docker.runtime.ours:
        assert result.code in (125, 126, 127)
        return
    result.ends(code, "OCI runtime create failed: ", *texts)
    assert "Traceback" not in result.err


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
