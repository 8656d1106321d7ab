"""Find and remove what processes that are gone have left: the runs that would have ended with them.

A run from Python ends with the process that asked for it, but its cgroups and its state wait for somebody to remove
them when that process was killed.  Each run that is bound to a process says so in its state directory.
"""

from __future__ import annotations

import os

from ._base.boundary import raises_ocirun_errors
from ._base.roots import default_root
from .containers import delete
from .errors import ContainerNotFoundError, OcirunError
from .state import caller, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


@raises_ocirun_errors
def cleanup(root: str = "", *, warn: Callable[[str], None] | None = None) -> list[str]:
    """Remove the containers whose runs belonged to a process that is gone, and return their ids.

    root   the state root; "" is the default one
    warn   called with one line for each that cannot be removed
    Containers that no run from Python has made, and those of processes that are there, stay as they are.
    Raises HostError where the root cannot be read, or cannot be told whether a process is there.
    """
    where = root or default_root(os.environ)
    removed = []
    for container_id in store.ids(where):
        if not _is_orphan(where, container_id):
            continue
        try:
            delete(container_id, root=where, force=True)
        except OcirunError as error:
            if warn is not None:
                warn(f"container {container_id}: {error.line()}")
            continue
        removed.append(container_id)
    return removed


def _is_orphan(root: str, container_id: str) -> bool:
    """Return whether the run belonged to a process, and that one is gone."""
    try:
        directory = store.open_container(root, container_id)
    except ContainerNotFoundError:
        return False
    try:
        return caller.is_gone(directory)
    finally:
        os.close(directory)
