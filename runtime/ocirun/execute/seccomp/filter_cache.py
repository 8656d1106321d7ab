"""Compiled seccomp filters, kept below the state root: compiling a large profile takes milliseconds each time.

    ROOT/seccomp~/       0700, ours; no container can have this id
      HASH               one filter, named by everything that it depends on

A file is believed only if it and its directory belong to the caller and can be
written by nobody else, and if it is whole.  It appears by rename.
"""

from __future__ import annotations

import os
from _blake2 import blake2b

from ..._base.version import VERSION
from ...host import libseccomp
from ...state import store
from .program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIRECTORY = "seccomp~"
# Filters in the cache: hosts have a few profiles.  When one more comes the oldest ones go.
ENTRIES = 64
_KEPT = 48
# Goes up when the same rules become other code.
_FORM = 1
_MAGIC = b"ocirun filter 1\n"
_DIGEST = 32
_SIZE_LIMIT = 1 << 20


def compiled(directory: int, args: dict[str, Any]) -> Program:
    """Return the filter of an operation `compile_seccomp`, from the cache or made now.

    directory   of a container, in the state root
    args        of the operation
    Raises as compile_rules.
    """
    name = _name(args)
    cache = _open_cache(directory)
    try:
        found = _read(cache, name) if cache >= 0 else None
        if found is not None:
            return found
        from .compiler import compile_rules

        program = compile_rules(args["default"], args["architectures"], args["rules"], args["newer"])
        if cache >= 0:
            _write(cache, name, program)
        return program
    finally:
        if cache >= 0:
            os.close(cache)


def _name(args: dict[str, Any]) -> str:
    """Return a hash over all that decides what the filter is: the rules, the library, the kernel, this program."""
    host = os.uname()
    parts = (
        [args[key] for key in ("default", "architectures", "rules", "newer")],
        [libseccomp.load().version, host.release, host.version, host.machine, VERSION, _FORM],
    )
    return blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=_DIGEST).hexdigest()


def _open_cache(directory: int) -> int:
    """Return the directory of the cache, made if it is missing; -1 if it is not to be trusted, or cannot be had."""
    try:
        root = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return -1
    try:
        try:
            os.mkdir(DIRECTORY, 0o700, dir_fd=root)
        except FileExistsError:
            pass
        how = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        cache = os.open(DIRECTORY, how, dir_fd=root)
    except OSError:
        return -1
    finally:
        os.close(root)
    if not _ours(cache):
        os.close(cache)
        return -1
    return cache


def _ours(fd: int) -> bool:
    status = os.fstat(fd)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read(cache: int, name: str) -> Program | None:
    """Return an entry; None if there is none, or one that is not to be believed."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=cache)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        # A second name could have been given to it by somebody else.
        if not _ours(fd) or status.st_mode & 0o170000 != 0o100000 or status.st_nlink != 1:
            return None
        raw = os.pread(fd, _SIZE_LIMIT, 0)
    except OSError:
        return None
    finally:
        os.close(fd)
    start = len(_MAGIC) + _DIGEST
    content = raw[start:]
    if raw[:start] != _MAGIC + blake2b(content, digest_size=_DIGEST).digest():
        return None
    size, _, rest = content.partition(b"\n")
    names, code = rest[: int(size)], rest[int(size) :]
    return Program(code, [name for name in names.decode().split("\0") if name])


def _write(cache: int, name: str, program: Program) -> None:
    """Add an entry.  A disk that is full costs time at the next container, and nothing else."""
    names = "\0".join(program.unknown).encode()
    content = b"%d\n%b%b" % (len(names), names, program.code)
    try:
        _make_room(cache)
        store.write_file(cache, name, _MAGIC + blake2b(content, digest_size=_DIGEST).digest() + content)
    except OSError:
        return


def _make_room(cache: int) -> None:
    """Remove the oldest entries of a full cache; those that a killed process has left half written among them."""
    names = os.listdir(cache)
    if len(names) < ENTRIES:
        return
    ages = []
    for name in names:
        try:
            ages.append((os.stat(name, dir_fd=cache, follow_symlinks=False).st_mtime_ns, name))
        except FileNotFoundError:
            continue
    ages.sort()
    for _, name in ages[: len(ages) - _KEPT]:
        try:
            os.unlink(name, dir_fd=cache)
        except FileNotFoundError:
            continue
