"""Whether the files of ocirun are still those that were imported.

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
# Seconds of the real-time clock: all modules but the first few are imported later. Not the start of the process, which
# execve(2) keeps: what has become ocirun may have installed it.
_BEGUN = time.time()
# File -> what is seen of it.
_noted: dict[str, tuple[int, int, int]] = {}


def is_missing(error: BaseException) -> bool:
    """Decide if an error says that a file or a module of the package is not there."""
    if isinstance(error, FileNotFoundError):
        return isinstance(error.filename, str) and error.filename.startswith(f"{_PACKAGE}/")
    return isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith(f"{_NAME}.")


def note() -> None:
    """Note the files of the modules in memory as they are: a preloaded interpreter has these whenever it starts."""
    for file in _files():
        _noted[file] = _seen(file)


def is_replaced() -> bool:
    """Decide if a file of a module that was imported is gone, or has another inode or content since.

    False where the system does not tell.
    """
    try:
        if _noted:
            return any(_seen(file) != before for file, before in _noted.items())
        return any(os.stat(file).st_ctime > _BEGUN for file in _files())
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _seen(file: str) -> tuple[int, int, int]:
    now = os.stat(file)
    return now.st_ino, now.st_size, now.st_mtime_ns


def _files() -> Iterator[str]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and f"{name}.".startswith(f"{_NAME}."):
            yield file
