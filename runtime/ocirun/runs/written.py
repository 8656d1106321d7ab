"""What a run has written into a root file system that is thrown away."""

from __future__ import annotations

import os
from _thread import allocate_lock
from errno import ELOOP, ENOTDIR

from .._base import jsonio, parameters
from ..errors import HostError, UsageError
from ..files.below import DIRECTORY, opened
from ..files.changes import Upper
from ..files.layers import Layers
from ..files.saving import Saving
from ..files.taking import Taking
from ..plan.mounts import upper as plans
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, TypeVar

    from ..files.changes import Changes

    T = TypeVar("T")

_NOBODY = 65534


class Written:
    """The upper layer of a container all of whose processes have ended.

    fd       of the tmpfs with the layer, which stays the caller's
    config   config.json
    rootfs   path of the root file system below
    """

    def __init__(self, fd: int, config: bytes, rootfs: str) -> None:
        self._fd = fd
        self._config = config
        self.rootfs = rootfs

    def data(self) -> Any:
        """Return the config as values."""
        return jsonio.loads(self._config)

    def size(self) -> int:
        """Return how many bytes of it are taken.  Raises OSError."""
        room = os.fstatvfs(self._fd)
        return (room.f_blocks - room.f_bfree) * room.f_frsize

    def save(self, target: int) -> list[tuple[str, str]]:
        """Copy the layer as it is into an empty directory; what was left out.  Raises OSError, UnsupportedError."""
        held: list[int] = []
        try:
            saving = Saving(self._layer(held), target)
            saving.run()
            return saving.left_out
        finally:
            for fd in held:
                os.close(fd)

    def is_full(self) -> bool:
        """Return whether it has no room left, for bytes or for files.  Raises HostError."""
        try:
            room = os.fstatvfs(self._fd)
        except OSError as error:
            raise HostError.from_os("what the container has written", error, call="fstatfs") from None
        return not room.f_bfree or not room.f_ffree

    def changes(self) -> Changes:
        """Return what has changed.  Raises HostError."""
        held: list[int] = []
        try:
            return self._layer(held).changes()
        except OSError as error:
            raise HostError.from_os("what the container has changed", error) from None
        finally:
            for fd in held:
                os.close(fd)

    def keep(self, path: str) -> list[tuple[str, str]]:
        """Copy what was added and changed into a new directory, or an empty one.

        Returns (path, reason) of what was left out.  Raises UsageError, HostError; then nothing of it is there.
        """
        return filled("keep", path, lambda target: self._take(target, replaces=False))

    def commit(self) -> list[tuple[str, str]]:
        """Take it over into the root file system: what was added, changed and removed.

        Of a container that began from a snapshot, what was changed up to that is taken over first.
        Returns (path, reason) of what was left out.  Raises HostError; what was complete by then stays.
        """
        try:
            fd = os.open(self.rootfs, DIRECTORY | os.O_CLOEXEC)
            try:
                return [*self._take_layers(fd), *self._take(fd, replaces=True)]
            finally:
                os.close(fd)
        except OSError as error:
            raise HostError.from_os(f"commit to {self.rootfs}", error) from None

    def take_over(self, keep: str, *, commit: bool) -> list[tuple[str, str]]:
        """Do what a run was asked for; returns what was left out, each once.  Raises as `keep` and `commit`."""
        left_out = self.keep(keep) if keep else []
        if commit:
            left_out += [one for one in self.commit() if one not in left_out]
        return left_out

    def _take(self, target: int, *, replaces: bool) -> list[tuple[str, str]]:
        held: list[int] = []
        try:
            taking = Taking(self._layer(held), target, replaces=replaces)
            taking.run()
            return taking.left_out
        finally:
            for fd in held:
                os.close(fd)

    def _take_layers(self, target: int) -> list[tuple[str, str]]:
        """Take the layers between over into the image, the lowest first; what was left out."""
        left_out: list[tuple[str, str]] = []
        held: list[int] = []
        try:
            last = self._layer(held)
            for layer in reversed(last.lower.fds[:-1]):
                # Their owners are as the image has them.
                ids = (_same, _same)
                one = Upper(layer, last.lower, inside=ids, below=ids, stored=ids, opaque=last.opaque)
                taking = Taking(one, target, replaces=True)
                taking.run()
                left_out += taking.left_out
            return left_out
        finally:
            for fd in held:
                os.close(fd)

    def _layer(self, held: list[int]) -> Upper:
        """Return the layer; its descriptors are put into `held`."""
        data = self.data()
        linux = data.get("linux") or {}
        # Only as a place: to an ordinary user it may be closed, by the mode that the program has given its root.
        held.append(opened(self._fd, b"upper", os.O_PATH | os.O_DIRECTORY))
        for path in (*plans.layers(data), self.rootfs):
            held.append(os.open(path, DIRECTORY | os.O_CLOEXEC))
        inside = inside_of(linux.get("uidMappings") or ()), inside_of(linux.get("gidMappings") or ())
        idmap = plans.parsed(data["annotations"][plans.UPPER]).idmap
        owned = any(one["type"] == "user" for one in linux.get("namespaces") or ())
        opaque = f"{'user' if owned else 'trusted'}.overlay.opaque"
        return Upper(
            held[0],
            Layers(held[1:], opaque),
            inside=inside,
            below=(_same, _same) if idmap else inside,
            stored=inside if idmap else (_same, _same),
            opaque=opaque,
        )


def filled(name: str, path: str, fill: Callable[[int], T]) -> T:
    """Make a directory, or take an empty one, and return what filling it by its descriptor does.

    name   of the parameter that is the path
    Raises UsageError, HostError; then nothing of it is there.
    """
    parent, last = _parent(name, path)
    held = [parent]
    made = False
    try:
        try:
            os.mkdir(last, 0o700, dir_fd=parent)
            made = True
        except FileExistsError:
            made = False
        target = os.open(last, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        held.append(target)
        if os.listdir(target):
            raise _full(name, path)
        try:
            return fill(target)
        except BaseException:
            store.empty_directory(target)
            raise
    except BaseException as error:
        if made:
            os.rmdir(last, dir_fd=parent)
        if isinstance(error, OSError):
            raise HostError.from_os(f"{name}: {path}", error) from None
        raise
    finally:
        for fd in held:
            os.close(fd)


class Held(Written):
    """The same of a container that goes on: the descriptor is its own, and ends with the container or the handle.

    With the last descriptor the memory of the layer goes.
    """

    def __init__(self, fd: int, config: bytes, rootfs: str) -> None:
        super().__init__(fd, config, rootfs)
        self._lock = allocate_lock()

    def close(self) -> None:
        """Let go of the layer; any number of times."""
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _layer(self, held: list[int]) -> Upper:
        with self._lock:
            if self._fd < 0:
                raise UsageError("what the container has written is gone with it", remedy="ask before it is deleted")
            return super()._layer(held)

    def __del__(self) -> None:
        self.close()


def check(data: Any, keep: object, *, commit: bool) -> None:
    """Check, before a run, that there will be something to be kept, and that it has a place.

    data   the run's config
    keep, commit   as of `ocirun.run`
    Raises UsageError.
    """
    path = "" if keep is None else parameters.text("keep", keep)
    if (path or commit) and not plans.wanted(data):
        name = "keep" if path else "commit"
        raise UsageError(f"{name}: is for a root that is thrown away", remedy="give `disk`, its size")
    if not path:
        return
    parent, name = _parent("keep", path)
    try:
        fd = os.open(name, DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            if os.listdir(fd):
                raise _full("keep", path)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in (ENOTDIR, ELOOP):
            raise _full("keep", path) from None
        raise HostError.from_os(f"keep: {path}", error, call="openat") from None
    finally:
        os.close(parent)


def _full(name: str, path: str) -> UsageError:
    return UsageError(f"{name}: {path} is there, and is no empty directory")


def _parent(parameter: str, path: str) -> tuple[int, str]:
    """Open the directory that is to hold another one, whose name it returns too.  Raises HostError."""
    above, name = os.path.split(os.path.abspath(path))
    if not name:
        raise _full(parameter, path)
    try:
        return os.open(above, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), name
    except OSError as error:
        raise HostError.from_os(f"{parameter}: {path}", error, call="openat") from None


def _same(number: int) -> int:
    return number


def inside_of(maps: Sequence[dict[str, int]]) -> Callable[[int], int]:
    """Return what turns an id of the host into the container's; without maps they are the same."""
    if not maps:
        return _same

    def inside(number: int) -> int:
        for one in maps:
            if one["hostID"] <= number < one["hostID"] + one["size"]:
                return one["containerID"] + number - one["hostID"]
        return _NOBODY

    return inside
