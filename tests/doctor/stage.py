"""Hosts on which something is refused: ours, seen from namespaces that end with the command that looks.

Each stage is a script of sh that changes its own namespaces and then executes ocirun.  Nothing of it reaches the host.
"""

from __future__ import annotations

import ctypes
import json
import platform
import struct
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

NOBODY = 65534
AS_NOBODY = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups"
#: A tmpfs on /mnt, for what a stage writes.
ROOM = "mount -t tmpfs tmpfs /mnt; chmod 755 /mnt; "
#: /mnt/root, a plain directory that shows what / does, for chroot(1).
CHROOT = (
    ROOM
    + """mkdir /mnt/root
for d in /*; do
    n=/mnt/root$d
    if [ -L $d ]; then cp -P $d $n; elif [ -d $d ] && [ $d != /mnt ]; then mkdir $n; mount --rbind $d $n; fi
done
"""
)
# asm/unistd.h of x86-64 and of arm64; clone3 has one number everywhere
UNSHARE = {"x86_64": 272, "aarch64": 97}[platform.machine()]
SETHOSTNAME = {"x86_64": 170, "aarch64": 161}[platform.machine()]
CLONE3, MOUNT_SETATTR = 435, 442
_ERRNO, _ALLOW, _KILL = 0x00050000, 0x7FFF0000, 0x80000000
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2


class Found:
    """What the doctor said: the status, and its JSON."""

    def __init__(self, status: int, record: dict[str, Any]) -> None:
        self.status = status
        self.record = record

    def check(self, group: str, name: str) -> dict[str, Any]:
        """One answer."""
        (found,) = (one for one in self.record["checks"] if (one["group"], one["name"]) == (group, name))
        return dict(found)

    def missing(self) -> set[tuple[str, str]]:
        """What is needed and not ok."""
        checks = self.record["checks"]
        return {(one["group"], one["name"]) for one in checks if one["needed"] and one["verdict"] != "ok"}

    def errors(self) -> list[tuple[str, str]]:
        """Return pointer and message of what `check` has against a bundle."""
        found = self.record["findings"]
        return [(one["pointer"], one["message"]) for one in found if one["severity"] == "error"]


class Stage:
    """A way to call ocirun where something is refused.

    program   ocirun, which every user can start
    root      a state root that is for the caller to make
    """

    def __init__(self, program: str, root: Path) -> None:
        self.program = program
        self.root = root

    def look(
        self, script: str = "", *words: str, by: str = "", namespaces: str = "--mount", refuse: Any = None
    ) -> Found:
        """What the doctor says at the end of a script.

        script       of sh, run as root in new namespaces
        words        arguments of the doctor
        by           a command before that of ocirun, such as AS_NOBODY
        namespaces   options of unshare(1), "" for none; a mount namespace is private
        refuse       (number of a system call, errno or 0 to be killed): a filter for all of it
        """
        owner = NOBODY if by.startswith(AS_NOBODY) else 0
        roots = f"mkdir -p {self.root}; chown {owner} {self.root}; chmod 700 {self.root}; "
        line = f'set -e; {roots}{script} exec {by} {self.program} --root {self.root} doctor --json "$@"'
        enter = ["unshare", *namespaces.split(), "--fork"] if namespaces else []
        done = subprocess.run(
            [*enter, "sh", "-c", line, "sh", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            preexec_fn=None if refuse is None else lambda: load(*refuse),
        )
        assert done.returncode in (0, 1), done.stderr
        return Found(done.returncode, json.loads(done.stdout))


def load(number: int, errno: int) -> None:
    """Load a filter that answers one system call with an errno, 0 for death, and allows all others."""
    instructions = [
        (0x20, 0, 0, 0),  # the number
        (0x15, 0, 1, number),
        (0x06, 0, 0, _ERRNO | errno if errno else _KILL),
        (0x06, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *one) for one in instructions)
    held = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(held))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_SECCOMP, _FILTER, ctypes.c_char_p(program), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
