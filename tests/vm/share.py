"""The checkout as a tar archive on the guest's second disk; it is unpacked at the path that it has here.

The program `build/bin/ocirun` knows its checkout by an absolute path, and so
do the tests.  The virtual environment comes along without the tools that only
the host needs, with the guest's own interpreter.  So does an environment in
which ocirun is installed, where a test is to find it as engines do.
"""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from engines import runtime
from live import bundles

from . import arch, cross, machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from tarfile import TarInfo

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INTERPRETER = "/usr/bin/python3"
# Programs that live tests put into containers, so that the guest needs no compiler.
TOOLS = f"{CHECKOUT}/build/{f'{arch.THIS.debian}-tools' if arch.FOREIGN else 'test-tools'}"
# Where ocirun is in the guest when it is installed there, and the link to it.
INSTALLED, PROGRAM = "/opt/ocirun", "/usr/local/bin/ocirun"
ENVIRONMENT = {"OCIRUN_TEST_TOOLS": TOOLS, "OCIRUN_TEST_PATIENCE": "15", "OCIRUN_TEST_GUEST": "1"}
# Unpacks /dev/vdb past the page cache, in which the snapshot could have older contents. Ordinary users of the guest
# start ocirun, too, so the directories above the checkout are open, as root's home is not.
UNPACK = [
    *("sh", "-c", 'dd if=/dev/vdb bs=1M iflag=direct status=none | tar -xPf - && chmod a+x "$@"', "sh"),
    *(str(above) for above in Path(CHECKOUT).parents),
]

# Of the virtual environment there, whose packages are those from here.
_VENV = f"home = {os.path.dirname(INTERPRETER)}\ninclude-system-site-packages = false\n"

_SKIPPED = frozenset((".git", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "dist"))
# What compiles and checks the code, beside it half a hundred megabytes.
_HOST_ONLY = ("mypy", "ruff", "pip", "setuptools", "pkg_resources", "hatchling", "ast_serialize", "librt")


def write(path: str, extra: Mapping[str, str] | None = None, *, installed: str = "") -> None:
    """Make the disk.

    extra      more to take along: path in the guest -> file or directory here
    installed  a virtual environment with ocirun in it, to be `INSTALLED` in the guest, or ""
    Raises OSError, ValueError where it is too much.
    """
    os.makedirs(TOOLS, exist_ok=True)
    bundles.build_tools(TOOLS, cross.COMPILER if arch.FOREIGN else "gcc")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(CHECKOUT, CHECKOUT, filter=_wanted)
        _add_text(archive, f"{CHECKOUT}/.venv/pyvenv.cfg", _VENV)
        if installed:
            archive.add(installed, INSTALLED, filter=_installed)
            _add_text(archive, f"{INSTALLED}/pyvenv.cfg", _VENV)
            link = tarfile.TarInfo(PROGRAM)
            link.type, link.linkname = tarfile.SYMTYPE, f"{INSTALLED}/bin/ocirun"
            archive.addfile(link)
        for target, source in (extra or {}).items():
            archive.add(source, target)
    size = os.path.getsize(path)
    if size > machine.SHARE_SIZE:
        raise ValueError(f"the checkout has {size} bytes, more than the guest's second disk")
    os.truncate(path, machine.SHARE_SIZE)


def others(machine: arch.Architecture) -> list[str]:
    """What is in the names of files that are compiled for other machines."""
    return [mark for one in arch.ALL.values() if one != machine for mark in (one.tuple, f"{one.debian}-")]


def install(scratch: str) -> str:
    """An environment with ocirun in a directory of its own, made as people make it; its path."""
    return os.path.dirname(os.path.dirname(runtime.chosen("ocirun", Path(scratch)).path))


def _wanted(entry: TarInfo) -> TarInfo | None:
    """The archive's entry for a file of the checkout, None for what stays here."""
    below = os.path.relpath("/" + entry.name, CHECKOUT).split(os.sep)
    if below[-1] in _SKIPPED or any(mark in below[-1] for mark in others(arch.THIS)):
        return None
    if below[0] == "bundles" and len(below) > 2 and (below[2] == "rootfs" or below[2].startswith(".rootfs")):
        return None
    if below[0] == ".venv":
        return _of_environment(entry, below[1:])
    return _of_root(entry)


def _installed(entry: TarInfo) -> TarInfo | None:
    """The same for the environment with ocirun; a preloaded interpreter fits only where it was made."""
    if os.path.basename(entry.name).startswith("_preload."):
        return None
    return _of_environment(entry, os.path.relpath("/" + entry.name, INSTALLED).split(os.sep))


def _of_environment(entry: TarInfo, below: Sequence[str]) -> TarInfo | None:
    """The entry for a file of a virtual environment, whose interpreter is the guest's."""
    if list(below) == ["pyvenv.cfg"] or (below and (below[-1].startswith(_HOST_ONLY) or "__mypyc." in below[-1])):
        return None
    if below[:1] == ["bin"] and below[-1].startswith("python"):
        entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, INTERPRETER, 0
    return _of_root(entry)


def _of_root(entry: TarInfo) -> TarInfo:
    """The entry, of root, and for everybody to read, however the checkout was made."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry


def _add_text(archive: tarfile.TarFile, path: str, text: str) -> None:
    entry = tarfile.TarInfo(path)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text.encode()))
