"""The container's files as they will be, looked up before there is one: the root file system, and binds over it.

As in the container itself no path leads outside: each component is opened without following links, and links are
resolved here, from the container's root.
"""

from __future__ import annotations

import os
import stat
from errno import ELOOP, ENOTDIR

from .._base import procfile
from .._native import lib
from ..errors import errno_words
from ..plan.builder import below, join
from ..plan.mounts import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LINKS = 40  # as many as the kernel follows, path_resolution(7)
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 2, 4, 8


class UnknownPlaceError(Exception):
    """What will be there is not known before the container runs: a file system that is mounted new."""


class File:
    """A file that was found.

    fd      descriptor with O_PATH; close it
    path    in the container, without links
    mount   number of the mount that it is on, -1 for the root file system
    """

    __slots__ = ("fd", "mount", "path")

    def __init__(self, fd: int, path: str, mount: int) -> None:
        self.fd = fd
        self.path = path
        self.mount = mount

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class Inside:
    """What paths of the container lead to."""

    def __init__(self, rootfs: str, mounts: Sequence[dict[str, Any]], bundle: str) -> None:
        """Take the places that are mounted, in their order: a later mount covers what is below it.

        rootfs, bundle   absolute paths on the host
        mounts           ``mounts`` of a checked config
        """
        # Place in the container -> (number in the order, what is there on the host or "").
        self._places: dict[str, tuple[int, str]] = {"/": (-1, rootfs)}
        for index, mount in enumerate(mounts):
            options = words.given(mount)
            bind = ("bind" in options or "rbind" in options) and "copy-symlink" not in options
            source = join(bundle, mount.get("source") or "") if bind else ""
            self._places[self._target(below(rootfs, mount["destination"]))] = index, source

    def _target(self, destination: str) -> str:
        """Tell where a mount goes, after links; as it stands where that is not known or not there yet."""
        try:
            found = self.find(destination)
        except UnknownPlaceError:
            return destination
        except OSError as error:
            return procfile.unanswered(error, destination, destination)
        found.close()
        return found.path

    def find(self, path: str, *, cwd: str = "/") -> File:
        """Return the file that a path of the container leads to.

        cwd   where a relative one starts
        Raises OSError where there is none, UnknownPlaceError.
        """
        todo = [*reversed(path.split("/"))]
        done = [] if path.startswith("/") else [part for part in cwd.split("/") if part not in ("", ".")]
        links = 0
        found = self._open(done)
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if not stat.S_ISDIR(os.fstat(found.fd).st_mode):
                found.close()
                raise _error(ENOTDIR, path)
            found.close()
            wanted = done[:-1] if part == ".." else [*done, part]
            found = self._open(wanted)
            if not stat.S_ISLNK(os.fstat(found.fd).st_mode):
                done = wanted
                continue
            text = os.readlink("", dir_fd=found.fd)
            found.close()
            links += 1
            if links > _LINKS:
                raise _error(ELOOP, path)
            todo += reversed(text.split("/"))
            done = [] if text.startswith("/") else done
            found = self._open(done)
        return found

    def _open(self, parts: list[str]) -> File:
        """Open what stands at a path that has no links before its last component."""
        best, base, rest = -2, "", ""
        for end in range(len(parts) + 1):
            place = self._places.get("/" + "/".join(parts[:end]))
            if place is not None and place[0] > best:
                best, base, rest = place[0], place[1], "/".join(parts[end:])
        path = "/" + "/".join(parts)
        if not base:
            raise UnknownPlaceError(path)
        # The sources of binds and the root were named by the caller, and may be links.
        fd = os.open(base, os.O_PATH | os.O_CLOEXEC)
        if not rest:
            return File(fd, path, best)
        try:
            flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            # O_PATH with O_NOFOLLOW opens a link as the last component in spite of RESOLVE_NO_SYMLINKS.
            result = lib.ocirun_openat2(fd, os.fsencode(rest), flags, 0, _NO_MAGICLINKS | _NO_SYMLINKS | _BENEATH)
        finally:
            os.close(fd)
        if result < 0:
            raise _error(-result, path)
        return File(result, path, best)


def _error(number: int, path: str) -> OSError:
    return OSError(number, errno_words(number), path)
