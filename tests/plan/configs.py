"""Valid configs at random: a sample with parts exchanged, added, taken away."""

from __future__ import annotations

import copy

from config import samples as config_samples
from hypothesis import strategies as st

from . import samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KINDS = ("pid", "mount", "ipc", "uts", "network", "cgroup", "user", "time")
_DESTINATIONS = (
    *("/proc", "/dev", "/dev/pts", "/dev/shm", "/sys", "/sys/fs/cgroup", "/tmp", "/data", "/data/in", "/etc/hosts"),
    *("relative", "/a/../b", "//x//", "/proc/meminfo", "/proc/self/fd", "/dev/null", "/run/notify", "/"),
)
_TYPES = ("proc", "tmpfs", "devpts", "sysfs", "mqueue", "cgroup", "cgroup2", "bind", "overlay", "none", "")
_OPTIONS = (
    *("ro", "rw", "nosuid", "nodev", "noexec", "bind", "rbind", "rro", "rrw", "shared", "rslave", "rprivate"),
    *("unbindable", "tmpcopyup", "remount", "noatime", "mode=755", "size=1m", "lowerdir=/a,upperdir=/b", "sync", ""),
    "idmap",
    "size=" + "9" * 300,
)
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_PATHS = ("/proc/kcore", "/sys/firmware", "/etc/secret", "/x/", "//x", "/proc/sys")


def bases() -> list[dict[str, Any]]:
    """What the random configs start from."""
    made = [config_samples.minimal(), config_samples.docker(), config_samples.full()]
    return [copy.deepcopy(base) for base in (*made, *map(samples.config, samples.NAMES))]


_bases = bases()

mounts = st.lists(
    st.builds(
        lambda destination, kind, options, source, mapping: {
            "destination": destination,
            **({"type": kind} if kind else {}),
            **({"options": options} if options else {}),
            **({"source": source} if source else {}),
            **({"uidMappings": mapping, "gidMappings": mapping} if mapping else {}),
        },
        st.sampled_from(_DESTINATIONS),
        st.sampled_from(_TYPES),
        st.lists(st.sampled_from(_OPTIONS), max_size=4),
        st.sampled_from(("", "src", "/usr", "tmpfs", samples.BUNDLE + "/rootfs/etc", "../up")),
        st.sampled_from(([], [], [], [{"containerID": 0, "hostID": 5000, "size": 9}])),
    ),
    max_size=6,
)

namespaces = st.lists(st.sampled_from(_KINDS), unique=True).flatmap(
    lambda kinds: st.tuples(
        *[st.sampled_from(({"type": kind}, {"type": kind, "path": f"/proc/77/ns/{kind}"})) for kind in kinds]
    ).map(list)
)

devices = st.lists(
    st.fixed_dictionaries(
        {
            "path": st.sampled_from(("/dev/kmsg", "/dev/null", "/dev/a/b", "/dev/ptmx", "/dev/console", "/x")),
            "type": st.sampled_from(("c", "b", "u", "p")),
            "major": st.integers(0, 4095),
            "minor": st.integers(0, 2**20 - 1),
        },
        optional={"fileMode": st.integers(0, 0o777), "uid": st.integers(0, 2**32 - 2), "gid": st.integers(0, 70000)},
    ),
    max_size=3,
    unique_by=lambda device: device["path"],
)

_hook = st.fixed_dictionaries(
    {"path": st.just("/bin/hook")},
    optional={
        "args": st.lists(st.text("ab \n", max_size=3), min_size=1, max_size=3),
        "env": st.just(["A=1"]),
        "timeout": st.integers(1, 100),
    },
)
hooks = st.dictionaries(st.sampled_from(_HOOKS), st.lists(_hook, max_size=2))

_words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_capabilities = st.lists(st.sampled_from(("CAP_KILL", "CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_BPF")), unique=True)
_user = st.fixed_dictionaries(
    {"uid": st.integers(0, 2**32 - 2), "gid": st.integers(0, 2**32 - 2)},
    optional={"umask": st.integers(0, 0o777), "additionalGids": st.lists(st.integers(0, 70000), max_size=4)},
)
_process = st.fixed_dictionaries(
    {},
    optional={
        "terminal": st.booleans(),
        "cwd": st.sampled_from(("/", "/data", "/data/x/y", "/proc/self", "/../a")),
        "args": st.lists(_words, min_size=1, max_size=4),
        "env": st.lists(st.sampled_from(("A=b", "HOME=/h", "PATH=/x:/y", "HOME=", "NOTIFY_SOCKET=/n")), max_size=3),
        "user": _user,
        "noNewPrivileges": st.booleans(),
        "oomScoreAdj": st.integers(-1000, 1000),
        "capabilities": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), _capabilities)
        ),
        "rlimits": st.just([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]),
    },
)
_mappings = st.just([{"containerID": 0, "hostID": 100000, "size": 65536}])
_linux = st.fixed_dictionaries(
    {},
    optional={
        "namespaces": namespaces,
        "devices": devices,
        "maskedPaths": st.lists(st.sampled_from(_PATHS), max_size=3),
        "readonlyPaths": st.lists(st.sampled_from(_PATHS), max_size=3),
        "rootfsPropagation": st.sampled_from(("", "shared", "rslave", "private", "unbindable")),
        "uidMappings": _mappings,
        "gidMappings": _mappings,
        "sysctl": st.just({"kernel.msgmax": "1", "net.ipv4.ip_forward": "1"}),
        "timeOffsets": st.just({"boottime": {"secs": 5}}),
    },
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A config that may be valid; the caller asks config.load."""
    data = copy.deepcopy(draw(st.sampled_from(_bases)))
    data["process"].update(draw(_process))
    data.setdefault("linux", {}).update(draw(_linux))
    if draw(st.booleans()):
        data["mounts"] = draw(mounts)
    if draw(st.booleans()):
        data["hooks"] = draw(hooks)
    if draw(st.booleans()):
        data["root"] = {"path": draw(st.sampled_from(("rootfs", "/abs/root", "."))), "readonly": draw(st.booleans())}
    if draw(st.booleans()):
        data["hostname"] = draw(st.sampled_from(("h", "a.b")))
    return _agreeing(data)


def _agreeing(data: dict[str, Any]) -> dict[str, Any]:
    """Most of what the rules of the spec would refuse is taken out, so that many of them are valid."""
    linux = data["linux"]
    kinds = {entry["type"]: "path" in entry for entry in linux.get("namespaces") or ()}
    if kinds.get("uts", True):
        data.pop("hostname", None)
        data.pop("domainname", None)
    if kinds.get("user", True):
        linux.pop("uidMappings", None)
        linux.pop("gidMappings", None)
    else:
        linux.setdefault("uidMappings", [{"containerID": 0, "hostID": 1, "size": 9}])
        linux.setdefault("gidMappings", [{"containerID": 0, "hostID": 1, "size": 9}])
    if kinds.get("time", True):
        linux.pop("timeOffsets", None)
    if kinds.get("ipc", True) or kinds.get("network", True):
        linux.pop("sysctl", None)
    return data


requests = st.fixed_dictionaries(
    {"console_socket": st.just("/c.sock")},
    optional={
        "detach": st.booleans(),
        "pidfd_socket": st.just("/p.sock"),
        "pid_file": st.just("/run/pid"),
        "no_pivot": st.booleans(),
        "no_new_keyring": st.booleans(),
        "keep_fds": st.integers(0, 3),
    },
)
facts = st.fixed_dictionaries(
    {},
    optional={
        "inherited": st.sampled_from(((), (3,), (3, 4, 5), (4, 7))),
        "listen_fds": st.integers(0, 2),
        "notify_socket": st.sampled_from(("", "/run/n.sock")),
        "keyrings": st.booleans(),
        "privileged": st.booleans(),
    },
)
