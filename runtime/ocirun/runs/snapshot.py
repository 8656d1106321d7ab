"""Snapshots: what a container has changed, saved as a read-only layer from which others begin."""

from __future__ import annotations

import os

from .._base import jsonio, parameters
from .._base.boundary import methods_raise_ocirun_errors
from ..errors import ConfigError, HostError, Problem, UsageError
from ..files.removing import empty_directory, remove
from ..plan.mounts import upper as plans
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

    from .written import Written

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME, _LAYER = "snapshot.json", "layer"
_VERSION = 1
_KEYS = ("containerID", "hostID", "size")
_REMEDY = "give `disk`, the size of what is written"


@methods_raise_ocirun_errors
class Snapshot:
    """A snapshot that is there; `Container.snapshot` makes them, and ``Snapshot(path)`` finds one again.

        with container.snapshot() as snapshot:
            outcome = ocirun.run(config=config, snapshot=snapshot)

    path      its directory, absolute; closed to others
    rootfs    path of the root file system of the image that is below it
    below     paths of the snapshots below it, the nearest first: those that its container began from
    size      bytes that its layer took in memory, without those below
    left_out  (path, reason) of what it lacks: devices; for an ordinary user some attributes

    As a context manager it is deleted at the end.  A directory: it has no process and nothing open.  Nobody may change
    it, or the image, as long as a container goes on that began from it.
    """

    __slots__ = ("_idmap", "_image", "_maps", "below", "id", "left_out", "path", "rootfs", "size")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read what it is.  Raises UsageError for what is no snapshot, or a damaged one; HostError."""
        self.path = _path("path", path)
        found = _read(self.path)
        try:
            self.id: str = found["id"]
            self.rootfs: str = found["rootfs"]
            self.size: int = found["size"]
            self.below: list[str] = [one["path"] for one in found["below"]]
            self.left_out = [(str(name), str(why)) for name, why in found["leftOut"]]
            self._image: list[int] = found["image"]
            self._idmap: bool = found["idmap"]
            self._maps: Any = found["maps"]
            ids = [self.id, *(one["id"] for one in found["below"])]
        except (KeyError, TypeError, ValueError):
            raise _damaged(self.path, f"{_NAME} is not what was written") from None
        for place, name in zip(self.layers, ids, strict=True):
            _check_layer(self.path, place, name)

    @property
    def layers(self) -> list[str]:
        """Directories of its layer and those below, the topmost first: what `org.ocirun.root.layers` names."""
        return [os.path.join(path, _LAYER) for path in (self.path, *self.below)]

    def delete(self) -> None:
        """Remove it; what began from it cannot be begun again.  Nothing happens if it has gone.  Raises HostError."""
        above, name = os.path.split(self.path)
        try:
            found = _read(self.path)
        except _Gone:
            return
        if found.get("id") != self.id:
            raise UsageError(f"{self.path} is another snapshot now, and stays")
        parent = os.open(above, _DIRECTORY & ~os.O_NOFOLLOW)
        try:
            remove(parent, name)
        except OSError as error:
            raise HostError.from_os(f"delete the snapshot {self.path}", error) from None
        finally:
            os.close(parent)

    def annotated(self, data: Mapping[str, Any], bundle: str) -> dict[str, str]:
        """Return the annotations of a config whose container is to begin from it.

        bundle   where a relative root.path of the config begins
        Raises UsageError where its root file system is another one, or its ids are.
        """
        annotations = dict(data.get("annotations") or {})
        if not plans.wanted(data):
            raise UsageError("snapshot: is for a root that is thrown away", remedy=_REMEDY)
        rootfs = os.path.join(bundle, (data.get("root") or {}).get("path") or "")
        found = _identity(rootfs, "snapshot: the root file system")
        if found != self._image:
            text = f"snapshot: {self.path} is of another root file system, {self.rootfs}"
            raise UsageError(text, remedy=f"this one is {rootfs}: take a snapshot of a container with it")
        idmap, maps = _owners(data)
        if idmap != self._idmap or (maps is None) != (self._maps is None) or not (idmap or maps == self._maps):
            text = f"snapshot: the files of {self.path} belong to ids of another user namespace than the config has"
            raise UsageError(text, remedy="give the config of the container that it was taken of")
        return {**annotations, plans.LAYERS: jsonio.dumps(self.layers)}

    def __fspath__(self) -> str:
        return self.path

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    def __repr__(self) -> str:
        return f"<Snapshot {self.path!a} of {self.rootfs!a} size={self.size}>"


class _Gone(UsageError):
    """There is nothing of that name."""


def given(value: object) -> Snapshot:
    """Return the snapshot that a parameter names.  Raises UsageError, HostError."""
    if isinstance(value, Snapshot):
        return Snapshot(value.path)
    return Snapshot(_path("snapshot", value))


def new_path(path: object) -> str:
    """Return where a snapshot is to be, which is nowhere yet; None: a new name in TMPDIR, or in /var/tmp."""
    if path is not None:
        return _path("path", path)
    return os.path.join(os.path.abspath(os.environ.get("TMPDIR") or "/var/tmp"), f"ocirun-{os.urandom(8).hex()}")  # noqa: S108


def saved(written: Written, path: str) -> Snapshot:
    """Save what a container has written, while nobody writes.

    path   of `new_path`
    Raises UsageError, UnsupportedError, HostError; then nothing is there.
    """
    data, rootfs = written.data(), written.rootfs
    below = [_of_layer(layer) for layer in plans.layers(data)]
    if len(below) >= plans.MOST_LAYERS:
        raise UsageError(
            f"snapshot: the container began from {len(below)} snapshots, one on the other, and the kernel takes "
            f"{plans.MOST_LAYERS + 1} lower layers",
            remedy="`commit` has the image take all over; or make a new image",
        )
    above, name = os.path.split(path)
    try:
        parent = os.open(above, _DIRECTORY & ~os.O_NOFOLLOW)
    except OSError as error:
        raise HostError.from_os(f"path: {path}", error, call="openat") from None
    try:
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            raise UsageError(f"path: {path} is there already") from None
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            os.fchmod(fd, 0o700)  # whatever the umask
            os.mkdir(_LAYER, 0o700, dir_fd=fd)
            layer = os.open(_LAYER, _DIRECTORY, dir_fd=fd)
            try:
                left_out = written.save(layer)
            finally:
                os.close(layer)
            idmap, maps = _owners(data)
            about = {
                "version": _VERSION,
                "id": os.urandom(16).hex(),
                "rootfs": rootfs,
                "image": _identity(rootfs, "snapshot"),
                "idmap": idmap,
                "maps": maps,
                "below": [{"path": one.path, "id": one.id} for one in below],
                "size": written.size(),
                "leftOut": left_out,
            }
            # Last: without it, it is none.
            store.write_file(fd, _NAME, jsonio.dumps(about).encode())
        except BaseException:
            empty_directory(fd)
            os.rmdir(name, dir_fd=parent)
            raise
        finally:
            os.close(fd)
    except OSError as error:
        raise HostError.from_os(f"snapshot to {path}", error) from None
    finally:
        os.close(parent)
    return Snapshot(path)


def remove_unfinished(path: str) -> None:
    """Remove what a call that was killed has left in the place of a snapshot; a complete one stays.  Raises OSError."""
    above, name = os.path.split(path)
    try:
        parent = os.open(above, _DIRECTORY & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            ours = os.fstat(fd).st_uid == os.geteuid() and _NAME not in os.listdir(fd)
        finally:
            os.close(fd)
        if ours:
            remove(parent, name)
    except FileNotFoundError:
        return
    finally:
        os.close(parent)


def _path(name: str, value: object) -> str:
    path = parameters.text(name, os.fspath(value) if hasattr(value, "__fspath__") else value)
    if not path:
        raise parameters.wrong(name, "the path of a directory", value)
    return os.path.abspath(path)


def _read(path: str) -> dict[str, Any]:
    """Return what the directory of a snapshot says of it.  Raises UsageError, HostError."""
    try:
        fd = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        raise _Gone(f"snapshot: {path} is not there") from None
    except NotADirectoryError:
        raise UsageError(f"snapshot: {path} is no directory") from None
    except OSError as error:
        raise HostError.from_os(f"snapshot: {path}", error, call="openat") from None
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            text = f"snapshot: {path} belongs to somebody else, or others may write to it"
            raise UsageError(text, remedy="a snapshot is its owner's, and closed to others (0700)")
        found: Any = jsonio.loads(store.read_file(fd, _NAME))
    except FileNotFoundError:
        raise _damaged(path, f"it has no {_NAME}, and is no snapshot or an unfinished one") from None
    except OSError as error:
        raise HostError.from_os(f"snapshot: {path}", error) from None
    except jsonio.JsonError as error:
        raise _damaged(path, f"{_NAME}: {error}") from None
    finally:
        os.close(fd)
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise _damaged(path, f"{_NAME} is not of version {_VERSION}")
    return found


def _check_layer(path: str, layer: str, name: str) -> None:
    """Hold that a layer of a snapshot is the one that it was made with.  Raises UsageError."""
    place = os.path.dirname(layer)
    if place != path and _read(place).get("id") != name:
        raise _damaged(path, f"{place}, which it began from, is another snapshot now")
    try:
        status = os.lstat(layer)
    except FileNotFoundError:
        raise _damaged(path, f"{layer} is not there") from None
    if status.st_mode & 0o170000 != 0o040000:
        raise _damaged(path, f"{layer} is no directory")


def _damaged(path: str, why: str) -> UsageError:
    return UsageError(f"snapshot: {path} is damaged: {why}", remedy="remove it, and take another one")


def _of_layer(layer: str) -> Snapshot:
    if os.path.basename(layer) != _LAYER:
        raise UsageError(f"snapshot: {layer}, a layer of the config, is no snapshot's")
    return Snapshot(os.path.dirname(layer))


def _identity(rootfs: str, what: str) -> list[int]:
    """Return which directory a root file system is, whatever it is called, also after a restart of the host."""
    try:
        return [os.stat(rootfs).st_ino, os.statvfs(rootfs).f_fsid]
    except OSError as error:
        raise HostError.from_os(f"{what} {rootfs}", error) from None


def _owners(data: Mapping[str, Any]) -> tuple[bool, Any]:
    """Return whether the ids of the files are those inside, and the id maps; None without a user namespace."""
    linux = data.get("linux") or {}
    if not any(one["type"] == "user" for one in linux.get("namespaces") or ()):
        return False, None
    maps = [[[one[key] for key in _KEYS] for one in linux.get(f"{kind}Mappings") or ()] for kind in ("uid", "gid")]
    try:
        return plans.parsed(data["annotations"][plans.UPPER]).idmap, maps
    except ValueError as error:
        raise ConfigError([Problem(plans.POINTER, str(error))]) from None
