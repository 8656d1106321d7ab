"""After a power failure: /run is empty, cgroups may be left, and the same containers are started again."""

from __future__ import annotations

import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

LOST = ("/run/docker/runtime-runc", "/run/docker/containerd", "/run/docker.pid")


def test_same_ids_again(docker: Docker) -> None:
    machine = docker.machine
    docker.configure(**{"live-restore": False})
    docker.keep("-d", "--name=c1", "--restart=always", "--memory=64m", "--", "sleep", "1001").ok()
    docker.keep("-d", "--name=c2", "--", "sleep", "1002").ok()
    ids = [docker.inspect(name, ".Id") for name in ("c1", "c2")]
    victims = ("containerd", "sleep 100")
    docker.stop(signal.SIGKILL)
    pids = [str(pid) for pid, args in machine.processes().items() if args.startswith(victims) or "-shim-" in args]
    machine.run("kill", "-KILL", *pids).ok()
    docker.until(lambda: not {int(pid) for pid in pids} & set(machine.processes()), "all have ended")
    machine.run("rm", "-rf", *LOST).ok()
    # Not all of a power failure: the cgroups of the containers are still there, with their limits.
    assert {f"/docker/{name}" for name in ids} <= machine.groups()
    docker.start()
    docker.until(lambda: docker.inspect("c1", ".State.Status") == "running", "the policy has it started")
    docker("start", "c2")
    assert [docker.inspect(name, ".Id") for name in ("c1", "c2")] == ids
    for name in ("c1", "c2"):
        docker("exec", name, "echo", "e").says("e")
    assert docker("exec", "c1", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").words == [str(64 << 20)]
    known = machine.run(docker.runtime.name, "--root", "/run/docker/runtime-runc/moby", "list", "-q").words
    assert sorted(known) == sorted(ids)
