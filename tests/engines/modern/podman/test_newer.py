"""What only podman 5 asks of a runtime."""

from __future__ import annotations

import json

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...podman.engine import Podman

MAP = ["--uidmap=0:500000:65536", "--gidmap=0:500000:65536"]


def test_update(podman: Podman) -> None:
    """Every update denies all devices, too, and has what is to be changed in a file."""
    podman.keep("-d", "--memory=32m", "--name=c1", "--", "sleep", "1000").ok()
    podman("update", "--memory=64m", "--memory-swap=64m", "--cpus=0.5", "--pids-limit=50", "--cpuset-cpus=0", "c1")
    files = "memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max cpuset/cpuset.cpus"
    shown = podman("exec", "c1", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").words
    assert shown == [str(64 << 20), "50000", "50", "0"]
    podman("update", "--restart=on-failure:2", "c1")
    podman("exec", "c1", "dd", "if=/dev/zero", "of=/dev/null", "bs=4", "count=1")
    podman("exec", "c1", "sh", "-c", "mknod /n c 1 11 && cat /n", check=False).ends(1, "Operation not permitted")
    assert podman("exec", "c1", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").words == shown
    podman("stop", "-t", "0", "c1")
    podman("start", "c1")
    # What was changed is what it is started with.
    assert podman("exec", "c1", "sh", "-c", f"cd /sys/fs/cgroup; cat {files}").words == shown


@pytest.mark.parametrize("option", ["idmap", "idmap=uids=0-500000-10#1000-501000-1;gids=0-500000-10#1000-501000-1"])
def test_volume_with_mapped_owners(podman: Podman, option: str) -> None:
    """Files of root of the host are those of root of the container, which is nobody of the host."""
    machine = podman.machine
    machine.write(f"{machine.store}/idmapped/file", "kept\n")
    script = "stat -c %u /m/file && echo new > /m/new && cat /m/file"
    result = podman.run("-v", f"{machine.store}/idmapped:/m:{option}", *MAP, "--", "sh", "-c", script)
    assert result.words == ["0", "kept"]
    assert machine.run("stat", "-c", "%u", f"{machine.store}/idmapped/new").words == ["0"]
    machine.run("rm", f"{machine.store}/idmapped/new").ok()
    # Without the option root of the container may read it only.
    plain = podman.run("-v", f"{machine.store}/idmapped:/m", *MAP, "--", "sh", "-c", script)
    plain.ends(1, "65534", "Permission denied")


def test_user_namespaces_that_podman_chooses(podman: Podman) -> None:
    ids = "containers:700000:65536"
    for name, line in (("passwd", "containers:x:991:991::/:/bin/false"), ("subuid", ids), ("subgid", ids)):
        with open(f"{podman.machine.store}/etc/{name}", "a", encoding="utf-8") as file:
            file.write(line + "\n")
    for options in (["--userns=auto:size=1024"], ["--userns=auto:size=1024", "--read-only"]):
        first, _, size = podman.run(*options, "--", "cat", "/proc/self/uid_map").words[-3:]
        assert (first, size) == ("0", "1024")


def test_health_after_the_start(podman: Podman) -> None:
    """The checks of a start-up, their log, and what happens when one fails."""
    options = ["--health-cmd=test -e /tmp/well", "--health-interval=disable", "--health-on-failure=kill"]
    podman.keep("-d", "--name=c1", *options, "--health-retries=1", "--", "sleep", "1000").ok()
    podman("exec", "c1", "touch", "/tmp/well")
    podman("healthcheck", "run", "c1")
    assert podman.inspect("c1", ".State.Health.Status") == "healthy"
    podman("exec", "c1", "rm", "/tmp/well")
    podman("healthcheck", "run", "c1", check=False).ends(1)
    podman.until(lambda: podman.inspect("c1", ".State.Status") == "exited", "it is killed")


def test_device_by_its_name(podman: Podman) -> None:
    store = podman.machine.store
    hook = {"hookName": "createRuntime", "path": "/bin/sh", "args": ["sh", "-c", f"cat > {store}/cdi-state"]}
    edits = {"env": ["CDI=yes"], "deviceNodes": [{"path": "/dev/odd", "hostPath": "/dev/fuse"}], "hooks": [hook]}
    spec = {"cdiVersion": "0.6.0", "kind": "example.com/odd", "devices": [{"name": "one", "containerEdits": edits}]}
    podman.machine.write(f"{store}/cdi/odd.json", json.dumps(spec))
    words = ["run", "--rm", "--device=example.com/odd=one", "localhost/bb:latest"]
    out = podman(f"--cdi-spec-dir={store}/cdi", *words, "sh", "-c", "echo $CDI; stat -c %t,%T /dev/odd").words
    assert out == ["yes", "a,e5"]
    assert json.loads(podman.machine.run("cat", f"{store}/cdi-state").ok().out)["status"] in ("creating", "created")


def test_root_directory_and_overlay_volume(podman: Podman) -> None:
    """A directory as root file system, with writes that go elsewhere; and a volume of that kind."""
    machine = podman.machine
    machine.run("install", "-D", "/bin/busybox", f"{machine.store}/plain/bin/busybox").ok()
    machine.run("ln", "-sf", "busybox", f"{machine.store}/plain/bin/sh").ok()
    script = "echo gone > /file; echo hi"
    podman("run", "--rm", "--rootfs", f"{machine.store}/plain:O", "sh", "-c", script).says("hi")
    machine.run("test", "-e", f"{machine.store}/plain/file").ends(1)
    machine.write(f"{machine.store}/overlaid/file", "kept\n")
    script = "cat /m/file && echo new > /m/file"
    podman.run("-v", f"{machine.store}/overlaid:/m:O", "--", "sh", "-c", script).says("kept")
    machine.run("cat", f"{machine.store}/overlaid/file").says("kept")


def test_read_only_with_a_temporary_directory(podman: Podman) -> None:
    """`--read-only` brings writable /tmp, /run, /dev/shm, unless asked not to."""
    podman.run("--read-only", "--", "sh", "-c", "touch /tmp/x /run/x /dev/shm/x && ! touch /x").ok()
    podman.run("--read-only", "--read-only-tmpfs=false", "--", "touch", "/dev/shm/x").ends(1, "Read-only file system")
