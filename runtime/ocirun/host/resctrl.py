"""Where resctrl, the kernel's interface to Intel RDT and its like, is mounted."""

from __future__ import annotations

from .cgroups import unescape


def mount_point(mountinfo: str = "/proc/self/mountinfo") -> str:
    """The first place where all of a resctrl file system can be seen, "" if there is none.

    mountinfo   a file as proc_pid_mountinfo(5) describes it
    """
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split()
            if fields[fields.index("-") + 1] == "resctrl" and fields[3] == "/":
                return unescape(fields[4])
    return ""
