"""Why a config that fits the schema may be refused: each reason by name, with a test of the config that is not the runtime's.

The schema cannot state these.  What is refused for none of them is a mistake of
the runtime.
"""

from __future__ import annotations

import itertools
import re

from ocirun._base.jsonio import pointer_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MISSING = object()


class Place:
    """A value of a config: where it is, what it is, and what is around it."""

    def __init__(self, config: Any, pointer: str) -> None:
        self.config = config
        self.pointer = pointer
        self.names: list[str] = []
        self.parents: list[Any] = []
        value: Any = config
        for part in pointer.split("/")[1:]:
            # Keys that cannot be printed are written as JSON escapes.
            known = value if isinstance(value, dict) else ()
            name = next((key for key in known if pointer_token(key) == part), part)
            self.names.append(name)
            self.parents.append(value)
            if isinstance(value, list):
                value = value[int(name)]
            else:
                value = value.get(name, MISSING) if isinstance(value, dict) else MISSING
        self.value = value

    @property
    def parent(self) -> Any:
        return self.parents[-1]

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def index(self) -> int:
        """Of the entry in the nearest list above."""
        return int(next(name for name in reversed(self.names) if name.isdigit()))

    @property
    def entries(self) -> Any:
        """The nearest list above."""
        return next(parent for parent in reversed(self.parents) if isinstance(parent, list))

    def namespace(self, kind: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = (self.config.get("linux") or {}).get("namespaces") or []
        return next((entry for entry in found if entry["type"] == kind), None)


def _list(text: Any) -> bool:
    """A list of numbers and ranges as cpuset(7) has it, that rise and are below 65536."""
    if not isinstance(text, str) or not re.fullmatch(
        r"\s*\d{1,5}(-\d{1,5})?\s*(,\s*\d{1,5}(-\d{1,5})?\s*)*", text, re.ASCII
    ):
        return False
    spans = [part.strip().split("-") for part in text.split(",")]
    return all(int(span[0]) <= int(span[-1]) < 65536 for span in spans)


def _device_name(text: str) -> bool:
    """dev_valid_name() of the kernel, with one %d allowed."""
    good = text not in ("", ".", "..") and len(text.encode()) < 16 and not re.search(r"[/:\s]", text)
    return good and text.count("%") == text.count("%d") < 2


def _repeated(place: Place, key: str) -> bool:
    return any(entry[key] == place.entries[place.index][key] for entry in place.entries[: place.index])


def _other_policy(place: Place) -> bool:
    wanted = {
        "nice": ("SCHED_OTHER", "SCHED_BATCH"),
        "priority": ("SCHED_FIFO", "SCHED_RR"),
    }.get(place.name, ("SCHED_DEADLINE",))
    return place.value != 0 and place.parent["policy"] not in wanted


def _deadline(place: Place) -> bool:
    block = place.parent
    runtime, deadline, period = (block.get(key, 0) for key in ("runtime", "deadline", "period"))
    right = 1024 <= runtime <= deadline < 2**63 and (not period or deadline <= period < 2**63)
    return block["policy"] == "SCHED_DEADLINE" and not right


def _errno(place: Place) -> bool:
    action = place.parent.get("action") or place.parent["defaultAction"]
    if action == "SCMP_ACT_ERRNO":
        return bool(place.value > 4095)
    return action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")


def _sysctl(place: Place) -> bool:
    """Not below the directories that a namespace has; the names themselves are tried in test_sysctl."""
    path = place.name.replace("/", ".")
    return not path.startswith(("net.", "fs.mqueue.", "kernel.", "user.")) or place.name in ("net.", "kernel.")


def _size(text: str) -> int:
    return int(text[:-2])


def _microseconds(place: Place) -> bool:
    least, most = {"period": (1000, 10**6), "burst": (0, 17592186044415)}.get(place.name, (1000, 17592186044415))
    return not least <= place.value <= most


def _same_name(place: Place) -> bool:
    names = [device.get("name") or host for host, device in place.parents[2].items()]
    return len(set(names)) < len(names)


def _bad_map(place: Place) -> bool:
    """Lines that name an id twice on one side, or go beyond the last one, user_namespaces(7)."""
    for key in ("containerID", "hostID"):
        spans = sorted((line[key], line[key] + line["size"]) for line in place.entries)
        if any(end > 2**32 - 1 for _, end in spans):
            return True
        if any(left[1] > right[0] for left, right in itertools.pairwise(spans)):
            return True
    return False


def _one_sided(place: Place) -> bool:
    return bool(place.parent.get("uidMappings")) != bool(place.parent.get("gidMappings"))


def _small_sum(place: Place) -> bool:
    """The sum of memory and swap, where -1 is no limit."""
    limit = place.parent.get("limit", 0)
    return place.value >= 0 and (limit < 0 or limit > place.value)


def _mount(place: Place) -> bool:
    mount = place.parents[2] if len(place.parents) > 2 else place.value
    words = {word for option in mount.get("options") or () for word in option.split(",")}
    return not words & {"bind", "rbind"} and (not mount.get("type") or mount["destination"].strip("/") == "proc")


Reason = tuple[str, str, "Callable[[Place], bool]"]

# Of the specification, or of what it refers to.
SPEC: list[Reason] = [
    (r"/process/(apparmorProfile|selinuxLabel)", "a label of several lines", lambda p: "\n" in p.value),
    (r"/linux/namespaces/\d+/type", "a type of namespace twice", lambda p: _repeated(p, "type")),
    (r"/process/rlimits/\d+/type", "a resource limit twice", lambda p: _repeated(p, "type")),
    (r"/process/rlimits/\d+/soft", "a soft limit above the hard one", lambda p: p.value > p.parent["hard"]),
    (r"/process/args/0", "an empty name of a program", lambda p: p.value == ""),
    (r"/process/scheduler/(nice|priority|runtime|deadline|period)", "a value of another policy", _other_policy),
    (r"/process/scheduler/(runtime|deadline|period)", "no deadline that can be met, sched(7)", _deadline),
    (r"/process/scheduler/nice", "nice outside -20 .. 19", lambda p: not -20 <= p.value <= 19),
    (
        r"/process/scheduler/priority",
        "priority outside 1 .. 99, sched(7)",
        lambda p: p.parent["policy"] in ("SCHED_FIFO", "SCHED_RR") and not 1 <= p.parent.get("priority", 0) <= 99,
    ),
    (r"/process/ioPriority/priority", "no level of a class that has levels", lambda p: p.value is MISSING),
    (r"/process/execCPUAffinity/(initial|final)", "not a list of processors", lambda p: not _list(p.value)),
    (r"/linux/devices/\d+/(major|minor)", "no number of a device", lambda p: p.value is MISSING and p.parent["type"] != "p"),
    (
        r"/linux/devices/\d+/path",
        "not the path of a file",
        lambda p: ".." in p.value.split("/") or not p.value.strip("/."),
    ),
    (r"/linux/(uid|gid)Mappings", "mappings without a user namespace", lambda p: p.namespace("user") is None),
    (
        r"/linux/(uid|gid)Mappings",
        "a new user namespace without mappings",
        lambda p: p.namespace("user") is not None and p.value in (MISSING, []),
    ),
    (r"(/linux|/mounts/\d+)/(uid|gid)Mappings/\d+/\w+", "mappings that overlap or go beyond the last id", _bad_map),
    (r"/mounts/\d+/(uid|gid)Mappings", "mappings of users or of groups alone", _one_sided),
    (r"/linux/timeOffsets", "offsets without a new time namespace", lambda p: p.namespace("time") is None),
    (r"/linux/timeOffsets", "not a clock", lambda p: bool(set(p.value) - {"monotonic", "boottime"})),
    (r"/root/readonly", "the host's own file system made read-only", lambda p: p.namespace("mount") is None),
    (r"/linux/(masked|readonly)Paths", "covered paths in the host's mount namespace", lambda p: p.namespace("mount") is None),
    (r"/(hostname|domainname)", "a name for the host itself", lambda p: p.namespace("uts") is None),
    (r"/linux/netDevices", "devices that have nowhere to go", lambda p: p.namespace("network") is None),
    (r"/linux/netDevices/.*", "not the name of a network device", lambda p: not _device_name(p.names[2])),
    (r"/linux/netDevices/.*/name", "not the name of a network device", lambda p: not _device_name(p.parent.get("name", p.names[2]))),
    (r"/linux/netDevices/.*/name", "a name twice", _same_name),
    (r"/linux/intelRdt/memBwSchema", "not one MB: line", lambda p: not re.fullmatch(r"MB:[^\n]*", p.value)),
    (r"/linux/intelRdt/schemata/\d+", "not one line", lambda p: "\n" in p.value),
    (r"/linux/intelRdt/closID", "not the name of a directory", lambda p: p.value in (".", "..") or "/" in p.value),
    (
        r"/linux/memoryPolicy/nodes",
        "nodes that do not fit the mode, set_mempolicy(2)",
        lambda p: bool(p.parent.get("nodes")) == (p.parent["mode"] in ("MPOL_DEFAULT", "MPOL_LOCAL")),
    ),
    (r"/linux/memoryPolicy/nodes", "not a list of nodes", lambda p: not _list(p.value) or int(re.findall(r"\d+", p.value)[-1]) > 1023),
    (r"/linux/memoryPolicy/flags(/\d+)?", "flags that do not fit, set_mempolicy(2)", lambda p: bool(p.parents[2].get("flags"))),
    (r"/linux/personality/flags", "a personality flag: there are none", lambda p: bool(p.value)),
    (r"/linux/seccomp(/syscalls/\d+)?/(defaultErrnoRet|errnoRet)", "an errno that the action does not have", _errno),
    (r"/linux/seccomp/listenerMetadata", "metadata for nobody", lambda p: not p.parent.get("listenerPath")),
    (
        r"/linux/seccomp(/syscalls/\d+)?/(defaultAction|action)",
        "a notification to nobody, or of the call that hands it over",
        lambda p: p.value == "SCMP_ACT_NOTIFY",
    ),
    (r"/linux/sysctl/.*", "not of a namespace", _sysctl),
    (r"/linux/resources/unified/.*", "not a file of cgroup v2", lambda p: not re.fullmatch(r"[A-Za-z0-9_]+\.[A-Za-z0-9_.]+", p.name)),
    (r"/linux/resources/cpu/(cpus|mems)", "not a list of processors or nodes", lambda p: not _list(p.value)),
    (r"/linux/resources/memory/swap", "memory and swap below memory", _small_sum),
    (r"/linux/resources/memory/swap", "memory and swap without memory", lambda p: not p.parent.get("limit")),
    (r"/linux/resources/hugepageLimits/\d+/pageSize", "a page size twice", lambda p: _repeated(p, "pageSize")),
    (r"/linux/resources/hugepageLimits/\d+/pageSize", "not a page size", lambda p: bin(_size(p.value)).count("1") > 1),
    (r"/linux/resources/blockIO/.*eight", "a weight outside 10 .. 1000", lambda p: not 10 <= p.value <= 1000),
    (
        r"/linux/resources/blockIO/weightDevice/\d+",
        "no weight at all",
        lambda p: not (p.value.get("weight") or p.value.get("leafWeight")),
    ),
    (r"/linux/resources/network/priorities/\d+/name", "not the name of a device", lambda p: not _device_name(p.value) or bool(re.search(r"[\x00-\x20\x7f]", p.value))),
    (r"/linux/resources/rdma/.*", "not the name of a device", lambda p: bool(re.search(r"[/\s\x00-\x20\x7f]", p.name))),
    (r"/mounts/\d+(/\w+)?(/\d+)?", "a mount of nothing, or another type on /proc", _mount),
]  # fmt: skip

# Of every kernel so far: a host could grow it, the specification allows it.
HOST: list[Reason] = [
    (r"/process/scheduler/policy", "the kernel has no SCHED_ISO", lambda p: p.value == "SCHED_ISO"),
    (r"/linux/resources/cpu/(period|quota|burst)", "outside what the kernel takes", _microseconds),
    (r"/linux/resources/cpu/shares", "outside what the kernel takes", lambda p: not 2 <= p.value <= 262144),
    (
        r"/linux/resources/devices/\d+/(major|minor)",
        "no kernel has numbers of devices above 32 bits",
        lambda p: p.value >= 2**32,
    ),
    (
        r"/linux/resources/cpu/realtimeRuntime",
        "more time than the period has",
        lambda p: p.value > p.parent.get("realtimePeriod", 1000000),
    ),
    (r"/linux/resources/cpu/burst", "a burst above the quota", lambda p: p.value > p.parent.get("quota", 0)),
    (r"/linux/resources/rdma/.*/hca(Handles|Objects)", "outside what the kernel takes", lambda p: p.value >= 2**31),
    (
        r"/linux/resources/devices(/\d+)?",
        "rules that cut into wider ones before them, for which cgroup v1 has no words",
        lambda p: len({rule["allow"] for rule in p.config["linux"]["resources"]["devices"]}) == 2,
    ),
    (r"/linux/resources/unified(/.*)?", "the host has cgroup v1", lambda p: True),
]


def known(config: Any, pointer: str) -> str:
    """The reason why the value at a pointer may be refused, or ""."""
    place = Place(config, pointer)
    for pattern, name, holds in SPEC + HOST:
        if re.fullmatch(pattern, pointer, re.DOTALL) and holds(place):
            return name
    return ""
