"""What a user namespace, and a caller who is not root of the host, can do and what not.  Pure.

The kernel's answer to most of it is a bare EPERM or EINVAL in the middle of
the set-up, so it is said here, with the place in config.json and the remedy.
Sources: user_namespaces(7), newuidmap(1), and for the file systems the kernel's
sysfs_init_fs_context, mqueue_get_tree and make_kuid.
"""

from __future__ import annotations

from ..errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .builder import Builder
    from .mounts.options import MountOptions

_CAP_SETGID, _CAP_SETUID, _CAP_SYS_ADMIN = 6, 7, 21
# Ids below belong to root, programs and people of the host: who is given one in /etc/subuid becomes these.
_USERS = 65536

# A file system that belongs to a namespace: who mounts it must own that one.
_NEEDS = {"proc": "pid", "sysfs": "network", "mqueue": "ipc"}
_INSTEAD = {
    "proc": "add a pid namespace, or bind /proc: options rbind, nosuid, noexec, nodev",
    "sysfs": "add a network namespace, or bind /sys: options rbind, nosuid, noexec, nodev, ro",
    "mqueue": "add an ipc namespace, or leave the mount out",
}


def refuse(builder: Builder) -> None:
    """Raise UnsupportedError for a container that this caller cannot make.  For callers that are not privileged."""
    if builder.user_namespace or builder.facts.capabilities >> _CAP_SYS_ADMIN & 1:
        if "user" in builder.new and builder.facts.caller is not None and builder.facts.caller.locked:
            pointer = builder.new["user"]
            text = f"{pointer}: no user namespace can be made here: {builder.facts.caller.locked}"
            raise UnsupportedError(text, pointer=pointer, remedy=builder.facts.caller.remedy)
        return
    pointer = "/linux/namespaces"
    raise UnsupportedError(
        f"{pointer}: has no user namespace, and without one only root can make a container",
        pointer=pointer,
        remedy="add a namespace of the type user, with uidMappings and gidMappings; `ocirun spec --rootless` has both",
    )


class Maps:
    """How the id maps of a new user namespace are written.

    uid_program, gid_program   path of newuidmap and newgidmap, or "": the runtime writes the file itself
    setgroups                  "allow" or "deny", user_namespaces(7)
    why                        the reason, where it is not the usual way
    """

    __slots__ = ("gid_program", "setgroups", "uid_program", "why")

    def __init__(self, uid_program: str = "", gid_program: str = "", setgroups: str = "allow", why: str = "") -> None:
        self.uid_program = uid_program
        self.gid_program = gid_program
        self.setgroups = setgroups
        self.why = why


def maps(builder: Builder) -> Maps:
    """Return the way to write the maps.  Raises UnsupportedError where there is none."""
    uids, gids = builder.linux.get("uidMappings") or (), builder.linux.get("gidMappings") or ()
    for lines, kind in ((uids, "uid"), (gids, "gid")):
        if not any(line["containerID"] == 0 for line in lines):
            pointer = f"/linux/{kind}Mappings"
            text = f"{pointer}: do not map {kind} 0, and it is root of the namespace that sets the container up"
            raise UnsupportedError(text, pointer=pointer, remedy="add a mapping with the containerID 0")
    caller = builder.facts.caller
    if builder.facts.privileged or caller is None:
        return Maps()
    _exist(uids, caller.uid_map, "uid")
    _exist(gids, caller.gid_map, "gid")
    made = Maps()
    reasons = []
    if not builder.facts.capabilities >> _CAP_SETUID & 1 and not _is_own(uids, caller.uid):
        made.uid_program = _program(uids, caller.subuids, caller.newuidmap, caller.name, caller.uid, "uid")
        reasons.append("newuidmap may map more than the caller's own uid")
    if not builder.facts.capabilities >> _CAP_SETGID & 1:
        if _is_own(gids, caller.gid):
            made.setgroups = "deny"
            reasons.append("a caller without CAP_SETGID gives up setgroups to map its own gid")
        else:
            made.gid_program = _program(gids, caller.subgids, caller.newgidmap, caller.name, caller.gid, "gid")
            reasons.append("newgidmap may map more than the caller's own gid")
    if not caller.setgroups:
        made.setgroups = "deny"
    made.why = "; ".join(reasons)
    return made


def _is_own(lines: Sequence[Any], own: int) -> bool:
    return len(lines) == 1 and lines[0]["hostID"] == own and lines[0]["size"] == 1


def _exist(lines: Sequence[Any], known: Iterable[tuple[int, int]], kind: str) -> None:
    """Check ids of the host side: they are counted in the caller's own user namespace, where not all need exist."""
    for index, line in enumerate(lines):
        if not _within(line["hostID"], line["size"], known):
            pointer = f"/linux/{kind}Mappings/{index}/hostID"
            text = f"{pointer}: {_span(line)} do not all exist in the user namespace that ocirun runs in"
            raise UnsupportedError(text, pointer=pointer, remedy=f"choose ids from /proc/self/{kind}_map")


def _program(
    lines: Sequence[Any], allowed: Sequence[tuple[int, int]] | None, path: str, name: str, own: int, kind: str
) -> str:
    pointer = f"/linux/{kind}Mappings"
    program = f"new{kind}map"
    if not path:
        raise UnsupportedError(
            f"{pointer}: need {program} to map more than the own {kind} {own}, and /usr/bin/{program} is not there",
            pointer=pointer,
            remedy="install the package uidmap (shadow-utils), or map only your own id",
        )
    if allowed is None:
        return path
    for index, line in enumerate(lines):
        first, count = line["hostID"], line["size"]
        if (first, count) == (own, 1) or _within(first, count, allowed):
            continue
        place = f"{pointer}/{index}/hostID"
        last = first + count - 1
        has = ", ".join(f"{a} to {a + n - 1}" for a, n in allowed) or "none"
        if first < _USERS:
            remedy = f"map your own {kind} {own}, as `ocirun spec --rootless` does: it is no id to be given to somebody"
        else:
            remedy = f"`usermod --add-sub{kind}s {first}-{last} {name}` as root, or map what the file has"
        raise UnsupportedError(
            f"{place}: {_span(line)} are not given to {name} in /etc/sub{kind}, which has: {has}",
            pointer=place,
            remedy=remedy,
        )
    return path


def _within(first: int, count: int, spans: Iterable[tuple[int, int]]) -> bool:
    """Return whether `first` and the `count` - 1 ids after it are all in the spans, which may touch."""
    end = first + count
    for start, size in sorted(spans):
        if start <= first < start + size:
            first = start + size
            if first >= end:
                return True
    return False


def _span(line: Any) -> str:
    first, last = line["hostID"], line["hostID"] + line["size"] - 1
    return f"the ids {first} to {last}"


def check_groups(builder: Builder) -> None:
    """Raise UnsupportedError for supplementary groups in a namespace where setgroups(2) is denied."""
    if (builder.process.get("user") or {}).get("additionalGids"):
        pointer = "/process/user/additionalGids"
        raise UnsupportedError(
            f"{pointer}: cannot be set, as the user namespace has given up setgroups",
            pointer=pointer,
            remedy="leave them out, or map more than one gid by newgidmap and a range in /etc/subgid",
        )


def check_mount(builder: Builder, pointer: str, destination: str, fstype: str, parsed: MountOptions) -> None:
    """Raise UnsupportedError for a file system that the container's user namespace may not mount like this."""
    kind = _NEEDS.get(fstype)
    if kind and "user" in builder.new and kind not in builder.new and kind not in builder.joined:
        its = f"{'an' if kind == 'ipc' else 'a'} {kind} namespace of the container's own user namespace"
        text = f"{pointer}: {fstype} on {destination} needs {its}"
        raise UnsupportedError(text, pointer=pointer, remedy=_INSTEAD[fstype])
    known = _ids(builder)
    if known is None:
        return
    for (key, value), place in zip(parsed.data, parsed.data_index, strict=True):
        number = int(value) if value is not None and value.isascii() and value.isdigit() else -1
        if key in known and number >= 0 and not _within(number, 1, known[key]):
            where = f"{pointer}/options/{place}"
            text = f"{where}: {key} {number} is not mapped in the user namespace, so {fstype} cannot be given to it"
            raise UnsupportedError(text, pointer=where, remedy=f"leave {key}= out, or map the id")


def _ids(builder: Builder) -> dict[str, list[tuple[int, int]]] | None:
    """Return the ids that exist in the container's user namespace; None where that is not known."""
    if "user" in builder.new:
        maps = (("uid", builder.linux.get("uidMappings") or ()), ("gid", builder.linux.get("gidMappings") or ()))
        return {kind: [(line["containerID"], line["size"]) for line in lines] for kind, lines in maps}
    if "user" in builder.joined or builder.facts.caller is None:
        return None
    return {"uid": list(builder.facts.caller.uid_map), "gid": list(builder.facts.caller.gid_map)}


def sources_by_host(builder: Builder) -> bool:
    """Return whether the runtime may copy mounts by itself:
    open_tree(2) asks for CAP_SYS_ADMIN over its mount namespace.
    """
    if builder.facts.privileged or builder.facts.caller is None:
        return builder.facts.privileged
    return builder.facts.caller.owns_mounts and bool(builder.facts.capabilities >> _CAP_SYS_ADMIN & 1)
