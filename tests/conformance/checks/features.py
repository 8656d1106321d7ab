"""The features structure, and whether a config of what it lists is accepted."""

from __future__ import annotations

import copy
import os

from live import process as commands

from .. import host
from ..registry import covers, need
from .hooks import called, life

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..bench import Bench

# Of version 1.3.0
TOP = {
    "ociVersionMin",
    "ociVersionMax",
    "hooks",
    "mountOptions",
    "linux",
    "annotations",
    "potentiallyUnsafeConfigAnnotations",
}
LINUX: dict[str, set[str]] = {
    "namespaces": set(),
    "capabilities": set(),
    "cgroup": {"v1", "v2", "systemd", "systemdUser", "rdma"},
    "seccomp": {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"},
    "apparmor": {"enabled"},
    "selinux": {"enabled"},
    "memoryPolicy": {"modes", "flags"},
    "intelRdt": {"enabled", "schemata", "monitoring"},
    "mountExtensions": {"idmap"},
    "netDevices": {"enabled"},
}
SINCE = {"memoryPolicy": (1, 3), "netDevices": (1, 3), "mountExtensions": (1, 2), "intelRdt": (1, 1)}


def document(bench: Bench) -> Any:
    """The structure; skips a runtime that does not have it, which it MAY."""
    need(bench.has("features"), "the runtime has no command features, which it MAY")
    return bench.once("features", lambda bench: bench.command("features").ok().json())


def _listed(bench: Bench, *way: str) -> list[str]:
    found = document(bench)
    for name in way:
        found = (found or {}).get(name)
    need(found, f"features says nothing of {'.'.join(way)}, which it MAY")
    names: list[str] = found
    return names


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.partition("-")[0].partition("+")[0].split("."))


@covers("features.compile-time")
def compile_time(bench: Bench) -> None:
    """The same without /proc and /sys, in an empty environment."""
    usual = copy.deepcopy(document(bench))
    script = 'mount -t tmpfs none /sys && mount -t tmpfs none /proc && exec "$@"'
    words = ["unshare", "-m", "sh", "-c", script, "sh", *bench.session.words, "features"]
    found = commands.run(words, scratch=bench.scratch, env={}).ok().json()
    for one in (usual, found):
        ((one.get("linux") or {}).get("seccomp") or {}).pop("supportedFlags", None)  # of the kernel, by definition
    assert found == usual


def _end(name: str) -> None:
    @covers(f"features.{name}.required")
    def required(bench: Bench) -> None:
        found = document(bench).get(name)
        assert isinstance(found, str) and len(_version(found)) == 3, found

    @covers(f"features.{name}.accepted")
    def accepted(bench: Bench) -> None:
        bundle = bench.bundle()
        bundle.config["ociVersion"] = document(bench)[name]
        bench.run(bundle).ok()


_end("ociVersionMin")
_end("ociVersionMax")


@covers("features.ociVersionMax.order")
def version_order(bench: Bench) -> None:
    found = document(bench)
    assert _version(found["ociVersionMax"]) >= _version(found["ociVersionMin"])


@covers("features.ociVersionMax.properties")
def properties(bench: Bench) -> None:
    """Those of 1.3, less what came after the version that the structure names."""
    found = document(bench)
    assert set(found) <= TOP, set(found) - TOP
    newest = _version(found["ociVersionMax"])[:2]
    for name, value in (found.get("linux") or {}).items():
        assert name in LINUX, f"linux.{name}"
        assert newest >= SINCE.get(name, (1, 0)), f"linux.{name} is newer than {found['ociVersionMax']}"
        if LINUX[name]:
            assert set(value) <= LINUX[name], f"linux.{name}: {set(value) - LINUX[name]}"


@covers("features.hooks")
def hooks(bench: Bench) -> None:
    order = life(bench)["orders"]["delete"]
    for kind in _listed(bench, "hooks"):
        assert called(order, kind), f"{kind} hooks were not called"


@covers("features.mountOptions.recognized")
def mount_options(bench: Bench) -> None:
    """Each in a bind mount of its own, where file system options are of no use; a few need another kind of mount."""
    bundle = bench.bundle()
    mappings = [{"containerID": 0, "hostID": 1000, "size": 10}]
    source = bench.directory("source")
    for number, option in enumerate(_listed(bench, "mountOptions")):
        place = f"/mnt/{number}"
        if option in ("idmap", "ridmap"):
            bundle.mount(place, source, "rbind", option)
            bundle.mounts[-1] |= {"uidMappings": mappings, "gidMappings": mappings}
        elif option == "remount":
            bundle.mount(place, "tmpfs", kind="tmpfs")
            bundle.mount(place, "tmpfs", "remount", kind="tmpfs")
        elif (option.startswith("r") and option not in ("ro", "rw", "relatime")) or any(
            word in option for word in ("bind", "nofollow", "symlink")
        ):
            bundle.mount(place, source, "rbind", option)
        else:
            bundle.mount(place, "tmpfs", option, kind="tmpfs")
    bench.run(bundle).ok()


@covers("features.mountOptions.filesystem-specific")
def file_system_options(bench: Bench) -> None:
    """Names that mount(8) has for single file systems only."""
    specific = {"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "ptmxmode", "newinstance", "lowerdir", "upperdir",
                "workdir", "hidepid", "subset", "discard", "errors", "data", "umask", "dmask", "fmask"}  # fmt: skip
    listed = _listed(bench, "mountOptions")
    assert not specific & set(listed) and not any("=" in option for option in listed)


@covers("features.annotations")
def texts(bench: Bench) -> None:
    found: Any = _listed(bench, "annotations")
    assert isinstance(found, dict) and all(name and isinstance(value, str) for name, value in found.items())


@covers("features-linux.namespaces")
def namespaces(bench: Bench) -> None:
    for kind in _listed(bench, "linux", "namespaces"):
        need(
            os.path.exists(f"/proc/self/ns/{ {'network': 'net', 'mount': 'mnt'}.get(kind, kind) }"),
            f"the kernel has no {kind} namespaces",
        )
        bundle = bench.bundle()
        if kind == "user":
            bundle.user_namespace()
        else:
            bundle.namespace(kind)
        bench.run(bundle).ok()


# In the order of their numbers, from CAP_CHOWN, which is 0.
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]


@covers("features-linux.capabilities")
def capabilities(bench: Bench) -> None:
    """Of those that this machine can grant, each is granted."""
    mine = int(host.text("/proc/self/status").partition("CapBnd:")[2].split()[0], 16)
    numbers = [CAPABILITIES.index(name.removeprefix("CAP_")) for name in _listed(bench, "linux", "capabilities")]
    wanted = [number for number in numbers if mine >> number & 1]
    bundle = bench.bundle()
    names = [f"CAP_{CAPABILITIES[number]}" for number in wanted]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    granted = bench.probe(bundle)["caps"]["bounding"]
    missing = [CAPABILITIES[number] for number in wanted if not granted >> number & 1]
    assert not missing, f"not granted: {missing}"


def _rule(**values: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO", **values}]}


def _error(bench: Bench, filter: dict[str, Any], value: str) -> str:
    """The error for a filter, without what differs from one try to the next; empty if it is accepted."""
    bundle = bench.bundle()
    bundle.linux["seccomp"] = filter
    result = bench.run(bundle)
    words = ((bundle.id, "ID"), (bundle.path, "BUNDLE"), (value, "VALUE"))
    text = result.err if result.code else ""
    for old, new in words:
        text = text.replace(old, new)
    return " ".join(word for word in text.split() if not word.startswith("time="))


def _known(bench: Bench, name: str, unknown: str, make: Any) -> None:
    """Each name of a list is accepted, or has another error than a name that nobody knows.

    A filter for processors of another byte order, for one, is known and cannot be made.
    """
    error = _error(bench, make(unknown), unknown)
    assert error, f"{unknown} is accepted"
    for value in _listed(bench, "linux", "seccomp", name):
        found = _error(bench, make(value), value)
        assert found != error, f"{value}: {found}"


@covers("features-linux.seccomp.archs")
def archs(bench: Bench) -> None:
    _known(bench, "archs", "SCMP_ARCH_BANANAS", lambda arch: {**_rule(), "architectures": [arch]})


@covers("features-linux.seccomp.knownFlags")
def known_flags(bench: Bench) -> None:
    _known(bench, "knownFlags", "SECCOMP_FILTER_FLAG_BANANAS", lambda flag: {**_rule(), "flags": [flag]})


@covers("features-linux.seccomp.supportedFlags")
def supported_flags(bench: Bench) -> None:
    for flag in _listed(bench, "linux", "seccomp", "supportedFlags"):
        error = _error(bench, {**_rule(), "flags": [flag]}, flag)
        assert not error, f"{flag}: {error}"


@covers("features-linux.seccomp.operators")
def operators(bench: Bench) -> None:
    for op in _listed(bench, "linux", "seccomp", "operators"):
        error = _error(bench, _rule(args=[{"index": 0, "value": 9, "valueTwo": 1, "op": op}]), op)
        assert not error, f"{op}: {error}"


@covers("features-linux.seccomp.actions")
def actions(bench: Bench) -> None:
    """For a call that the program does not make; NOTIFY with an agent."""
    from .seccomp import Agent

    for action in _listed(bench, "linux", "seccomp", "actions"):
        bundle = bench.bundle()
        bundle.linux["seccomp"] = _rule(action=action)
        agent = None
        if action == "SCMP_ACT_NOTIFY":
            agent = Agent(f"{bench.dir}/agent")
            bundle.linux["seccomp"]["listenerPath"] = agent.path
        try:
            result = bench.run(bundle)
        finally:
            if agent:
                agent.close()
        assert result.code == 0, f"{action}: {result.report()}"


def _policy(name: str) -> None:
    @covers(f"features-linux.memoryPolicy.{name}")
    def check(bench: Bench) -> None:
        for value in _listed(bench, "linux", "memoryPolicy", name):
            mode = value if name == "modes" else "MPOL_BIND"
            policy: dict[str, Any] = {"mode": mode}
            if mode not in ("MPOL_DEFAULT", "MPOL_LOCAL"):
                policy["nodes"] = "0"
            if name == "flags":
                policy["flags"] = [value]
            bundle = bench.bundle()
            bundle.linux["memoryPolicy"] = policy
            result = bench.run(bundle)
            assert result.code == 0, f"{value}: {result.report()}"


_policy("modes")
_policy("flags")


@covers("features-linux.mountExtensions.idmap")
def idmap(bench: Bench) -> None:
    """True, if a mount with mappings is not refused for having them."""
    found = ((document(bench).get("linux") or {}).get("mountExtensions") or {}).get("idmap")
    need(found is not None, "features says nothing of linux.mountExtensions.idmap, which it MAY")
    mappings = [{"containerID": 0, "hostID": 1000, "size": 10}]
    bundle = bench.bundle()
    bundle.mount("/mnt", bench.directory("source"), "bind", "idmap")
    bundle.mounts[-1] |= {"uidMappings": mappings, "gidMappings": mappings}
    made = bench.run(bundle)
    enabled = (found or {}).get("enabled")
    assert enabled == (made.code == 0), f"enabled is {enabled}: {made.report()}"
