"""Know which process a run belongs to, with which it ends: the text of a link in its state directory."""

from __future__ import annotations

import os

from .._base import jsonio
from . import init, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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


def note(directory: int, name: str, *more: object) -> None:
    """Write down in a state directory that this process is at something, which it may leave if it is killed.

    name   of the link
    more   what `left` will tell of it
    Raises OSError.
    """
    store.write_link(directory, name, jsonio.dumps([*jsonio.loads(link_text(init.boot_id()).encode()), *more]))


def left(directory: int, name: str) -> list[Any]:
    """Return what a process that has ended has noted; nothing where there is none.  Raises HostError."""
    if not is_gone(directory, name):
        return []
    found: list[Any] = jsonio.loads(store.read_link(directory, name).encode("utf-8", "surrogateescape"))
    return found[3:]


def is_gone(directory: int, name: str = _NAME) -> bool:
    """Return whether the run belonged to a process that has ended; False for a container that belongs to none.

    name   of the link that tells
    Raises HostError where it cannot be told.
    """
    try:
        found = store.read_link(directory, name)
        if not found:
            return False
        pid, start_time, boot, *_ = jsonio.loads(found.encode("utf-8", "surrogateescape"))
        return bool(boot != init.boot_id() or init.process_stat(pid)[1] != start_time)
    except (jsonio.JsonError, TypeError, ValueError):
        return False  # nothing of ours
