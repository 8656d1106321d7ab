"""Know which process a run belongs to, with which it ends: a file in its state directory."""

from __future__ import annotations

import os

from .. import jsonio
from . import init, store

_NAME = "caller"


def write(directory: int, boot: str) -> None:
    """Note in a container's new state directory that its run belongs to this process.  OSError as it comes.

    boot   id of this boot of the kernel
    """
    text = jsonio.dumps([os.getpid(), init.process_stat(os.getpid())[1], boot])
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(_NAME, how, 0o600, dir_fd=directory)
    try:
        store.write_all(fd, text.encode())
    finally:
        os.close(fd)


def is_gone(directory: int) -> bool:
    """Return whether the run belonged to a process that has ended; False for a container that belongs to none.

    Raises HostError where it cannot be told.
    """
    try:
        pid, start_time, boot = jsonio.loads(store.read_file(directory, _NAME))
        return bool(boot != init.boot_id() or init.process_stat(pid)[1] != start_time)
    except FileNotFoundError:
        return False
    except (jsonio.JsonError, TypeError, ValueError):
        # Its writer was killed while it wrote, or is at it.
        return store.lock(directory, 0)
