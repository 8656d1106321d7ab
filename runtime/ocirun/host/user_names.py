"""Names of users of this host."""

from __future__ import annotations

import os

from .._base import procfile


def user_name(uid: int) -> str:
    """Return the name of a user of this host, or the number without one.

    /etc/passwd is looked at first, as runc does: the C library first reads how names are to be looked up, and
    asks a cache that is hardly ever there.
    """
    wanted = str(uid).encode("ascii")
    try:
        for line in procfile.read("/etc/passwd", 1 << 20).split(b"\n"):
            fields = line.split(b":", 3)
            if len(fields) == 4 and fields[2] == wanted:
                return os.fsdecode(fields[0])
    except OSError as error:
        procfile.unanswered(error, "/etc/passwd", "")  # other sources may have the name
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
