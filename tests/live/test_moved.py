"""A container whose first process has moved to another cgroup, and whose own is gone (a daemon that arranges groups)."""

from __future__ import annotations

import json
import os

import pytest

from . import oracle, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case
    from .process import Result

SLEEP = ["/bin/sh", "-c", "sleep 601 & exec sleep 600"]
# Takes the v1 hierarchies out of sight: what is left is a host with cgroup v2 alone.
ONLY_V2 = """
for point in $(grep ' - cgroup ' /proc/self/mountinfo | cut -d' ' -f5); do umount -l "$point"; done
exec "$@"
"""


class Host:
    """The runtime on a host with cgroup v1, or with v2 alone."""

    def __init__(self, live: Case, version: str) -> None:
        self.live = live
        self.before = (
            ["unshare", "-m", "--propagation", "private", "sh", "-c", ONLY_V2, "sh"] if version == "v2" else []
        )
        self.version = version

    def __call__(self, *args: str) -> Result:
        return process.run([*self.before, *self.live.argv(*args)], scratch=self.live.scratch)

    def groups(self, pid: int) -> dict[str, str]:
        """Where a hierarchy is mounted here -> the cgroup of a process."""
        found = {}
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            for line in file:
                _, names, path = line.rstrip("\n").split(":", 2)
                name = names.removeprefix("name=") if names else "unified"
                top = f"/sys/fs/cgroup/{name}"
                if not os.path.isdir(top):
                    top = f"/sys/fs/cgroup/{name.split(',')[0]}"
                found[top] = path
        return found

    def move(self, bundle: Bundle, pids: list[int], name: str) -> str:
        """Move processes to groups of another name, and remove the container's; gives their path."""
        mark = str(bundle.linux["cgroupsPath"])
        there = f"{mark}{name}" if name else "/"
        for top, path in self.groups(pids[0]).items():
            if path.startswith(mark):
                target = top + there.rstrip("/")
                os.makedirs(target, exist_ok=True)
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if name and os.path.exists(f"{target}/{file}"):
                        with open(f"{os.path.dirname(target)}/{file}", encoding="ascii") as above:
                            _put(f"{target}/{file}", above.read())
                for pid in pids:
                    _put(f"{target}/cgroup.procs", str(pid))
                os.rmdir(top + path)
        return there


def _put(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@pytest.fixture(params=["v1", "v2"])
def host(live: Case, request: pytest.FixtureRequest) -> Iterator[Host]:
    made = Host(live, request.param)
    for needed in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified/cgroup.procs"):
        if not os.path.exists(needed):
            pytest.skip("needs a host with the hierarchies of both versions")
    yield made
    for name in os.listdir(live.root):
        if "~" not in name:
            made("delete", "--force", name)
    for path in oracle.cgroups(live.session.mark):
        if path.endswith("-moved"):
            os.rmdir(path)


def running(host: Host, *, shared: bool = False) -> tuple[Bundle, list[int]]:
    bundle = host.live.bundle(SLEEP)
    if shared:
        bundle.share_host("pid")
    bundle.save()
    host("create", "--bundle", bundle.path, bundle.id).ok()
    host("start", bundle.id).ok()
    pids: list[int] = []

    def both() -> bool:
        pids[:] = host("ps", "--format", "json", bundle.id).ok().json()
        return len(pids) == 2

    process.eventually(both, "two processes")
    first = host("state", bundle.id).ok().json()["pid"]
    return bundle, [first, *(pid for pid in pids if pid != first)]


@pytest.mark.parametrize("name", ["-moved", ""], ids=["other", "root"])
def test_exec_goes_where_the_first_process_is(host: Host, name: str) -> None:
    bundle, pids = running(host)
    there = host.move(bundle, pids, name)
    shown = host("exec", bundle.id, "/bin/cat", "/proc/self/cgroup").ok().out.splitlines()
    wanted = {line for line in _lines(pids[0]) if host.version == "v1" or line.startswith("0:")}
    assert wanted <= set(shown) and any(line.endswith(f":{there}") for line in wanted)
    host("exec", "--ignore-paused", bundle.id, "/bin/true").ok()
    assert host("state", bundle.id).ok().json()["status"] == "running"


def _lines(pid: int) -> list[str]:
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return file.read().splitlines()


def test_the_others_find_its_processes_or_say_why_not(host: Host) -> None:
    bundle, pids = running(host)
    host.move(bundle, pids, "-moved")
    assert sorted(host("ps", "--format", "json", bundle.id).ok().json()) == sorted(pids)
    # Others may be where they are now.
    host("pause", bundle.id).failed("is gone", "/proc/PID/cgroup")
    host("events", "--stats", bundle.id).failed("is gone", "/proc/PID/cgroup")
    assert host("state", bundle.id).ok().json()["status"] == "running"


@pytest.mark.parametrize("command", [["kill", "--all"], ["delete", "--force"]], ids=" ".join)
def test_what_ends_them_reaches_them(host: Host, command: list[str]) -> None:
    bundle, pids = running(host, shared=True)
    host.move(bundle, pids, "-moved")
    host(*command, bundle.id, *(["KILL"] if command[0] == "kill" else [])).ok()
    for pid in pids:
        process.eventually(lambda pid=pid: process.describe(pid) == "(gone)", "its end")  # type: ignore[misc]
    host("delete", "--force", bundle.id).ok()


def test_kill_all_without_a_cgroup(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.share_host("pid")
    del bundle.linux["cgroupsPath"]
    bundle.save()
    live.command("--cgroup-manager", "disabled", "create", "--bundle", bundle.path, bundle.id).ok()
    live.start(bundle)
    process.eventually(lambda: len(json.loads(live.command("ps", "--format", "json", bundle.id).out)) == 2, "both")
    pids = live.command("ps", "--format", "json", bundle.id).json()
    live.command("kill", "--all", bundle.id, "KILL").ok()
    for pid in pids:
        process.eventually(lambda pid=pid: process.describe(pid) == "(gone)", "its end")  # type: ignore[misc]
    live.delete(bundle)
    live.assert_clean()
