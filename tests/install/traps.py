"""Modules that say so when somebody imports them, and an environment that leads to them."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

MODULES = (
    "abc", "codecs", "collections", "encodings/__init__", "encodings/idna", "encodings/utf_8", "enum", "errno",
    "functools", "io", "json/__init__", "linecache", "ocirun/__init__", "ocirun/cli/__init__", "ocirun/cli/main",
    "os", "posixpath", "re", "readline", "signal", "site", "sitecustomize", "stat", "struct", "subprocess", "time",
    "traceback", "types", "typing", "usercustomize", "warnings", "_cffi_backend", "_json", "_weakrefset",
)  # fmt: skip
SAY = 'import posix\nposix.write(2, b"TRAP %s\\n" % __name__.encode())\n'


def lay(directory: Path) -> Path:
    """Write the trap modules into `directory`."""
    for name in MODULES:
        path = directory / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SAY)
    (directory / "trap.pth").write_text('import posix; posix.write(2, b"TRAP pth\\n")\n')
    for name in ("libc.so.6", "libm.so.6", "libz.so.1", "libpthread.so.0", "libdl.so.2"):
        # ld.so stops with "file too short" when it comes upon one.
        (directory / name).write_bytes(b"")
    for site in (f"lib/python3.{sys.version_info.minor}/site-packages", "local/lib"):
        (directory / ".local" / site).mkdir(parents=True, exist_ok=True)
        for name in ("usercustomize", "sitecustomize"):
            (directory / ".local" / site / f"{name}.py").write_text(SAY)
        (directory / ".local" / site / "trap.pth").write_text('import posix; posix.write(2, b"TRAP user pth\\n")\n')
    return directory


def hostile(directory: Path) -> dict[str, str]:
    """An environment in which every variable that Python or ld.so reads leads to the traps."""
    at = str(directory)
    return {
        "PATH": f"{at}:/usr/bin:/bin",
        "HOME": at,
        "PYTHONPATH": at,
        "PYTHONHOME": at,
        "PYTHONSTARTUP": f"{at}/os.py",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "trap.trap",
        "PYTHONWARNINGS": "error::trap.Trap,error",
        "PYTHONPLATLIBDIR": at,
        "PYTHONPYCACHEPREFIX": at,
        "PYTHONUSERBASE": f"{at}/.local",
        "PYTHONEXECUTABLE": f"{at}/python",
        "PYTHONCASEOK": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONDEBUG": "1",
        "PYTHONPROFILEIMPORTTIME": "1",
        "PYTHONMALLOC": "no-such-allocator",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii:strict",
        "PYTHONDUMPREFS": "1",
        "PYTHONOPTIMIZE": "2",
        "LC_ALL": "no_SUCH.locale",
        "LANG": "tlh",
        "LD_LIBRARY_PATH": f"{at}:",
        "LD_PRELOAD": f"{at}/libm.so.6",
        "LD_AUDIT": f"{at}/libm.so.6",
        "LD_DEBUG": "all",
    }


def snapshot(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, size and time of everything below a directory."""
    found = {}
    for base, folders, names in os.walk(directory):
        for name in (*folders, *names):
            status = os.lstat(os.path.join(base, name))
            found[os.path.join(base, name)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found
