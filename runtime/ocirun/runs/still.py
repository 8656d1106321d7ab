"""A container that is held still while its files are copied, and what a process that was killed meanwhile has left."""

from __future__ import annotations

import os

from ..errors import ContainerNotFoundError, OcirunError, StateError
from ..state import caller, store
from ..state import record as records
from . import snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..state.stored import StoredContainer
    from .snapshot import Snapshot
    from .written import Written

_NOTE = "snapshot"
_REMEDY = "pause it or wait for its end; or with live=True its programs may write while they are copied"


def taken(
    written: Written, path: str, directory: int, *, status: str, freeze: Callable[[], None], thaw: Callable[[], None]
) -> Snapshot:
    """Save what a container has written while it is frozen, unless it is or has stopped.

    directory   of its state, locked
    status      what it is; freeze, thaw   of its cgroup
    Raises as `snapshot.saved`, and StateError where nobody can freeze it; then it goes on, and nothing is there.
    """
    if status == records.CREATING:
        raise StateError("container is being created", status=status)
    freezes = status in (records.CREATED, records.RUNNING)
    caller.note(directory, _NOTE, path, freezes)
    try:
        if freezes:
            try:
                freeze()
            except OcirunError as error:
                raise StateError(f"snapshot: {error.line()}", status=status, remedy=_REMEDY) from None
        try:
            return snapshot.saved(written, path)
        finally:
            if freezes:
                thaw()
    finally:
        os.unlink(_NOTE, dir_fd=directory)


def clean(container: StoredContainer) -> None:
    """Undo what a snapshot has left whose process was killed: half of it, and the frozen container.

    Raises HostError, OSError.
    """
    try:
        directory = store.open_container(container.root, container.id)
    except ContainerNotFoundError:
        return
    try:
        found = caller.left(directory, _NOTE)
        if not found:
            return
        path, froze = found
        snapshot.remove_unfinished(path)
        if froze and container.status() == records.PAUSED:
            with container.cgroup as cgroup:
                cgroup.thaw()
        os.unlink(_NOTE, dir_fd=directory)
    finally:
        os.close(directory)
