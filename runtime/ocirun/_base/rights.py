"""What this process may do on the host, and what a container may: five notions, which docs/rootless.md tells apart.

in user namespace   of this process: its ids are a part of the host's
privileged          of this process: it has CAP_SYS_ADMIN over the host
caller              of an unprivileged process: its ids, and the ways to map more; host/users.py
confined            of a container: it has no rights over the host
rootless            of a command: cgroups are made where that is allowed, be it nowhere
"""

from __future__ import annotations

import os
from errno import ENOENT

from ..errors import HostError
from . import procfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CAP_SYS_ADMIN = 21


def in_user_namespace() -> bool:
    """Return whether this process is in a user namespace that is not the initial one.

    The initial one maps all ids, 0 to 2**32 - 2, to themselves (user_namespaces(7)); any other map tells
    a namespace.  One with that same map cannot be told from it, and its root may do with ids what the
    host's may.
    """
    # Without the file the kernel has no user namespaces.
    return procfile.text("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"])


def own_capabilities() -> tuple[int, int]:
    """Return the (permitted, bounding) capability masks of this process.  Raises HostError."""
    permitted = bounding = 0
    try:
        status = procfile.read("/proc/self/status", 1 << 16)
    except OSError as error:
        remedy = "mount a procfs on /proc" if error.errno == ENOENT else ""
        raise HostError.from_os("read /proc/self/status", error, call="openat", remedy=remedy) from None
    for line in status.split(b"\n"):
        if line.startswith(b"CapPrm:"):
            permitted = int(line[7:], 16)
        elif line.startswith(b"CapBnd:"):
            bounding = int(line[7:], 16)
    return permitted, bounding


def privileged() -> bool:
    """Return whether this process has CAP_SYS_ADMIN in the initial user namespace."""
    if os.geteuid() != 0 or in_user_namespace():
        return False
    permitted, _ = own_capabilities()
    return bool(permitted >> CAP_SYS_ADMIN & 1)


def is_confined(*, user_namespace: bool, privileged: bool) -> bool:
    """Return whether a container has no rights over the host: no mknod, and mounts keep the host's flags.

    user_namespace   it has one of its own, or joins one
    privileged       whoever makes it is
    """
    return user_namespace or not privileged


def is_rootless(word: str, is_privileged: Callable[[], bool]) -> bool:
    """Return whether cgroups are made only where we happen to be allowed to.

    word            of the option: "true", "false" or "auto"
    is_privileged   asked for "auto"
    """
    return word == "true" or (word == "auto" and not is_privileged())
