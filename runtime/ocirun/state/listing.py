"""The states of all containers of a root, for `list`.

What is the same for all of them is asked once: the root is opened, and the boot's id and a user's name are read once.
Of each record only what is shown is parsed (`state.glance`), and of a container that has stopped nothing else is
opened.  Whatever is out of the ordinary goes the way of `state`, so that it is told in the same words.
"""

from __future__ import annotations

import os

from .._base import jsonio
from ..errors import ContainerNotFoundError, OcirunError
from ..host import user_names
from . import glance, init, store
from . import record as records
from .stored import StoredContainer, document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def states(root: str, *, warn: Callable[[str], None], must_exist: bool) -> list[dict[str, Any]]:
    """Return the documents, by id; see `containers.list_states`."""
    ids = store.ids(root, must_exist=must_exist)
    if not ids:
        return []
    found = []
    listing = Listing(root)
    try:
        for container_id in ids:
            try:
                found.append(listing.state(container_id))
            except ContainerNotFoundError:
                continue
            except OcirunError as error:
                warn(f"container {container_id}: {error.message}")
    finally:
        listing.close()
    return found


class Listing:
    """What is asked once.  `close` it.

    root   an existing state root; HostError where it is not ours
    """

    __slots__ = ("_boot", "_directories", "_fd", "_owners", "_root")

    def __init__(self, root: str) -> None:
        self._root = root
        self._owners: dict[int, str] = {}
        self._fd = store.open_root(root)
        try:
            self._boot = init.boot_id()
            with os.scandir(self._fd) as entries:
                self._directories = {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the root."""
        os.close(self._fd)

    def state(self, container_id: str) -> dict[str, Any]:
        """Return the state of one container.  Raises as `Container.load`, and HostError."""
        seen = glance.look(self._fd, container_id) if container_id in self._directories else None
        status = self._status(container_id, *seen) if seen else ""
        if not seen or not status:
            return StoredContainer.load(container_id, root=self._root).state(details=False)
        owner = seen[0]["owner"]
        if owner not in self._owners:
            self._owners[owner] = user_names.user_name(owner)
        return document(container_id, seen[0], status, self._owners[owner])

    def _status(self, container_id: str, values: dict[str, Any], cgroup_text: bytes) -> str:
        """Return the status, "" where more is needed for it than a glance."""
        pid: int = values["pid"]
        if pid <= 1:
            return ""
        if not init.is_there(pid) or (values["boot_id"] and self._boot and values["boot_id"] != self._boot):
            return records.STOPPED
        if not init.is_same(pid, values["start_time"]):
            return records.STOPPED
        phase = records.whole_phase(glance.read_name(self._fd, container_id, "progress", records.PROGRESS_SIZE))
        cgroup = jsonio.scan(b"{%b}" % cgroup_text)
        if phase is None or cgroup is None:
            return ""
        status = records.of_phase(phase)
        if status in (records.CREATED, records.RUNNING):
            from ..cgroup import choose

            with choose.recorded_driver(cgroup) as group:
                if group.frozen():
                    return records.PAUSED
        return status
