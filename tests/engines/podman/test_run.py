"""podman run, exec and the life of a container, as root."""

from __future__ import annotations

import json
import re

import pytest

from ..terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..machine import Result
    from ..runtime import Runtime
    from .engine import Podman


def test_output_and_status(podman: Podman) -> None:
    podman.run("echo", "hi").says("hi")
    podman.run("sh", "-c", "exit 42").ends(42)
    podman.run("-i", "--", "cat", stdin=b"given\n").says("given")


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        ("nosuchcmd", 127, 'exec: "nosuchcmd": executable file not found in $PATH'),
        ("/no/such", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ],
)
def test_program_that_cannot_start(podman: Podman, program: str, code: int, text: str) -> None:
    # The words of runc for a directory are others in each version.
    podman.run(program).ends(code, text if podman.runtime.ours else "")


def test_plain_installation(podman: Podman, plain: Runtime) -> None:
    """Without what `ocirun preload` makes."""
    podman.run("echo", "hi").says("hi")
    podman.run("sh", "-c", "exit 42").ends(42)


def test_first_container_after_installation(podman: Podman, plain: Runtime) -> None:
    """It has the preloaded interpreter made, by a process that conmon inherits."""
    if not plain.ours:
        pytest.skip("of ocirun only")
    plain.forget()
    podman.run("echo", "hi").says("hi")
    podman.run("sh", "-c", "exit 42").ends(42)
    told = lambda: podman.machine.run(plain.path, "--version").ok().out  # noqa: E731
    podman.until(lambda: told().endswith("preloaded: yes\n"), "it is preloaded")


def test_exec(podman: Podman) -> None:
    podman.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    podman("exec", "c1", "echo", "e").says("e")
    podman("exec", "c1", "sh", "-c", "exit 42", check=False).ends(42)
    podman("exec", "c1", "nosuchcmd", check=False).ends(127, "executable file not found in $PATH")
    lines = podman("exec", "-u", "app", "-w", "/tmp", "-e", "A=b", "c1", "sh", "-c", "id -u; pwd; echo $A").words
    assert lines == ["1000", "/tmp", "b"]
    podman("exec", "-i", "c1", "cat", stdin=b"x\n").says("x")
    podman("exec", "-d", "c1", "sleep", "999")
    podman.until(lambda: "sleep 999" in podman("top", "c1").out, "the program runs")
    plain, more = (
        int(podman("exec", *options, "c1", "grep", "CapEff", "/proc/self/status").words[1], 16)
        for options in ([], ["--privileged"])
    )
    assert more > plain


def test_preserved_descriptors(podman: Podman) -> None:
    machine = podman.machine
    machine.write(f"{machine.store}/three", "three\n")
    inner = "cat <&3; test -e /proc/self/fd/4 || echo no fourth"
    files = f"3<{machine.store}/three 4<{machine.store}/three"
    script = f"exec {files}; podman run --rm --preserve-fds 1 localhost/bb:latest sh -c '{inner}'"
    machine.run("sh", "-c", script).says("three\nno fourth")
    podman.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    script = f"exec {files}; podman exec --preserve-fds 1 c1 sh -c '{inner}'"
    machine.run("sh", "-c", script).says("three\nno fourth")


def test_socket_activation_and_readiness(podman: Podman) -> None:
    machine = podman.machine
    machine.write(f"{machine.store}/three", "three\n")
    inner = "podman run --rm localhost/bb:latest sh -c 'echo $LISTEN_FDS $LISTEN_PID; cat <&3'"
    script = f"exec 3<{machine.store}/three; LISTEN_FDS=1 LISTEN_PID=$$ exec {inner}"
    assert machine.run("sh", "-c", script).words == ["1", "1", "three"]
    script = "echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo there"
    words = ["run", "--rm", "--sdnotify=container", "localhost/bb:latest", "sh", "-c", script]
    podman(*words, env={"NOTIFY_SOCKET": "/run/nobody-listens"}).says("/run/notify/notify.sock\nthere")


def test_life(podman: Podman) -> None:
    podman.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    podman("pause", "c1")
    assert podman.inspect("c1", ".State.Status") == "paused"
    podman("unpause", "c1")
    assert "sleep 1000" in podman("top", "c1").out
    assert podman("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "c1").words == ["c1", "1"]
    podman("stop", "-t", "1", "c1")
    assert podman.inspect("c1", ".State.ExitCode") == "137"
    podman("start", "c1")
    podman("restart", "-t", "0", "c1")
    podman("kill", "c1")
    podman.until(lambda: podman.inspect("c1", ".State.Status") == "exited", "the container is dead")
    podman("rm", "-f", "-t", "0", "c1")
    podman("create", "--name=c2", "localhost/bb:latest", "sleep", "1000")
    podman("init", "c2")
    assert podman.inspect("c2", ".State.Status") == "initialized"
    podman("start", "c2")
    assert "c2" in podman("ps").out


def test_signals(podman: Podman) -> None:
    script = "trap 'echo got it' USR1; trap 'exit 7' TERM; echo ready; while true; do sleep 0.1; done"
    podman.keep("-d", "--name=c1", "--", "sh", "-c", script).ok()
    podman.until(lambda: "ready" in podman("logs", "c1").out, "the handlers are set")
    podman("kill", "-s", "USR1", "c1")
    podman.until(lambda: "got it" in podman("logs", "c1").out, "the handler ran")
    podman("stop", "-t", "20", "c1")
    assert podman.inspect("c1", ".State.ExitCode") == "7"


def test_host_processes(podman: Podman) -> None:
    """Without a process namespace of its own, a container is ended through its cgroup."""
    podman.keep("-d", "--pid=host", "--name=c1", "--", "sh", "-c", "sleep 999 & sleep 1000").ok()
    podman("stop", "-t", "1", "c1")
    assert not [args for args in podman.machine.processes().values() if args.startswith("sleep")]


def test_update(podman: Podman) -> None:
    podman.keep("-d", "--memory=32m", "--name=c1", "--", "sleep", "1000").ok()
    podman("update", "--memory=64m", "--cpus=0.5", "c1")
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us"
    assert podman("exec", "c1", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").words == [str(64 << 20), "50000"]
    podman("exec", "c1", "dd", "if=/dev/zero", "of=/dev/null", "bs=4", "count=1")


@pytest.mark.parametrize("limit", ["-1", "0"])
def test_no_limit_of_processes(podman: Podman, limit: str) -> None:
    """podman writes 0 for both, in configs of a version in which 0 is none."""
    podman.run(f"--pids-limit={limit}", "--", "sh", "-c", "echo one | cat").says("one")


def test_out_of_memory(podman: Podman) -> None:
    options = ["--name=c1", "--memory=32m", "--memory-swap=32m"]
    podman.keep(*options, "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1").ends(137)


def test_user_namespace(podman: Podman) -> None:
    podman.run("--uidmap=0:100000:65536", "--", "cat", "/proc/self/uid_map").ends(0, "100000")
    podman.run("--uidmap=0:100000:65536", "--", "id", "-u").says("0")


def test_id_mapped_volume(podman: Podman) -> None:
    """Files of the host's root are root's inside, without a change of their owners."""
    if not podman.runtime.ours:
        pytest.skip("runc 1.1 has no id-mapped mounts")
    store = podman.machine.store
    podman.machine.write(f"{store}/shared/file", "kept\n")
    volume = f"{store}/shared:/m:idmap"
    podman.run("-v", volume, "--uidmap=0:100000:65536", "--", "stat", "-c", "%u", "/m/file").says("0")
    podman.run("-v", volume, "--uidmap=0:100000:65536", "--", "touch", "/m/new").ok()
    assert podman.machine.run("stat", "-c", "%u", f"{store}/shared/file", f"{store}/shared/new").words == ["0", "0"]


def test_terminal(podman: Podman) -> None:
    terminal = Terminal(
        podman.machine, "podman", "run", "-it", "--name=c1", "localhost/bb:latest", "sh", rows=33, columns=99
    )
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.type("tty\n")
    terminal.expect("/dev/pts/0")
    terminal.follows(20, 70)
    other = Terminal(podman.machine, "podman", "exec", "-it", "c1", "sh")
    other.expect("#")
    other.type("tty; exit 4\n")
    other.expect("/dev/pts/1")
    assert other.wait() == 4
    terminal.press("\x10", "\x11")
    terminal.wait()
    terminal = Terminal(podman.machine, "podman", "attach", "c1")
    terminal.type("\n")
    terminal.expect("#")
    terminal.type("exit 5\n")
    terminal.wait()
    podman.until(lambda: podman.inspect("c1", ".State.ExitCode") == "5", "the shell has ended")


def test_health(podman: Podman) -> None:
    podman.keep(
        "-d", "--name=c1", "--health-cmd=test -e /tmp/well", "--health-interval=disable", "--", "sleep", "1000"
    ).ok()
    podman("healthcheck", "run", "c1", check=False).ends(1)
    podman("exec", "c1", "touch", "/tmp/well")
    podman("healthcheck", "run", "c1")


def test_cgroups(podman: Podman) -> None:
    def memory(*options: str) -> str:
        out = podman.run(*options, "--", "cat", "/proc/self/cgroup").ok().out
        (found,) = re.findall(r":memory:(.*)", out)
        return str(found)

    assert re.fullmatch(r"/libpod_parent/above/libpod-[0-9a-f]{64}", memory("--cgroup-parent=/libpod_parent/above"))
    assert re.fullmatch(r"/libpod_parent/libpod-[0-9a-f]{64}", memory("--cgroups=no-conmon"))
    assert memory("--cgroupns=private") == "/"
    if podman.runtime.ours:  # runc has no --cgroup-manager
        assert memory("--cgroups=disabled") == "/"
    # podman's own refusal: it can move conmon within cgroup v2 only.
    podman.run("--cgroups=split", "--", "true").ends(126, "could not find cgroup mount")


@pytest.mark.parametrize("kind", ["bind", "volume", "tmpfs", "read-only"])
def test_file_systems(podman: Podman, kind: str) -> None:
    store = podman.machine.store
    podman.machine.write(f"{store}/shared/file", "kept\n")
    if kind == "bind":
        podman.run("-v", f"{store}/shared:/m:ro", "--", "sh", "-c", "cat /m/file && touch /m/x").ends(
            1, "kept", "Read-only"
        )
    elif kind == "volume":
        podman.run("-v", "vol:/data", "--", "sh", "-c", "echo kept > /data/x").ok()
        podman.run("-v", "vol:/data", "--", "cat", "/data/x").says("kept")
        podman("volume", "rm", "vol")
    elif kind == "tmpfs":
        podman.run("--tmpfs=/t:size=1m", "--", "sh", "-c", "touch /t/x; df -k /t").ends(0, "1024")
    else:
        podman.run("--read-only", "--", "touch", "/x").ends(1, "Read-only file system")


def test_published_port(podman: Podman) -> None:
    page = "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 80 -h /www"
    podman.keep("-d", "--name=c1", "-p", "127.0.0.1:8081:80", "--", "sh", "-c", page).ok()
    podman.until(lambda: podman.machine.fetch("http://127.0.0.1:8081/") == "hello\n", "the page is served")


@pytest.mark.parametrize("stage", ["prestart", "createRuntime", "poststop"])
def test_hooks(podman: Podman, stage: str) -> None:
    """A hook of the administrator sees the state; the output of one that fails is shown to the user."""
    store = podman.machine.store
    hook = podman.machine.write(
        f"{store}/hook", f"#!/bin/sh\ncat > {store}/seen\necho 'no: said the hook' >&2\nexit $STATUS\n", 0o755
    )

    def run(status: str) -> Result:
        entry = {
            "version": "1.0.0",
            "hook": {"path": hook, "env": [f"STATUS={status}"]},
            "when": {"always": True},
            "stages": [stage],
        }
        podman.machine.write(f"{store}/hooks.d/hook.json", json.dumps(entry))
        return podman("--hooks-dir", f"{store}/hooks.d", "run", "--rm", "localhost/bb:latest", "true", check=False)

    run("0").ok()
    state = json.loads(podman.machine.run("cat", f"{store}/seen").out)
    assert state["status"] == ("stopped" if stage == "poststop" else "creating")
    if stage != "poststop":
        result = run("3")
        assert result.code == 126
        assert "no: said the hook" in result.err


def test_info_and_inspect(podman: Podman) -> None:
    """What the pages of the engines tell to look at."""
    podman("info", "-f", "{{.Host.OCIRuntime.Name}}").says(podman.runtime.name)
    podman.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    assert podman.inspect("c1", ".OCIRuntime") == podman.runtime.name
    assert podman.inspect("c1", ".OCIConfigPath").endswith("/config.json")
    assert podman.inspect("c1", ".ID") in podman.machine.run(podman.runtime.name, "list", "-q").words
