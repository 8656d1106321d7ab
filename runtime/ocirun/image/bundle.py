"""Make a bundle of an image, wholly or not at all."""

from __future__ import annotations

import os
from errno import EACCES, EEXIST, EPERM, EROFS

from .._base.boundary import raises_ocirun_errors
from .._base.jsonio import dumps_pretty
from .._native import lib
from ..config import load
from ..errors import HostError, ImageError, UnsupportedError, UsageError, errno_words
from .conversion import convert
from .layer import Unpacking
from .layout import find
from .place import Place, sweep
from .platform import Platform
from .source import open_source
from .streams import Limit, Stream, decompressed
from .tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..errors import OcirunError
    from .layout import Image
    from .owners import Owners
    from .source import Source

    Progress = Callable[[int, int], None]

#: Bytes that an image may have, decompressed, unless one says otherwise.
SIZE_LIMIT = 64 << 30
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# A bundle has such a name until all of it is there.
_HIDDEN = ".ocirun-"


@raises_ocirun_errors
def make(
    image: str,
    directory: str,
    *,
    config: dict[str, Any],
    owners: Owners,
    tag: str = "",
    platform: str = "",
    args: Sequence[str] = (),
    size_limit: int = SIZE_LIMIT,
    warn: Callable[[str], None],
    progress: Progress | None = None,
) -> None:
    """Make a bundle of an image: a new directory with rootfs and config.json, for its owner alone.

    image        path of an OCI image layout, of an archive of an image or of a root file system; ``-``: standard input
    directory    path of the bundle, which must not exist
    config       what config.json is made of; it is changed
    owners       whose the files become
    tag          which image it is, if there are several; its name or the last part of that
    platform     OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT; "" for this machine's
    args         words in place of the image's Cmd
    size_limit   bytes that the image may have, decompressed
    warn         called with one line for what is left out
    progress     called with the bytes of the image that are done, and all of them
    Raises ImageError, HostError, UnsupportedError, UsageError, ConfigError; after any of them nothing is left.
    """
    if not image:
        raise UsageError("the path of the image is empty")
    wanted = Platform.read(platform)
    parent, name = _open_parent(directory)
    try:
        _check_free(parent, name, directory)
        sweep(parent, _HIDDEN, os.path.dirname(directory.rstrip("/")), warn=warn)
        source = open_source(image, spool=f"/proc/self/fd/{parent}", limit=size_limit)
        try:
            found = _within(source, lambda: find(source, tag=tag, platform=wanted, chosen=bool(platform)))
            if found is None and (tag or platform):
                raise UsageError(f"{source.path}: is the archive of a root file system, which has no tag or platform")
            hidden = Place(parent, _HIDDEN)
            try:
                try:
                    hidden.make()
                except OSError as error:
                    raise _not_made(directory, error) from None
                unpack = _Unpacker(source, found, owners, size_limit, warn, progress)
                _within(source, lambda: unpack.into(hidden.fd, config, args, directory))
                _rename(parent, hidden.name, name, directory)
            except BaseException:
                hidden.remove()
                raise
            finally:
                hidden.close()
        finally:
            source.close()
    finally:
        os.close(parent)


def _open_parent(directory: str) -> tuple[int, str]:
    above, name = os.path.split(directory.rstrip("/"))
    if name in ("", ".", "..") or "\0" in directory:
        raise UsageError(f"{directory!a} is no name for a new directory")
    try:
        return os.open(above or ".", _DIRECTORY), name
    except OSError as error:
        raise HostError.from_os(f"directory {above or '.'}", error, call="openat") from None


def _check_free(parent: int, name: str, directory: str) -> None:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError.from_os(directory, error, call="newfstatat") from None
    raise _exists(directory)


def _exists(directory: str) -> HostError:
    return HostError(f"{directory} exists", remedy="remove it first, or choose another directory")


def _not_made(directory: str, error: OSError) -> HostError:
    number = error.errno or 0
    remedy = "choose a place that you may write to" if number in (EACCES, EPERM, EROFS) else ""
    return HostError(f"make {directory}: {errno_words(number)}", call="mkdirat", errno=number, remedy=remedy)


def _rename(parent: int, hidden: str, name: str, directory: str) -> None:
    error = -lib.ocirun_rename_new(parent, hidden.encode(), parent, os.fsencode(name))
    if error == EEXIST:
        raise _exists(directory)
    if error:
        raise HostError(f"rename the bundle to {directory}: {errno_words(error)}", call="renameat2", errno=error)


def _within(source: Source, work: Callable[[], Any]) -> Any:
    """Do something, so that its errors name the image."""
    try:
        return work()
    except ImageError as error:
        raise error.inside(image=source.path) from None


class _Unpacker:
    """What it takes to fill the directory of a bundle."""

    def __init__(
        self,
        source: Source,
        image: Image | None,
        owners: Owners,
        size_limit: int,
        warn: Callable[[str], None],
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._image = image
        self._owners = owners
        self._limit = Limit(size_limit)
        self._warn = warn
        self._progress = progress
        self._done = self._total = 0

    def into(self, work: int, config: dict[str, Any], args: Sequence[str], directory: str) -> None:
        """Make rootfs and config.json in a directory, which is empty."""
        os.mkdir("rootfs", 0o700, dir_fd=work)
        fd = os.open("rootfs", _DIRECTORY, dir_fd=work)
        tree = Tree(fd, self._owners.of(0, 0))
        try:
            unpacking = Unpacking(tree, self._owners)
            if self._image is None:
                self._root_archive(unpacking)
            else:
                self._layers(self._image, unpacking)
            image = self._image.config if self._image else {}
            convert(config, image, unpacking, warn=self._warn, args=list(args))
            self._fit(config["process"]["user"])
            unpacking.finish()
        finally:
            tree.close()
            os.close(fd)
        for what, (count, path) in unpacking.notes.items():
            self._warn(f"{self._source.path}: left out: {what} ({count}, the first at {path})")
        data = (dumps_pretty(config, "\t") + "\n").encode("ascii")
        # An error names the image: after it there is no bundle to look into.
        load.from_bytes(data, bundle=directory, path=f"config.json of {self._source.path}")
        _write(work, "config.json", data)

    def _fit(self, user: dict[str, Any]) -> None:
        """Leave out further groups where only the caller's own is mapped: then there is no setgroups(2) either.

        Raises UnsupportedError for another user than root.
        """
        if not self._owners.caller:
            return
        if user["uid"] or user["gid"]:
            what = f"the image's program is for uid {user['uid']} and gid {user['gid']}, and only one id is mapped"
            more = f"further ids are needed, and {self._owners.why}" if self._owners.why else "see docs/bundles.md"
            raise UnsupportedError(f"{self._source.path}: {what}", remedy=more)
        if gids := user.pop("additionalGids", None):
            said = ", ".join(map(str, gids[:9])) + (", ..." if len(gids) > 9 else "")
            what = f"the user's further groups ({said}), as only one group is mapped"
            self._warn(f"{self._source.path}: left out: {what}")

    def _root_archive(self, unpacking: Unpacking) -> None:
        archive = self._source.archive
        if archive is None:  # a directory is never one
            raise ImageError("is no archive")
        self._total = archive.size
        stream = Stream(archive.pieces(told=self._tell), limit=self._limit)
        self._part("", lambda: unpacking.apply(stream, whiteouts=False, marked=True))
        if stream.position <= 1024:
            raise ImageError("is an empty archive")

    def _layers(self, image: Image, unpacking: Unpacking) -> None:
        self._total = sum(layer.part.size for layer in image.layers)
        for number, layer in enumerate(image.layers):
            pieces = layer.part.pieces(layer.digest, told=self._tell)

            def apply(first: bool = number == 0, pieces: Any = pieces, diff: Any = layer.diff) -> None:
                stream = Stream(decompressed(pieces), limit=self._limit, digest=diff)
                unpacking.apply(stream, whiteouts=True, marked=False, first=first)
                stream.end()

            self._part(layer.name, apply)

    def _part(self, name: str, work: Callable[[], None]) -> None:
        """Do something with a layer, so that its errors name it."""
        try:
            work()
        except ImageError as error:
            raise error.inside(blob=name) from None
        except (HostError, UnsupportedError) as error:
            raise _prefixed(error, ": ".join(part for part in (self._source.path, name) if part)) from None

    def _tell(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(self._done, self._total)


def _prefixed(error: OcirunError, place: str) -> OcirunError:
    return type(error)(f"{place}: {error.message}", call=error.call, errno=error.errno, remedy=error.remedy)


def _write(directory: int, name: str, data: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fchmod(fd, 0o644)
    finally:
        os.close(fd)
