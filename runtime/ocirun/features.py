"""The features document: what this runtime can do, whatever the host can.

Source: runtime-spec 1.3, features.md and features-linux.md.  Words come from
the tables that read config.json.  Whether something is done at all is asked of
the plan builder, with a config that needs it: what would be refused cannot be
announced.
"""

from __future__ import annotations

from ._base.version import SPEC_VERSION, VERSION, commit
from .cgroup import choose, driver
from .cgroup.settings import v1 as translate_v1
from .cgroup.systemd.unit import Manager
from .config import _tables
from .errors import ConfigError, HostError, UnsupportedError
from .host import libseccomp
from .host.anywhere import Anywhere
from .host.cgroups import Layout, Mount
from .host.facts import seccomp_flags
from .plan import constants as c
from .plan import crun_annotations
from .plan.build import build
from .plan.builder import Facts, Request
from .plan.mounts import files, upper, words
from .plan.process import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host.libseccomp import Libseccomp

OLDEST_SPEC = "1.0.0"

# Properties of systemd's scope; what CRIU is configured by (checkpoint and restore); our own about the root.
UNSAFE_ANNOTATIONS = (
    "org.systemd.property.",
    "org.criu.config",
    upper.PREFIX,
    *sorted(files.ANNOTATIONS),
    *sorted(crun_annotations.HONOURED),
)

_MAPPING = {"containerID": 0, "hostID": 0, "size": 1}
_IDMAPPED = {
    "destination": "/data",
    "type": "bind",
    "source": "/data",
    "options": ["bind"],
    "uidMappings": [_MAPPING],
    "gidMappings": [_MAPPING],
}
_IDMAP_WORDS = frozenset(word for word, (kind, _) in words.WORDS.items() if kind == words.IDMAP)


def features() -> dict[str, Any]:
    """Return the document, as plain values."""
    return {
        "ociVersionMin": OLDEST_SPEC,
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(_tables.HOOKS[1]),
        "mountOptions": mount_options(),
        "linux": _linux(),
        "annotations": _annotations(),
        "potentiallyUnsafeConfigAnnotations": list(UNSAFE_ANNOTATIONS),
    }


def _annotations() -> dict[str, str]:
    annotations = {
        "ocirun._base.version": VERSION,
        "ocirun.commit": commit(),
        "org.opencontainers.runc.checkpoint.enabled": "true",
    }
    library = _libseccomp()
    if library is not None:
        # The key that other runtimes have for it, as the one for checkpoints.
        annotations["io.github.seccomp.libseccomp.version"] = library.version
    return annotations


def mount_options() -> list[str]:
    """Return every word of mount options that is not meant for the file system."""
    if accepts({"mounts": [_IDMAPPED]}):
        return words.KNOWN_OPTIONS
    return [word for word in words.KNOWN_OPTIONS if word not in _IDMAP_WORDS]


def _linux() -> dict[str, Any]:
    rdt = accepts({"linux": {"intelRdt": {"closID": "a"}}})
    document: dict[str, Any] = {
        "namespaces": sorted(c.NAMESPACE_FLAGS),
        "capabilities": list(c.CAPABILITIES),
        "cgroup": _cgroup(),
        "seccomp": _seccomp(),
        "apparmor": {"enabled": accepts({"process": {"apparmorProfile": "a"}})},
        "selinux": {
            "enabled": accepts({"process": {"selinuxLabel": "a"}}) and accepts({"linux": {"mountLabel": "a"}}),
        },
        "intelRdt": {
            "enabled": rdt,
            "schemata": rdt and accepts({"linux": {"intelRdt": {"schemata": ["L3:0=f"]}}}),
            "monitoring": rdt and accepts({"linux": {"intelRdt": {"enableMonitoring": True}}}),
        },
        "mountExtensions": {"idmap": {"enabled": accepts({"mounts": [_IDMAPPED]})}},
        "netDevices": {"enabled": accepts({"linux": {"netDevices": {"eth0": {"name": "eth0"}}}})},
    }
    if accepts({"linux": {"memoryPolicy": {"mode": "MPOL_LOCAL"}}}):
        policy = _tables.MEMORY_POLICY
        document["memoryPolicy"] = {"modes": _words(policy, "mode"), "flags": _words(policy, "flags")}
    return document


def _cgroup() -> dict[str, bool]:
    mount = Mount("/sys/fs/cgroup", controllers=("memory",))
    v1, v2 = Layout({"memory": mount}, {"memory": "/"}), Anywhere()
    return {
        "v1": _makes_groups(v1),
        "v2": _makes_groups(v2),
        "systemd": _makes_groups(v2, manager=Manager()),
        "systemdUser": _makes_groups(v2, manager=Manager(user=True, control_group="/user")),
        "rdma": "rdma" in translate_v1.BLOCKS,
    }


def _makes_groups(layout: Layout, *, manager: Manager | None = None) -> bool:
    try:
        choose.new_driver(layout, container_id="a", manager=manager)
    except UnsupportedError:
        return False
    return True


def _seccomp() -> dict[str, Any]:
    """Return what libseccomp of this host adds, as filters are compiled by it; the flags are also the kernel's."""
    library = _libseccomp()
    if library is None:
        return {"enabled": False}
    known = seccomp_flags()
    return {
        "enabled": True,
        "actions": list(_tables.ACTION[1]),
        "operators": _words(_tables.SYSCALL_ARG, "op"),
        "archs": [word for word in _words(_tables.SECCOMP, "architectures") if library.filters(word)],
        "knownFlags": _words(_tables.SECCOMP, "flags"),
        "supportedFlags": [word for word, flag in seccomp.FLAGS.items() if known >= 0 and known & flag],
    }


def _libseccomp() -> Libseccomp | None:
    try:
        return libseccomp.load()
    except HostError:
        return None


def _words(node: Any, key: str) -> list[str]:
    """Return the words that config.json may have at a key of an object of the tables, or in an array there."""
    node = node[1][key]
    return list(node[1][1] if node[0] == _tables.LIST else node[1])


def accepts(wanted: dict[str, Any]) -> bool:
    """Return whether a container is planned and not refused, on a host that has everything.

    wanted   what its config holds besides the least; ``process`` and ``linux`` are added to those blocks
    """
    config = {
        "ociVersion": SPEC_VERSION,
        "root": {"path": "/rootfs"},
        **wanted,
        "process": {"cwd": "/", "args": ["/a"], "user": {"uid": 0, "gid": 0}, **wanted.get("process", {})},
        "linux": {"namespaces": [{"type": kind} for kind in ("mount", "network")], **wanted.get("linux", {})},
    }
    try:
        build(config, Facts(), Request(container_id="a", bundle="/", directory="/a"), driver.Driver())
    except (ConfigError, UnsupportedError):
        return False
    return True
