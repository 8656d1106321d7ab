"""Where the state of containers is kept unless one says otherwise."""

from __future__ import annotations

import os

from . import procfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "ocirun"


def default_root(environ: Mapping[str, str]) -> str:
    """Return the state root when none is given.

    The rule of runc: ``$XDG_RUNTIME_DIR`` counts for ordinary users, and for
    root of a user namespace unless USER says root (rootless podman runs us
    so).  A relative XDG_RUNTIME_DIR is ignored, as the XDG base directory
    specification asks.
    """
    base = environ.get("XDG_RUNTIME_DIR", "")
    if base.startswith("/") and (os.geteuid() != 0 or (environ.get("USER") != "root" and in_user_namespace())):
        return os.path.join(base, _NAME)
    return f"/run/{_NAME}"


def in_user_namespace() -> bool:
    """Return whether this process is in a user namespace that is not the initial one.

    The initial one maps all ids, 0 to 2**32 - 2, to themselves (user_namespaces(7)); any other map tells
    a namespace.  One with that same map cannot be told from it, and its root may do with ids what the
    host's may.
    """
    # Without the file the kernel has no user namespaces.
    return procfile.text("/proc/self/uid_map").split() not in ([], ["0", "0", "4294967295"])
