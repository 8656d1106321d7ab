"""Every option of the table of mount options, by what it does to a mount.

All are tried in one container, which is quick; if a runtime cannot make that
one, each gets a container of its own.  The words that the kernel shows nowhere
(iversion, silent and their opposites) count as implemented if a tmpfs that is
mounted with them is made: as file system options tmpfs refuses them.
"""

from __future__ import annotations

import os

from live import kernel

from ..bench import mountinfo
from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

MS_NOATIME, MS_NODIRATIME, MS_STRICTATIME, MS_NOSYMFOLLOW = 0x400, 0x800, 1 << 24, 0x100
STRICT = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | MS_NODIRATIME | MS_NOSYMFOLLOW

# A new tmpfs: the words given; shown of the mount or its file system, not shown.
TMPFS: dict[str, tuple[list[str], list[str], list[str]]] = {
    "async": (["sync", "async"], [], ["sync"]),
    "atime": (["noatime", "atime"], [], ["noatime"]),
    "defaults": (["defaults"], ["rw", "relatime"], ["nosuid", "nodev", "noexec"]),
    "dev": (["nodev", "dev"], [], ["nodev"]),
    "diratime": (["nodiratime", "diratime"], [], ["nodiratime"]),
    "dirsync": (["dirsync"], ["dirsync"], []),
    "exec": (["noexec", "exec"], [], ["noexec"]),
    "iversion": (["iversion"], [], []),
    "lazytime": (["lazytime"], ["lazytime"], []),
    "loud": (["silent", "loud"], [], []),
    "noatime": (["noatime"], ["noatime"], []),
    "nodev": (["nodev"], ["nodev"], []),
    "nodiratime": (["nodiratime"], ["nodiratime"], []),
    "noexec": (["noexec"], ["noexec"], []),
    "noiversion": (["iversion", "noiversion"], [], []),
    "nolazytime": (["lazytime", "nolazytime"], [], ["lazytime"]),
    "norelatime": (["relatime", "norelatime"], [], ["noatime"]),
    "nostrictatime": (["strictatime", "nostrictatime"], ["relatime"], []),
    "nosuid": (["nosuid"], ["nosuid"], []),
    "nosymfollow": (["nosymfollow"], ["nosymfollow"], []),
    "ro": (["ro"], ["ro"], []),
    "rw": (["ro", "rw"], ["rw"], ["ro"]),
    "silent": (["silent"], [], []),
    "strictatime": (["strictatime"], [], ["relatime", "noatime"]),
    "suid": (["nosuid", "suid"], [], ["nosuid"]),
    "symfollow": (["nosymfollow", "symfollow"], [], ["nosymfollow"]),
    "sync": (["sync"], ["sync"], []),
}
# A recursive bind mount of a tree with a mount in it: which tree; shown of both mounts, not shown.
TREE: dict[str, tuple[str, list[str], list[str]]] = {
    "ratime": ("noatime", ["relatime"], ["noatime"]),
    "rdev": ("strict", [], ["nodev"]),
    "rdiratime": ("strict", [], ["nodiratime"]),
    "rexec": ("strict", [], ["noexec"]),
    "rnoatime": ("plain", ["noatime"], []),
    "rnodiratime": ("plain", ["nodiratime"], []),
    "rnoexec": ("plain", ["noexec"], []),
    "rnorelatime": ("plain", [], ["noatime"]),
    "rnostrictatime": ("strictatime", ["relatime"], []),
    "rnosuid": ("plain", ["nosuid"], []),
    "rnosymfollow": ("plain", ["nosymfollow"], []),
    "rrelatime": ("strictatime", ["relatime"], []),
    "rro": ("plain", ["ro"], []),
    "rrw": ("strict", ["rw"], ["ro"]),
    "rstrictatime": ("plain", [], ["relatime", "noatime"]),
    "rsuid": ("strict", [], ["nosuid"]),
    "rsymfollow": ("strict", [], ["nosymfollow"]),
}
# A bind mount, which takes an attribute that its source does not have.
BIND = {"relatime": ("strictatime", ["relatime"], ["noatime"])}
# Propagation of a bind mount of a shared tree; the optional field that is there ("": none), of the mount below too.
PROPAGATION: dict[str, tuple[str, bool]] = {
    "private": ("", False),
    "rprivate": ("", True),
    "shared": ("shared:", False),
    "rshared": ("shared:", True),
    "slave": ("master:", False),
    "rslave": ("master:", True),
    "unbindable": ("unbindable", False),
    "runbindable": ("unbindable", True),
}
TREES = {"plain": 0, "strict": STRICT, "noatime": MS_NOATIME, "strictatime": MS_STRICTATIME}


def _trees(bench: Bench) -> str:
    """Trees on the host with a mount in each, whose both mounts have the same attributes; their directory."""
    top = f"{bench.session.top}/trees"
    if not os.path.isdir(top):
        os.mkdir(top)
        for name, flags in TREES.items():
            for path in (f"{top}/{name}", f"{top}/{name}/below"):
                os.makedirs(path)
                kernel.mount("tree", path, "tmpfs")
                with open(f"{path}/file", "w", encoding="ascii") as file:
                    file.write(name)
            for path in (f"{top}/{name}", f"{top}/{name}/below"):
                kernel.mount("", path, flags=kernel.MS_REMOUNT | kernel.MS_BIND | flags)
    return top


def _add(bench: Bench, bundle: Bundle, option: str) -> None:
    place, trees = f"/mnt/{option}", _trees(bench)
    if option in TMPFS:
        bundle.mount(place, "tmpfs", *TMPFS[option][0], kind="tmpfs")
    elif option in TREE:
        bundle.mount(place, f"{trees}/{TREE[option][0]}", "rbind", option)
    elif option in BIND:
        bundle.mount(place, f"{trees}/{BIND[option][0]}", "bind", option)
    elif option in PROPAGATION:
        bundle.mount(place, f"{trees}/plain", "rbind", option)
    elif option in ("bind", "rbind"):
        bundle.mount(place, f"{trees}/plain", option)
    else:
        bundle.mount(place, "tmpfs", "nosuid", kind="tmpfs")
        bundle.mount(place, "tmpfs", "remount", "ro", "nosuid", kind="tmpfs")


def _made(bench: Bench, options: list[str]) -> dict[str, dict[str, Any]]:
    bundle = bench.bundle()
    bundle.linux["rootfsPropagation"] = "slave"  # so that what was shared on the host still has a master
    for option in options:
        _add(bench, bundle, option)
    return mountinfo(bench.probe(bundle))


def _together(bench: Bench) -> dict[str, dict[str, Any]] | None:
    bundle = bench.bundle()
    bundle.linux["rootfsPropagation"] = "slave"
    for option in OPTIONS:
        _add(bench, bundle, option)
    bundle.process["args"] = ["/probe"]
    result = bench.run(bundle)
    return mountinfo(result.json()) if result.code == 0 else None


def _judge(option: str, found: dict[str, dict[str, Any]]) -> None:
    place, below = f"/mnt/{option}", f"/mnt/{option}/below"
    assert place in found, f"there is no mount at {place}"
    mount = found[place]
    if option in TMPFS:
        _shown([mount], *TMPFS[option][1:])
        assert mount["kind"] == "tmpfs", mount
    elif option in TREE:
        assert below in found, f"there is no mount at {below}"
        for one in (mount, found[below]):
            _shown([one], *TREE[option][1:], super_options=False)
    elif option in BIND:
        _shown([mount], *BIND[option][1:], super_options=False)
    elif option in PROPAGATION:
        wanted, recursive = PROPAGATION[option]
        for one in [mount, found[below]] if recursive else [mount]:
            fields = [field for field in one["fields"] if not field.startswith("propagate_from:")]
            good = not fields if not wanted else any(field.startswith(wanted) for field in fields)
            assert good and (wanted == "shared:" or not any(field.startswith("shared:") for field in fields)), one
    elif option == "bind":
        assert below not in found and mount["source"] == "tree", mount
    elif option == "rbind":
        assert below in found, "what is mounted below has not come"
    else:
        _shown([mount], ["ro", "nosuid"], ["rw"], super_options=False)
        assert mount["count"] == 1, "a second mount instead of a change of the first"


def _shown(mounts: list[dict[str, Any]], wanted: list[str], unwanted: list[str], super_options: bool = True) -> None:
    for mount in mounts:
        words = set(mount["options"]) | (set(mount["super"]) - {"rw", "ro"} if super_options else set())
        assert words.issuperset(wanted), f"{wanted} is wanted, shown is {sorted(words)}"
        assert words.isdisjoint(unwanted), f"{unwanted} is not wanted, shown is {sorted(words)}"


OPTIONS = [*TMPFS, *TREE, *BIND, *PROPAGATION, "bind", "rbind", "remount"]


def _check(option: str) -> None:
    @covers(f"config.mounts.options.{option}")
    def check(bench: Bench) -> None:
        found = bench.once("all mount options", _together)
        _judge(option, _made(bench, [option]) if found is None else found)


for _option in OPTIONS:
    _check(_option)
