"""podman of an ordinary user in a session: the user's own systemd makes the cgroups."""

from __future__ import annotations

import pytest

from ...podman.engine import IMAGE
from .guest import UID, USER_GROUP, GuestQuiet, group, values
from .podman import STAYS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ...machine import Result
    from .podman import SystemdPodman

LIMITS = ("--memory=32m", "--memory-swap=32m", "--cpus=0.5", "--pids-limit=20", "--cpuset-cpus=1")
FILES = ("memory.max", "cpu.max", "pids.max", "cpuset.cpus")
# One forks until it may not, one takes more memory than there is.
FORK = "for i in $(seq 25); do sleep 0.5 & done"
EAT = "dd if=/dev/zero of=/dev/null bs=200M count=1"


@pytest.fixture
def user(engine: SystemdPodman, busybox: str) -> Iterator[Callable[..., Result]]:
    """podman of the user, who has the image; afterwards nothing of a container may be left."""

    def run(*words: str, stdin: bytes = b"", check: bool = True) -> Result:
        result = engine.machine.as_user("podman", *words, stdin=stdin)
        return result.ok() if check else result

    with open(busybox, "rb") as file:
        run("import", "-", IMAGE, stdin=file.read())
    # From here on podman has a process that keeps the user's namespace.
    states = [f"/run/user/{UID}/{engine.runtime.name}"]
    quiet = GuestQuiet(engine.machine, states, (*STAYS, "1000.service/user.slice", "user's user.slice"), slices=())
    yield run
    quiet.check()


def test_a_life_with_limits(user: Callable[..., Result]) -> None:
    user("run", "-d", "--name=c1", *LIMITS, IMAGE, "sleep", "1000")
    pid, identifier = user("inspect", "-f", "{{.State.Pid}} {{.Id}}", "c1").words
    where = group(pid)
    assert where == f"{USER_GROUP}/user.slice/libpod-{identifier}.scope"
    assert values(where, *FILES) == [str(32 << 20), "50000 100000", "20", "1"]
    seen = user("exec", "c1", "sh", "-c", f"id -u; cat /proc/self/cgroup; cd /sys/fs/cgroup; cat {' '.join(FILES)}")
    assert seen.out.splitlines() == ["0", "0::/", str(32 << 20), "50000 100000", "20", "1"]
    user("exec", "c1", "sh", "-c", EAT, check=False).ends(137)
    assert "oom_kill 1" in values(where, "memory.events")[0]
    user("pause", "c1")
    assert values(where, "cgroup.events") == ["populated 1\nfrozen 1"]
    user("unpause", "c1")
    assert user("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "c1").words[0] == "c1"
    user("update", "--memory=64m", "--memory-swap=64m", "c1")
    assert values(where, "memory.max") == [str(64 << 20)]
    # Nobody waits for these in there, so they stay counted to the end.
    user("exec", "c1", "sh", "-c", FORK, check=False).ends(2, "can't fork")
    user("rm", "-f", "-t", "0", "c1")
