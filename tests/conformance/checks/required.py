"""REQUIRED properties: a config that is accepted as it is, and must not be without one of them.

The specification makes a config without such a property invalid, and invalid
values an error (config.md, Valid values).
"""

from __future__ import annotations

import copy

from .. import host
from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

    Change = Callable[[dict[str, Any]], object]


def _with(path: str, value: Any) -> Change:
    """Sets a property, by path."""

    def change(config: dict[str, Any]) -> None:
        *way, last = path.split("/")
        for name in way:
            config = config.setdefault(name, {})
        config[last] = copy.deepcopy(value)

    return change


def _mount(config: dict[str, Any]) -> None:
    config["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs"})


def _namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "cgroup"})


def _user_namespace(config: dict[str, Any]) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]
    config["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]


def _block(part: str, **values: Any) -> Change:
    def change(config: dict[str, Any]) -> None:
        device = host.block_device()
        need(device, "this machine has no block device that has a request queue")
        assert device is not None
        entry = {"major": device[0], "minor": device[1], **values}
        config["linux"]["resources"] = {"blockIO": {part: [entry]}}

    return change


def _weight(config: dict[str, Any]) -> None:
    device = host.block_device("bfq")
    need(device, "no block device of this machine has the I/O scheduler bfq, which has weights for devices")
    assert device
    entry = {"major": device[0], "minor": device[1], "weight": 500}
    config["linux"]["resources"] = {"blockIO": {"weightDevice": [entry]}}


def _huge(config: dict[str, Any]) -> None:
    need(host.cgroup("", "hugetlb"), "the cgroup controller hugetlb is not mounted")
    size = host.huge_page_size()
    need(size, "the kernel has no huge pages")
    config["linux"]["resources"] = {"hugepageLimits": [{"pageSize": size, "limit": 1 << 30}]}


def _priorities(config: dict[str, Any]) -> None:
    need(host.v1("net_prio"), "the cgroup controller net_prio is not mounted")
    config["linux"]["resources"] = {"network": {"priorities": [{"name": "lo", "priority": 5}]}}


FILTER = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["getcwd"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 1, "value": 77, "op": "SCMP_CMP_EQ"}],
        }
    ],
}  # fmt: skip

# id without ".required" -> what makes a complete config; the property that is then taken away
TABLE: dict[str, tuple[Change | None, str]] = {
    "config.ociVersion": (None, "ociVersion"),
    "config.root": (None, "root"),
    "config.root.path": (None, "root/path"),
    "config.mounts.destination": (_mount, "mounts/-1/destination"),
    "config.process.cwd": (None, "process/cwd"),
    "config.process.scheduler.policy": (_with("process/scheduler", {"policy": "SCHED_OTHER", "nice": 1}), "process/scheduler/policy"),
    "config.process.ioPriority.class": (_with("process/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 5}), "process/ioPriority/class"),
    "config.process.ioPriority.priority": (_with("process/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 5}), "process/ioPriority/priority"),
    "config-linux.namespaces.type": (_namespace, "linux/namespaces/-1/type"),
    "config-linux.devices.type": (_with("linux/devices", [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]), "linux/devices/0/type"),
    "config-linux.devices.path": (_with("linux/devices", [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]), "linux/devices/0/path"),
    "config-linux.devices.major": (_with("linux/devices", [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]), "linux/devices/0/major"),
    "config-linux.devices.minor": (_with("linux/devices", [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}]), "linux/devices/0/minor"),
    "config-linux.resources.devices.allow": (
        _with("linux/resources/devices", [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]),
        "linux/resources/devices/0/allow",
    ),
    "config-linux.resources.blockIO.weightDevice.major": (_weight, "linux/resources/blockIO/weightDevice/0/major"),
    "config-linux.resources.blockIO.weightDevice.minor": (_weight, "linux/resources/blockIO/weightDevice/0/minor"),
    "config-linux.resources.hugepageLimits.pageSize": (_huge, "linux/resources/hugepageLimits/0/pageSize"),
    "config-linux.resources.hugepageLimits.limit": (_huge, "linux/resources/hugepageLimits/0/limit"),
    "config-linux.resources.network.priorities.name": (_priorities, "linux/resources/network/priorities/0/name"),
    "config-linux.resources.network.priorities.priority": (_priorities, "linux/resources/network/priorities/0/priority"),
    "config-linux.memoryPolicy.mode": (_with("linux/memoryPolicy", {"mode": "MPOL_DEFAULT"}), "linux/memoryPolicy/mode"),
    "config-linux.seccomp.defaultAction": (_with("linux/seccomp", FILTER), "linux/seccomp/defaultAction"),
    "config-linux.seccomp.syscalls.names": (_with("linux/seccomp", FILTER), "linux/seccomp/syscalls/0/names"),
    "config-linux.seccomp.syscalls.action": (_with("linux/seccomp", FILTER), "linux/seccomp/syscalls/0/action"),
    "config-linux.seccomp.syscalls.args.index": (_with("linux/seccomp", FILTER), "linux/seccomp/syscalls/0/args/0/index"),
    "config-linux.seccomp.syscalls.args.value": (_with("linux/seccomp", FILTER), "linux/seccomp/syscalls/0/args/0/value"),
    "config-linux.seccomp.syscalls.args.op": (_with("linux/seccomp", FILTER), "linux/seccomp/syscalls/0/args/0/op"),
    "config-linux.personality.domain": (_with("linux/personality", {"domain": "LINUX"}), "linux/personality/domain"),
}  # fmt: skip

for _name in ("type", "soft", "hard"):
    TABLE[f"config.process.rlimits.{_name}"] = (
        _with("process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]),
        f"process/rlimits/0/{_name}",
    )
for _name in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
    TABLE[f"config.hooks.{_name}.path"] = (_with(f"hooks/{_name}", [{"path": "/bin/true"}]), f"hooks/{_name}/0/path")
for _name in ("containerID", "hostID", "size"):
    TABLE[f"config-linux.idMappings.{_name}"] = (_user_namespace, f"linux/uidMappings/0/{_name}")
for _kind, _part in (("throttleBps", "throttleReadBpsDevice"), ("throttleIOPS", "throttleWriteIOPSDevice")):
    for _name in ("major", "minor", "rate"):
        TABLE[f"config-linux.resources.blockIO.{_kind}.{_name}"] = (
            _block(_part, rate=1 << 30),
            f"linux/resources/blockIO/{_part}/0/{_name}",
        )


def take_away(config: Any, path: str) -> None:
    """Delete a property, by path."""
    *way, last = path.split("/")
    for name in way:
        config = config[int(name) if name.lstrip("-").isdigit() else name]
    del config[last]


def _complete(bench: Bench, change: Change | None) -> Bundle:
    bundle = bench.bundle(["/bin/true"])
    if change:
        change(bundle.config)
    return bundle


def _accepted(bench: Bench, change: Change | None) -> str:
    """The error of the complete config, "" if it is accepted."""
    result = bench.run(_complete(bench, change))
    return result.report() if result.code else ""


def _check(id: str, change: Change | None, path: str) -> None:
    @covers(f"{id}.required")
    def check(bench: Bench) -> None:
        key = path.rpartition("/")[0] if change else "plain"
        error = bench.once(f"complete {key}", lambda bench: _accepted(bench, change))
        assert not error, f"refused although nothing is missing: {error}"
        incomplete = _complete(bench, change)
        take_away(incomplete.config, path)
        bench.fails(incomplete)


for _id, (_change, _path) in TABLE.items():
    _check(_id, _change, _path)


@covers("config.process.args.required")
def args(bench: Bench) -> None:
    """None, and an empty list."""
    missing = bench.bundle()
    del missing.process["args"]
    bench.fails(missing)
    bench.fails(bench.bundle([]))


def _user(name: str) -> None:
    @covers(f"config.process.user.{name}.required")
    def check(bench: Bench) -> None:
        """The schema of the specification does not require it: an error is right, and so is 0, but nothing else."""
        bundle = bench.bundle(["/bin/id", f"-{name[0]}"])
        del bundle.process["user"][name]
        result = bench.run(bundle)
        assert result.code or result.out == "0\n", result.report()


_user("uid")
_user("gid")


@covers("config.process.required", "runtime.operations.start.no-process")
def process(bench: Bench) -> None:
    """An error at create is as good: the container cannot be started."""
    bundle = bench.bundle()
    del bundle.config["process"]
    bench.fails(bundle)


def _console_size(name: str) -> None:
    @covers(f"config.process.consoleSize.{name}.required")
    def check(bench: Bench) -> None:
        bundle = bench.bundle(["/bin/sleep", "70000"])
        bundle.process["terminal"] = True
        bundle.process["consoleSize"] = {"height": 20, "width": 70}
        result, master = bench.with_terminal(bundle)
        assert master >= 0, f"refused although nothing is missing: {result.report()}"
        other = bench.bundle(["/bin/true"])
        other.process["terminal"] = True
        other.process["consoleSize"] = {"height": 20, "width": 70}
        del other.process["consoleSize"][name]
        result, _ = bench.with_terminal(other)
        assert result.code, "accepted: " + result.report()


_console_size("height")
_console_size("width")
