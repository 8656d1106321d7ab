"""Where the state of containers is kept unless one says otherwise."""

from __future__ import annotations

import os

from .rights import in_user_namespace

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
