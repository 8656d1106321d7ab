"""The mounts that a process sees: /proc/PID/mountinfo."""

from __future__ import annotations

import os

from ...host.cgroups import unescape


class Mount:
    """A line of mountinfo (proc_pid_mountinfo(5)).

    number, parent   ids of the mount and of the one it is mounted on
    root             the directory of its file system that it shows
    shared           it has peers, or may have
    """

    __slots__ = ("device", "fstype", "number", "parent", "point", "root", "shared")

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        words = left.split(" ")
        self.number = int(words[0])
        self.parent = int(words[1])
        self.device = words[2]
        self.root = unescape(words[3])
        self.point = unescape(words[4])
        self.shared = any(word.startswith("shared:") for word in words[6:])
        self.fstype = right.split(" ")[0]


def mounts(pid: str | int = "self") -> list[Mount]:
    """Return the mounts that a process sees, in the order of mounting.  OSError as it comes."""
    # No other sign but "\n" ends a line: a name may hold a carriage return.
    with open(f"/proc/{pid}/mountinfo", "rb") as file:
        return [Mount(os.fsdecode(line)) for line in file.read().split(b"\n") if line]
