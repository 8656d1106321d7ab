"""Resource groups of the resctrl file system, where the machine has one; what is refused everywhere."""

from __future__ import annotations

import os

from .. import host
from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

IDLE = ["/bin/sleep", "70000"]


def _top() -> str:
    top = host.resctrl()
    known = "and is not mounted" if host.kernel_file_system("resctrl") else "and the kernel has none"
    need(top, f"no resctrl file system is mounted, {known}")
    return top


def _schema(top: str, start: str = "L3:") -> str:
    """A line of the root group's schemata, which every group may have."""
    lines = [line.strip() for line in host.text(f"{top}/schemata").splitlines()]
    found = next((line for line in lines if line.startswith(start)), "")
    need(found, f"this processor has no {start}")
    return found


def _bundle(bench: Bench, **settings: Any) -> Bundle:
    bundle = bench.bundle(IDLE)
    bundle.linux["intelRdt"] = settings
    return bundle


class _Groups:
    """Groups that a check may use; removed afterwards."""

    def __init__(self, bench: Bench, top: str) -> None:
        self.top = top
        self.name = f"{bench.session.mark}-clos"
        self.path = f"{top}/{self.name}"

    def __enter__(self) -> _Groups:
        return self

    def __exit__(self, *_: object) -> None:
        if os.path.isdir(self.path):
            os.rmdir(self.path)


def _lines(path: str) -> list[str]:
    return [line.strip() for line in host.text(f"{path}/schemata").splitlines()]


def _groups(top: str) -> Iterator[str]:
    for name in sorted(os.listdir(top)):
        if os.path.isdir(f"{top}/{name}") and name not in ("info", "mon_data", "mon_groups"):
            yield f"{name} {host.text(f'{top}/{name}/schemata')}"
    yield host.text(f"{top}/schemata")


@covers("config-linux.intelRdt.not-mounted")
def not_mounted(bench: Bench) -> None:
    need(not host.resctrl(), "a resctrl file system is mounted")
    bench.fails(_bundle(bench, closID="conformance", l3CacheSchema="L3:0=f"))
    bench.fails(_bundle(bench))


@covers("config-linux.intelRdt.unset")
def unset(bench: Bench) -> None:
    """Groups and schemata before and after."""
    top = _top()
    before = list(_groups(top))
    bench.run(bench.bundle()).ok()
    assert list(_groups(top)) == before


def _wrong(id: str, name: str, value: Any) -> None:
    @covers(f"config-linux.intelRdt.{id}")
    def check(bench: Bench) -> None:
        """An error with and without a resctrl file system."""
        bench.fails(_bundle(bench, **{name: value}))


_wrong("memBwSchema.start", "memBwSchema", "L3:0=f")
_wrong("memBwSchema.newlines", "memBwSchema", "MB:0=20\nMB:1=20")
_wrong("schemata.newlines", "schemata", ["L3:0=f\nL3:1=f"])


@covers("config-linux.intelRdt.tasks", "config-linux.intelRdt.closID.create", "config-linux.intelRdt.keep")
def tasks(bench: Bench) -> None:
    """In a group that is made; it stays after delete, as closID is set."""
    top = _top()
    with _Groups(bench, top) as groups:
        bundle = _bundle(bench, closID=groups.name, l3CacheSchema=_schema(top))
        bench.launch(bundle)
        assert str(bench.pid(bundle)) in host.text(f"{groups.path}/tasks").split()
        bench.kill(bundle, "KILL")
        bench.ended(bundle)
        assert os.path.isdir(groups.path)


@covers("config-linux.intelRdt.closID.root")
def root_class(bench: Bench) -> None:
    top = _top()
    bundle = _bundle(bench, closID="/")
    bench.launch(bundle)
    assert str(bench.pid(bundle)) in host.text(f"{top}/tasks").split()


@covers("config-linux.intelRdt.either", "config-linux.intelRdt.closID.unset", "config-linux.intelRdt.remove")
def own_group(bench: Bench) -> None:
    """A group of the container's id, gone after delete."""
    top = _top()
    schema = _schema(top)
    bundle = _bundle(bench, l3CacheSchema=schema)
    bench.launch(bundle)
    assert schema in _lines(f"{top}/{bundle.id}")
    bench.kill(bundle, "KILL")
    bench.ended(bundle)
    assert not os.path.isdir(f"{top}/{bundle.id}")


@covers("config-linux.intelRdt.both", "config-linux.intelRdt.both.order")
def both(bench: Bench) -> None:
    """A line of MB: in the first is overruled by the second, as it is written last."""
    top = _top()
    cache, bandwidth = _schema(top), _schema(top, "MB:")
    bundle = _bundle(bench, l3CacheSchema=cache, memBwSchema=bandwidth)
    bench.launch(bundle)
    assert {cache, bandwidth} <= set(_lines(f"{top}/{bundle.id}"))


@covers("config-linux.intelRdt.schemata", "config-linux.intelRdt.schemata.last")
def schemata(bench: Bench) -> None:
    """It overrules l3CacheSchema, as it is written last."""
    top = _top()
    whole = _schema(top)
    domain, _, mask = whole.removeprefix("L3:").split(";")[0].partition("=")
    part = f"L3:{domain}={int(mask, 16) >> 1:x}"
    bundle = _bundle(bench, l3CacheSchema=part, schemata=[whole])
    bench.launch(bundle)
    assert whole in _lines(f"{top}/{bundle.id}")


@covers("config-linux.intelRdt.none", "config-linux.intelRdt.closID.check", "config-linux.intelRdt.closID.assign")
def existing_group(bench: Bench) -> None:
    """With nothing to write: an error without the group; with it the process is in it, and its schemata stay."""
    top = _top()
    with _Groups(bench, top) as groups:
        bench.fails(_bundle(bench, closID=groups.name))
        os.mkdir(groups.path)
        before = _lines(groups.path)
        bundle = _bundle(bench, closID=groups.name)
        bench.launch(bundle)
        assert str(bench.pid(bundle)) in host.text(f"{groups.path}/tasks").split() and _lines(groups.path) == before


@covers("config-linux.intelRdt.closID.compare")
def compare(bench: Bench) -> None:
    top = _top()
    whole = _schema(top)
    domain, _, mask = whole.removeprefix("L3:").split(";")[0].partition("=")
    with _Groups(bench, top) as groups:
        os.mkdir(groups.path)
        bench.fails(_bundle(bench, closID=groups.name, l3CacheSchema=f"L3:{domain}={int(mask, 16) >> 1:x}"))
        bundle = _bundle(bench, closID=groups.name, l3CacheSchema=whole)
        bench.launch(bundle)


@covers(
    "config-linux.intelRdt.monitoring.create",
    "config-linux.intelRdt.monitoring.name",
    "config-linux.intelRdt.monitoring.delete",
)
def monitoring(bench: Bench) -> None:
    top = _top()
    need(os.path.isdir(f"{top}/mon_groups"), "this processor has no monitoring groups")
    bundle = _bundle(bench, closID="/", enableMonitoring=True)
    bench.launch(bundle)
    group = f"{top}/mon_groups/{bundle.id}"
    assert str(bench.pid(bundle)) in host.text(f"{group}/tasks").split()
    bench.kill(bundle, "KILL")
    bench.ended(bundle)
    assert not os.path.isdir(group)


@covers("config-linux.intelRdt.monitoring.failure")
def monitoring_failure(bench: Bench) -> None:
    """The name is taken by a group that has tasks of its own."""
    top = _top()
    need(os.path.isdir(f"{top}/mon_groups"), "this processor has no monitoring groups")
    limit = int(host.text(f"{top}/info/L3_MON/num_rmids") or 0)
    need(0 < limit < 1024, "the number of monitoring groups is not known or large")
    made = []
    try:
        for number in range(limit):
            path = f"{top}/mon_groups/{bench.session.mark}-{number}"
            try:
                os.mkdir(path)
            except OSError:
                break
            made.append(path)
        bench.fails(_bundle(bench, closID="/", enableMonitoring=True))
    finally:
        for path in made:
            os.rmdir(path)
