"""docker run: programs, their output and status, and the options that become config.json."""

from __future__ import annotations

import json
import re

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker


def test_output_and_status(docker: Docker) -> None:
    docker.run("echo", "hi").says("hi")
    docker.run("sh", "-c", "exit 42").ends(42)
    docker.run("-i", "--", "cat", stdin=b"given\n").says("given")
    both = docker.run("sh", "-c", "echo out; echo err >&2").ok()
    assert (both.out, both.err) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [
        ("nosuchcmd", 127, "executable file not found in $PATH"),
        ("/no/such", 127, "no such file or directory"),
        ("/etc/passwd", 126, "permission denied"),
        ("/etc", 126, "permission denied"),
    ],
)
def test_program_that_cannot_start(docker: Docker, program: str, code: int, text: str) -> None:
    result = docker.run(program).ends(code, text)
    assert f'exec: "{program}"' in result.err


def test_limits_are_visible(docker: Docker) -> None:
    files = "memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us cpu/cpu.shares cpuset/cpuset.cpus"
    options = ["--memory=64m", "--cpus=0.5", "--pids-limit=20", "--cpu-shares=512", "--cpuset-cpus=0"]
    result = docker.run(*options, "--", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}")
    assert result.words == [str(64 << 20), "20", "50000", "512", "0"]


def test_too_many_processes(docker: Docker) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done"
    result = docker.run("--pids-limit=5", "--", "sh", "-c", script)
    assert result.code != 0
    assert "can't fork" in result.err


def test_out_of_memory(docker: Docker) -> None:
    options = ["--name", "oom", "--memory=32m", "--memory-swap=32m"]
    docker.keep(*options, "--", "dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1").ends(137)
    assert docker.inspect("oom", ".State.OOMKilled") == "true"
    assert docker.inspect("oom", ".State.ExitCode") == "137"


def test_init(docker: Docker) -> None:
    assert "docker-init" in docker.run("--init", "--", "ps", "-o", "pid,args").ok().out.splitlines()[1]


def status(docker: Docker, *options: str) -> dict[str, str]:
    """/proc/self/status of a container, key by key."""
    lines = docker.run(*options, "--", "cat", "/proc/self/status").ok().out.splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_capabilities(docker: Docker) -> None:
    def effective(*options: str) -> str:
        return status(docker, *options)["CapEff"].lstrip("0")

    with open("/proc/self/status", encoding="ascii") as file:
        (bounding,) = re.findall(r"CapBnd:\s+(\w+)", file.read())
    assert effective("--cap-drop=ALL") == ""
    assert effective("--cap-add=NET_ADMIN", "--cap-drop=CHOWN") == "a80435fa"
    # dockerd's table of capabilities may be older than the kernel's: it has those to AUDIT_READ (37) at least.
    known = int(bounding, 16) & ((1 << 38) - 1) & ~(1 << 24)
    # runc 1.1 fails to give what the machine has not.
    less = [] if docker.runtime.ours else ["--cap-drop=SYS_RESOURCE"]
    assert int(effective("--cap-add=ALL", *less), 16) & known == known


def test_privileged(docker: Docker) -> None:
    """All capabilities that the machine has, all devices, and a writable /sys."""
    if not docker.runtime.ours:
        pytest.skip(
            "runc refuses a capability that is not in the bounding set, as on machines without CAP_SYS_RESOURCE"
        )
    with open("/proc/self/status", encoding="ascii") as file:
        (bounding,) = re.findall(r"CapBnd:\s+(\w+)", file.read())
    shown = status(docker, "--privileged")
    assert int(shown["CapEff"], 16) == int(shown["CapBnd"], 16)
    assert int(shown["CapBnd"], 16) & ~int(bounding, 16) == 0
    assert shown["Seccomp"] == "0"
    docker.run("--privileged", "--", "sh", "-c", "test -w /sys && mount -t tmpfs t /mnt || mount -t tmpfs t /tmp").ok()


def test_seccomp_and_no_new_privileges(docker: Docker) -> None:
    assert status(docker, "--security-opt=seccomp=unconfined")["Seccomp"] == "0"
    assert status(docker, "--security-opt=no-new-privileges")["NoNewPrivs"] == "1"
    shown = status(docker)
    assert (shown["NoNewPrivs"], shown["Seccomp"]) == ("0", "2")


def test_file_systems(docker: Docker) -> None:
    docker.run("--read-only", "--", "touch", "/x").ends(1, "Read-only file system")
    out = docker.run("--read-only", "--tmpfs=/t:size=1m", "--", "sh", "-c", "touch /t/x && df -k /t").ok().out
    assert re.search(r"\s1024\s.*\s/t$", out, re.M)
    docker.run("-v", "/etc:/m:ro", "--", "touch", "/m/x").ends(1, "Read-only file system")
    docker.run("-v", "vol:/data", "--", "sh", "-c", "echo kept > /data/x").ok()
    docker.run("-v", "vol:/data", "--", "cat", "/data/x").says("kept")
    docker("volume", "rm", "vol")


@pytest.mark.parametrize("kind", ["rshared", "rslave", "rprivate"])
def test_propagation(docker: Docker, kind: str) -> None:
    """What is mounted on the host below a shared volume is seen inside, below a private one not."""
    machine = docker.machine
    machine.run("mkdir", "-p", f"{machine.store}/volume/below").ok()
    docker.keep("-d", "--name=prop", "-v", f"{machine.store}/volume:/v:{kind}", "--", "sleep", "1000").ok()
    machine.run("mount", "-t", "tmpfs", "t", f"{machine.store}/volume/below").ok()
    try:
        seen = docker("exec", "prop", "grep", "-c", " /v/below ", "/proc/self/mountinfo", check=False).out.strip()
    finally:
        machine.run("umount", f"{machine.store}/volume/below").ok()
    assert seen == ("0" if kind == "rprivate" else "1")


def test_devices(docker: Docker) -> None:
    out = docker.run("--device=/dev/fuse:/dev/fuse2", "--", "stat", "-c", "%F %t,%T", "/dev/fuse2").ok().out
    assert out.strip() == "character special file a,e5"
    result = docker.run("sh", "-c", "mknod /n c 1 11 && cat /n")
    result.ends(1, "Operation not permitted")


def test_user(docker: Docker) -> None:
    groups = docker.run("--user=1000:1000", "--group-add=2000", "--", "id").ok().out
    assert groups.startswith("uid=1000(app) gid=1000(app) groups=") and "2000(extra)" in groups
    result = docker.run(
        "--user=app", "-w", "/home/app", "-e", "A=b c", "--", "sh", "-c", "id -u; pwd; echo $A; echo $HOME"
    )
    assert result.ok().out.splitlines() == ["1000", "/home/app", "b c", "/home/app"]


def test_directory_that_is_closed_to_the_user(docker: Docker) -> None:
    """An image with WORKDIR /root and another USER."""
    docker.keep("-d", "--user=app", "-w", "/root", "--name=c1", "--", "sh", "-c", "pwd; exec sleep 1000").ok()
    docker.until(lambda: docker("logs", "c1").out == "/root\n", "the program runs there")
    docker("exec", "c1", "pwd").says("/root")
    docker("exec", "-u", "nobody", "-w", "/root", "c1", "pwd").says("/root")


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts"])
def test_namespace_of_the_host(docker: Docker, kind: str) -> None:
    name = {"network": "net"}.get(kind, kind)
    theirs = docker.machine.run("readlink", f"/proc/1/ns/{name}").ok().out
    assert docker.run(f"--{kind}=host", "--", "readlink", f"/proc/self/ns/{name}").ok().out == theirs
    assert docker.run("readlink", f"/proc/self/ns/{name}").ok().out != theirs


def test_processes_of_the_host_end_with_the_container(docker: Docker) -> None:
    """Its first process has ended; what else is in its cgroup has no namespace that would take it along."""
    docker.run("--pid=host", "--", "sh", "-c", "sleep 996 & sleep 997 & exit 3").ends(3)
    docker.until(lambda: not {"sleep 996", "sleep 997"} & set(docker.machine.processes().values()), "both have ended")


@pytest.mark.parametrize("kind", ["pid", "network", "ipc"])
def test_namespace_of_another_container(docker: Docker, kind: str) -> None:
    name = {"network": "net"}.get(kind, kind)
    docker.keep("-d", "--name=first", "--ipc=shareable", "--", "sleep", "1000").ok()
    theirs = docker("exec", "first", "readlink", f"/proc/self/ns/{name}").out
    assert docker.run(f"--{kind}=container:first", "--", "readlink", f"/proc/self/ns/{name}").ok().out == theirs


def test_network_none(docker: Docker) -> None:
    assert docker.run("--network=none", "--", "ls", "/sys/class/net").words == ["lo"]


def test_small_settings(docker: Docker) -> None:
    options = ["--sysctl=kernel.msgmax=9000", "--hostname=hx", "--shm-size=8m", "--ulimit=nofile=64:128"]
    script = "cat /proc/sys/kernel/msgmax; hostname; df -k /dev/shm | awk 'END {print $2}'; ulimit -Sn; ulimit -Hn"
    assert docker.run(*options, "--", "sh", "-c", script).words == ["9000", "hx", "8192", "64", "128"]


def test_cgroup_parent_and_namespace(docker: Docker) -> None:
    out = docker.run("--cgroup-parent=/docker/above", "--", "cat", "/proc/self/cgroup").ok().out
    assert re.search(r":memory:/docker/above/[0-9a-f]{64}$", out, re.M)
    out = docker.run("--cgroupns=private", "--", "cat", "/proc/self/cgroup").ok().out
    assert {line.rsplit(":", 1)[1] for line in out.splitlines()} == {"/"}


def test_seccomp_profile_of_the_user(docker: Docker) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }
    path = docker.machine.write(f"{docker.machine.store}/profile.json", json.dumps(profile))
    docker.run(f"--security-opt=seccomp={path}", "--", "mkdir", "/x").ends(1, "No space left on device")
    docker.run("sh", "-c", "mkdir /x && ! unshare -m true").ok()
