"""Which security modules label the processes of this host.

top   where /proc and /sys are; for tests
"""

from __future__ import annotations

from .._base import procfile


def apparmor_file(top: str = "") -> str:
    """Return the file below /proc/PID that takes the profile for the next execve, "" where AppArmor is off.

    Since Linux 5.8 it has a file of its own; the one before that may be another module's.
    """
    if not procfile.text(f"{top}/sys/module/apparmor/parameters/enabled").startswith("Y"):
        return ""
    own = "attr/apparmor/exec"
    return own if procfile.exists(f"{top}/proc/thread-self/{own}") else "attr/exec"


def selinux(top: str = "") -> bool:
    """Return whether SELinux is on: its file system is there, and a policy,
    without which every process is called "kernel".
    """
    current = procfile.text(f"{top}/proc/thread-self/attr/current").rstrip("\0\n")
    return procfile.exists(f"{top}/sys/fs/selinux/enforce") and current not in ("", "kernel")
