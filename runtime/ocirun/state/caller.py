"""Know which process a run belongs to, with which it ends: the text of a link in its state directory."""

from __future__ import annotations

import os

from .._base import jsonio
from . import init, store

_NAME = "caller"


# Of this process: its number, and when it began.
_own = (0, 0)


def link_text(boot: str) -> str:
    """Return what says in the state directory of a run that it belongs to this process.

    boot   id of this boot of the kernel
    """
    global _own
    pid = os.getpid()
    if _own[0] != pid:
        _own = pid, init.process_stat(pid)[1]
    return jsonio.dumps([*_own, boot])


def is_gone(directory: int) -> bool:
    """Return whether the run belonged to a process that has ended; False for a container that belongs to none.

    Raises HostError where it cannot be told.
    """
    try:
        found = store.read_link(directory, _NAME)
        if not found:
            return False
        pid, start_time, boot = jsonio.loads(found.encode("utf-8", "surrogateescape"))
        return bool(boot != init.boot_id() or init.process_stat(pid)[1] != start_time)
    except (jsonio.JsonError, TypeError, ValueError):
        return False  # nothing of ours
