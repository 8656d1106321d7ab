"""After a power failure: /run is empty, cgroups may be left, and the same container is started again."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Podman

LOST = "/run/libpod /run/containers /run/{runtime}"


def test_same_id_again(podman: Podman) -> None:
    machine = podman.machine
    podman.keep("-d", "--name=c1", "--memory=64m", "--", "sh", "-c", "echo x >> /count; exec sleep 1001").ok()
    podman.until(lambda: podman("exec", "c1", "cat", "/count", check=False).out == "x\n", "it runs")
    name = podman.inspect("c1", ".Id")
    pids = [str(pid) for pid, args in machine.processes().items() if args == "sleep 1001" or "conmon" in args]
    # conmon first, so that it cannot tidy up.
    machine.run("kill", "-KILL", *sorted(pids, reverse=True)).ok()
    podman.until(lambda: not {int(pid) for pid in pids} & set(machine.processes()), "all have ended")
    machine.run(
        "sh",
        "-c",
        "umount /var/lib/containers/storage/overlay/*/merged /run/netns/*; rm -rf "
        + LOST.format(runtime=podman.runtime.name),
    )
    assert f"/libpod_parent/libpod-{name}" in machine.groups()
    podman("start", "c1")
    assert podman.inspect("c1", ".Id") == name
    assert podman("exec", "c1", "cat", "/count").words == ["x", "x"]
    assert podman("exec", "c1", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").words == [str(64 << 20)]
