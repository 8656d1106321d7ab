"""What is known of a container only after its record was written: its first process, the inodes of its groups.

csrc/host writes the record before anything is made, and these as the texts of links beside it, each in one step:
``looked`` when it has seen that no group is there yet, ``made`` when all is made, "PID START INODE...".
"""

from __future__ import annotations

from ..errors import StateDamagedError
from . import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .record import Record


def add(record: Record, directory: int) -> None:
    """Add it to a record that was read.

    Raises StateDamagedError for a text that was never written, HostError.
    """
    # A record that was written whole has it all, and no such links.
    if record.cgroup.get("prepared") or not store.read_link(directory, "looked"):
        return
    try:
        groups = [str(group["controllers"][0]) for group in record.cgroup["groups"]]
    except (TypeError, KeyError, IndexError):
        return  # whoever makes a driver of it will say so
    record.cgroup = {**record.cgroup, "checked": True, "found": []}
    words = store.read_link(directory, "made").split()
    if not words:
        return
    if len(words) != 2 + len(groups) or not all(word.isdigit() for word in words):
        raise StateDamagedError("what stands beside state.json was never written", remedy=store.remedy())
    record.pid, record.start_time, *inodes = map(int, words)
    record.cgroup = {**record.cgroup, "prepared": True, "inodes": dict(zip(groups, inodes, strict=True))}
