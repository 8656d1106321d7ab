"""What an ordinary user, or root of a user namespace, may do with ids here: read when such a caller needs it.

Sources: user_namespaces(7), subuid(5), newuidmap(1), sysctl/user in the kernel's documentation.
"""

from __future__ import annotations

import os

from .._base import procfile
from ..errors import HostError
from .user_names import user_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

Span = tuple[int, int]

_PROGRAMS = "/usr/bin"
_NS_GET_USERNS = 0xB701  # ioctl_ns(2), Linux 4.9


class Caller:
    """A caller that is not root of the host; plain values.

    uid, gid            effective ids
    name                the user's name, or the number as text
    uid_map, gid_map    the ids that exist in the caller's own user namespace, as (first, count)
    subuids, subgids    the further ids that subuid(5) and subgid(5) give to the user, as (first, count); None
                        where another service is asked than those files, or they are closed to the caller
    newuidmap, newgidmap   path of the program, or "" where there is none
    setgroups           setgroups(2) is allowed in the caller's user namespace
    owns_mounts         the caller's mount namespace belongs to its user namespace
    locked              why the kernel lets this caller make no user namespace, or ""
    remedy              what unlocks it
    """

    __slots__ = (
        "gid",
        "gid_map",
        "locked",
        "name",
        "newgidmap",
        "newuidmap",
        "owns_mounts",
        "remedy",
        "setgroups",
        "subgids",
        "subuids",
        "uid",
        "uid_map",
    )

    def __init__(
        self,
        *,
        uid: int,
        gid: int,
        name: str = "",
        uid_map: Sequence[Span] = ((0, 2**32 - 1),),
        gid_map: Sequence[Span] = ((0, 2**32 - 1),),
        subuids: Sequence[Span] | None = (),
        subgids: Sequence[Span] | None = (),
        newuidmap: str = "",
        newgidmap: str = "",
        setgroups: bool = True,
        owns_mounts: bool = False,
        locked: str = "",
        remedy: str = "",
    ) -> None:
        self.uid = uid
        self.gid = gid
        self.name = name or str(uid)
        self.uid_map = tuple(uid_map)
        self.gid_map = tuple(gid_map)
        self.subuids = None if subuids is None else tuple(subuids)
        self.subgids = None if subgids is None else tuple(subgids)
        self.newuidmap = newuidmap
        self.newgidmap = newgidmap
        self.setgroups = setgroups
        self.owns_mounts = owns_mounts
        self.locked = locked
        self.remedy = remedy


def caller() -> Caller:
    """Return the facts about this process."""
    uid, gid = os.geteuid(), os.getegid()
    name = _user_name(uid)
    elsewhere = _has_subid_service(_read("/etc/nsswitch.conf"))
    locked, remedy = lock(
        namespaces=_read("/proc/sys/user/max_user_namespaces"),
        unprivileged=_read("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor=_read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        profile=_read("/proc/self/attr/apparmor/current"),
    )
    return Caller(
        uid=uid,
        gid=gid,
        name=name,
        uid_map=id_map(_read("/proc/self/uid_map")),
        gid_map=id_map(_read("/proc/self/gid_map")),
        subuids=None if elsewhere else _given("/etc/subuid", name, uid),
        subgids=None if elsewhere else _given("/etc/subgid", name, uid),
        newuidmap=_program("newuidmap"),
        newgidmap=_program("newgidmap"),
        setgroups=allows_setgroups("self"),
        owns_mounts=_owns_mounts(),
        locked=locked,
        remedy=remedy,
    )


def allows_setgroups(process: str) -> bool:
    """Return whether setgroups(2) is allowed in the user namespace of a process (Linux 3.19),
    given by its name in /proc.
    """
    return _read(f"/proc/{process}/setgroups").strip() != "deny"


def lock(*, namespaces: str, unprivileged: str, apparmor: str, profile: str) -> tuple[str, str]:
    """Return (why no user namespace can be made, remedy) from the texts of four files, "" for one that is missing.

    namespaces     user.max_user_namespaces (Linux 4.9)
    unprivileged   kernel.unprivileged_userns_clone, a patch of Debian and others
    apparmor       kernel.apparmor_restrict_unprivileged_userns (Ubuntu 23.10): user namespaces of unconfined
                   programs come without capabilities
    profile        the caller's AppArmor profile
    """
    if namespaces.strip() == "0":
        return "user.max_user_namespaces is 0", "`sysctl user.max_user_namespaces=10000`, as root"
    if unprivileged.strip() == "0":
        return "kernel.unprivileged_userns_clone is 0", "`sysctl kernel.unprivileged_userns_clone=1`, as root"
    if apparmor.strip() == "1" and profile.strip("\0\n ") == "unconfined":
        return (
            "kernel.apparmor_restrict_unprivileged_userns is 1, and ocirun has no AppArmor profile that allows it",
            "as root load a profile for ocirun with the rule `userns,`, or set that sysctl to 0",
        )
    return "", ""


def id_map(text: str) -> list[Span]:
    """Return the ids inside, as (first, count), of a uid_map or gid_map."""
    lines = [line.split() for line in text.splitlines()]
    return [(int(fields[0]), int(fields[2])) for fields in lines if len(fields) == 3]


def ranges(text: str, name: str, uid: int) -> list[Span]:
    """Return the ranges of a user in subuid(5) or subgid(5), as (first, count);
    lines that make no sense are passed over.
    """
    return [span for owner, span in _lines(text) if owner in (name, str(uid))]


def _given(path: str, name: str, uid: int) -> list[Span] | None:
    """Return the ranges of a user; None where the file is closed to us: newuidmap reads it as root."""
    text = _read(path)
    if not text:
        try:
            procfile.read(path)
        except PermissionError:
            return None
        except OSError as error:
            if error.errno not in procfile.GONE:
                raise HostError.from_os(f"read {path}", error) from None
    return ranges(text, name, uid)


def every_range(kind: str) -> list[Span]:
    """Return the ranges of all users in a file of /etc, ``subuid`` or ``subgid``."""
    return [span for _, span in _lines(_read(f"/etc/{kind}"))]


def _lines(text: str) -> list[tuple[str, Span]]:
    found = []
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[1].isdigit() and fields[2].isdigit():
            found.append((fields[0], (int(fields[1]), int(fields[2]))))
    return found


def _has_subid_service(text: str) -> bool:
    """Return whether nsswitch.conf names another source of subordinate ids than the files."""
    for line in text.splitlines():
        key, _, rest = line.partition("#")[0].partition(":")
        if key.strip() == "subid":
            return rest.split() not in ([], ["files"])
    return False


def _owns_mounts() -> bool:
    import fcntl

    try:
        mounts = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            owner = fcntl.ioctl(mounts, _NS_GET_USERNS)
        finally:
            os.close(mounts)
        try:
            return os.fstat(owner).st_ino == os.stat("/proc/self/ns/user").st_ino
        finally:
            os.close(owner)
    except OSError as error:  # EPERM: the owner is not ours to see
        return procfile.unanswered(error, "/proc/self/ns/mnt", otherwise=False)


def _program(name: str) -> str:
    # Only where the distribution puts it: it is given rights over ids, so PATH must not choose it.
    path = f"{_PROGRAMS}/{name}"
    return path if os.access(path, os.X_OK) else ""


def _user_name(uid: int) -> str:
    name = user_name(uid)
    return str(uid) if name.startswith("#") else name


def _read(path: str) -> str:
    return procfile.text(path, 1 << 20)
