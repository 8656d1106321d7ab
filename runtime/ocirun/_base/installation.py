"""Whether the files of ocirun are still those that this process began with.

pip replaces a package file by file, under the commands that run. It is asked only when something has failed, and
imports nothing then: a module that is not there yet may be gone.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "ocirun"
_PACKAGE = os.path.dirname(os.path.dirname(__file__))


def is_missing(error: BaseException) -> bool:
    """Decide if an error says that a file or a module of the package is not there."""
    if isinstance(error, FileNotFoundError):
        return isinstance(error.filename, str) and error.filename.startswith(f"{_PACKAGE}/")
    return isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith(f"{_NAME}.")


def is_replaced() -> bool:
    """Decide if a file of a module that was imported is gone, or has another inode or content since this process began.

    False where /proc does not tell.
    """
    try:
        began = _began()
        return any(os.stat(file).st_ctime > began for file in _files())
    except FileNotFoundError:
        return True
    except (OSError, ValueError, IndexError):
        return False


def _files() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and f"{name}.".startswith(f"{_NAME}."):
            yield file


def _began() -> float:
    """Return when this process began, in seconds of the real-time clock; up to a tick early."""
    fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fields = os.read(fd, 4096).rpartition(b")")[2].split()
    finally:
        os.close(fd)
    ticks = int(fields[19])  # starttime, of proc_pid_stat(5), in the time namespace of the reader
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
