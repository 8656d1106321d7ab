"""docker exec, top and stats in a running container."""

from __future__ import annotations

import pytest

from ..terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .daemon import Docker


@pytest.fixture
def running(docker: Docker) -> Iterator[Docker]:
    """A container c1 that sleeps."""
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    return docker


def test_output_and_status(running: Docker) -> None:
    running("exec", "c1", "echo", "e").says("e")
    running("exec", "c1", "sh", "-c", "exit 42", check=False).ends(42)
    running("exec", "-i", "c1", "cat", stdin=b"x\n").says("x")
    running("exec", "c1", "sh", "-c", "kill -9 $$", check=False).ends(137)


def test_program_that_cannot_start(running: Docker) -> None:
    # dockerd 20.10 gives 126 for everything, newer ones 127 for a program that is not there.
    for program, text in (
        ("nosuchcmd", "executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
    ):
        result = running("exec", "c1", program, check=False)
        assert result.code in (126, 127)
        assert f'exec: "{program}": ' in result.out + result.err
        assert text in result.out + result.err


def test_directory_that_is_not_there(running: Docker) -> None:
    result = running("exec", "-w", "/nosuch", "c1", "true", check=False)
    assert result.code in (126, 127)
    assert 'chdir to cwd ("/nosuch")' in result.out + result.err


def test_user_directory_environment(running: Docker) -> None:
    script = "id; pwd; echo $FOO"
    lines = running("exec", "-u", "app", "-w", "/tmp", "-e", "FOO=bar", "c1", "sh", "-c", script).out.splitlines()
    assert lines[0].startswith("uid=1000(app) gid=1000(app) groups=")
    assert "2000(extra)" in lines[0]
    assert lines[1:] == ["/tmp", "bar"]


def test_detached(running: Docker) -> None:
    running("exec", "-d", "c1", "sh", "-c", "echo done > /tmp/x; sleep 1000")
    running.until(lambda: running("exec", "c1", "cat", "/tmp/x", check=False).out == "done\n", "the program ran")
    assert "sleep 1000" in running("top", "c1").out


def test_privileged(running: Docker) -> None:
    if not running.runtime.ours:
        pytest.skip(
            "runc refuses a capability that is not in the bounding set, as on machines without CAP_SYS_RESOURCE"
        )
    plain = running("exec", "c1", "grep", "CapEff", "/proc/self/status").words[1]
    more = running("exec", "--privileged", "c1", "grep", "CapEff", "/proc/self/status").words[1]
    assert int(more, 16) > int(plain, 16)


def test_top_and_stats(running: Docker) -> None:
    running("exec", "-d", "c1", "sleep", "999")
    shown = running("top", "c1").out
    assert "sleep 1000" in shown
    assert "sleep 999" in shown
    assert len(shown.splitlines()) == 3
    row = running("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "c1").words
    assert row[:2] == ["c1", "2"]
    assert row[2] != "0B"


def test_terminal(running: Docker) -> None:
    terminal = Terminal(running.machine, "docker", "exec", "-ti", "c1", "sh", rows=33, columns=99)
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.type("tty\n")
    terminal.expect("/dev/pts/")
    terminal.follows(20, 70)
    terminal.type("exit 4\n")
    assert terminal.wait() == 4


def test_exec_sees_the_limits_of_the_container(docker: Docker) -> None:
    # The threads of runc count within the container's cgroup: with less it cannot execute anything there.
    most = 7 if docker.runtime.ours else 50
    options = ["--cap-drop=ALL", f"--pids-limit={most}", "--security-opt=no-new-privileges"]
    docker.keep("-d", "--name=c1", *options, "--", "sleep", "1000").ok()
    lines = docker("exec", "c1", "cat", "/proc/self/status", "/sys/fs/cgroup/pids/pids.max").out.splitlines()
    shown = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    assert (shown["CapEff"].strip("0"), shown["NoNewPrivs"]) == ("", "1")
    assert lines[-1] == str(most)
