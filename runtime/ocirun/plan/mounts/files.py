"""Files and secrets that a container is given, whose contents are in no config and no plan.

Annotations tell their paths; the contents are bytes that are made for this container (`ops`, the kind "made").
"""

from __future__ import annotations

from ..._base.jsonio import JsonError, loads, pointer_token
from .. import constants as c
from ..builder import clean
from ..ops import OPEN_CREATE, OPEN_DIRECTORY, OPEN_NOT_PROC
from ..process import identity
from . import upper, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..builder import Builder

FILES = "org.ocirun.files"
SECRETS = "org.ocirun.secrets"
ANNOTATIONS = frozenset((FILES, SECRETS))
#: Where secrets are.
DIRECTORY = "/run/secrets"
_READABLE = 0o400
_MODES = 0o7777


def pointer(name: str) -> str:
    """Return where an annotation is in config.json."""
    return f"/annotations/{pointer_token(name)}"


def file_name(path: str) -> str:
    """Return the name of the bytes of a file."""
    return f"file {path}"


def secret_name(name: str) -> str:
    """Return the name of the bytes of a secret."""
    return f"secret {name}"


def wanted(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (pointer, name of its bytes) of all that a sound config asks for."""
    annotations = data.get("annotations") or {}
    files = loads(annotations[FILES].encode()) if FILES in annotations else []
    secrets = loads(annotations[SECRETS].encode()) if SECRETS in annotations else []
    return [
        *((pointer(FILES), file_name(one["path"])) for one in files),
        *((pointer(SECRETS), secret_name(name)) for name in secrets),
    ]


def put(builder: Builder) -> None:
    """Plan the files, when all mounts are there.  Raises ConfigError."""
    annotations = builder.data.get("annotations") or {}
    uid, gid = identity.user_ids(builder.process.get("user") or {})
    if FILES in annotations:
        for one in _listed(builder, FILES, annotations[FILES]):
            path, mode = _file(builder, one)
            _check_place(builder, path)
            builder.init(
                "put_file",
                pointer(FILES),
                root="root",
                path=path,
                mode=mode,
                owner=(uid, gid),
                content=file_name(path),
            )
    if SECRETS in annotations:
        _secrets(builder, _listed(builder, SECRETS, annotations[SECRETS]), (uid, gid))


def _listed(builder: Builder, name: str, text: str) -> list[Any]:
    try:
        found = loads(text.encode())
    except JsonError as error:
        raise builder.error(pointer(name), f"is no JSON: {error}", expected="an array") from None
    if not isinstance(found, list) or not found:
        raise builder.error(pointer(name), "names nothing", expected="an array that is not empty", found=text)
    return found


def is_path(path: object) -> bool:
    """Return whether a file may be put there: it is absolute, and each of its names is one of a file."""
    return isinstance(path, str) and path == clean(path) != "/" and "\0" not in path


def is_name(name: object) -> bool:
    """Return whether a secret may have this name."""
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name


def _file(builder: Builder, one: Any) -> tuple[str, int]:
    expected = '{"path": "/PATH", "mode": NUMBER}'
    if isinstance(one, dict) and set(one) == {"path", "mode"}:
        path, mode = one["path"], one["mode"]
        if is_path(path) and isinstance(mode, int) and 0 <= mode <= _MODES:
            return path, mode
    raise builder.error(pointer(FILES), f"{one!a} cannot be", expected=expected, found=ascii(one))


def _check_place(builder: Builder, path: str) -> None:
    """Check that a file goes where it ends with the container: not into the image, and not into the host."""
    mounts = builder.data.get("mounts") or ()
    holding: dict[str, Any] | None = None
    for mount in mounts:
        destination = builder.destination(mount)
        if path == destination:
            raise builder.error(pointer(FILES), f"{path} is the mount point of a mount")
        deeper = holding is None or len(destination) >= len(builder.destination(holding))
        if path.startswith(destination + "/") and deeper:
            holding = mount
    if holding is None:
        if upper.wanted(builder.data):
            return
        text = f"{path} would stay in the root file system"
    elif holding.get("type") == "tmpfs" and not {"bind", "rbind"} & words.given(holding):
        return
    else:
        text = f"{path} would be in the mount on {builder.destination(holding)}, which is not the container's alone"
    raise builder.error(pointer(FILES), text, expected="a path in a tmpfs, or a root that is thrown away (disk)")


def _secrets(builder: Builder, names: list[Any], owner: tuple[int, int]) -> None:
    """Plan a file system of memory that is never written to a disk, not even as swap."""
    place = pointer(SECRETS)
    for name in names:
        if not is_name(name):
            raise builder.error(place, f"{name!a} cannot be the name of a file", found=ascii(name))
    slot = builder.slot("secrets")
    safe = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
    options = [("mode", "0755"), *upper.label_of(builder, "ramfs")]
    builder.init(
        "new_filesystem",
        place,
        why="what is in a ramfs is never swapped out",
        slot=slot,
        type="ramfs",
        options=options,
        places=[None] * len(options),
        attributes=safe,
        mode_from=None,
    )
    for name in names:
        builder.init(
            "put_file", place, root=slot, path=f"/{name}", mode=_READABLE, owner=owner, content=secret_name(name)
        )
    builder.init("set_mount_attr", place, slot=slot, set=c.MOUNT_ATTR_RDONLY)
    flags = OPEN_CREATE | OPEN_DIRECTORY | OPEN_NOT_PROC
    builder.init("open_path", place, slot=builder.slot("target"), root="root", path=DIRECTORY, flags=flags, like=None)
    builder.init("attach", place, slot=slot, target="target")
    builder.init("close", place, slot=slot)
