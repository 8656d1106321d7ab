"""From an image's config to a config.json, by the rules of image-spec conversion.md."""

from __future__ import annotations

from ..errors import ImageError, errno_words
from ..features import UNSAFE_ANNOTATIONS
from .layout import text_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .layer import Unpacking
    from .tree import Tree

    Object = dict[str, Any]

_PREFIX = "org.opencontainers.image."
# Fields of the image's config, and their annotations.
_FIELDS = ("os", "architecture", "variant", "os.version", "os.features", "author", "created")
# What programs of images are made for, and `spec` does not give: to become another user, and to have files of several.
_CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP"),
    *("CAP_SETUID", "CAP_SYS_CHROOT"),
)
_PASSWD, _GROUP = "etc/passwd", "etc/group"
# Bytes of one of the files.
_SIZE_MAX = 16 << 20
_ID_MAX = (1 << 32) - 2
# NGROUPS_MAX of the kernel
_GROUPS_MAX = 65536
_VOLUME = ("nosuid", "nodev", "tmpcopyup")


def convert(
    config: Object, image: Object, unpacking: Unpacking, *, warn: Callable[[str], None], args: list[str]
) -> None:
    """Change a config.json to one that runs an image.

    config      as the template has it
    image       the image's config; empty for a root file system
    unpacking   its files, in which users and groups are looked up
    warn        called with what of the image is left out
    args        in place of the image's Cmd
    Raises ImageError, HostError.
    """
    process: Object = config["process"]
    config["root"]["readonly"] = False
    for name, words in process["capabilities"].items():
        process["capabilities"][name] = sorted({*words, *_CAPABILITIES})
    wanted = _object(image.get("config"), "config")
    program = text_list(wanted.get("Entrypoint"), "Entrypoint")
    program = [*program, *(args or text_list(wanted.get("Cmd"), "Cmd"))]
    if program:
        process["args"] = program
    elif image:
        warn("the image names no program, so config.json has sh")
    process["cwd"] = _path(_text(wanted, "WorkingDir") or "/", "WorkingDir")
    process["env"] = _environment(text_list(wanted.get("Env"), "Env"), process["env"])
    process["user"] = look_up(_text(wanted, "User"), unpacking.tree)
    config["mounts"] += [_volume(path, unpacking) for path in sorted(_object(wanted.get("Volumes"), "Volumes"))]
    annotations = _annotations(image, wanted, warn)
    if annotations:
        config["annotations"] = annotations


def _object(value: object, what: str) -> Object:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ImageError(f"{what} is no object")
    return value


def _text(values: Object, key: str) -> str:
    value = values.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise ImageError(f"{key} is no string, or has a NUL character")
    return value


def _path(text: str, what: str) -> str:
    """Make an absolute path; docker takes a relative one for one of the root."""
    if ".." in text.split("/") or "\0" in text:
        raise ImageError(f"{what} {text!r:.200} leads upward, or has a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ImageError(f"{what} {text!r:.200} has a lone surrogate, which no path can have")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def _environment(words: list[str], template: list[str]) -> list[str]:
    """Return the image's variables, and those of the template that it does not have."""
    for word in words:
        if "=" not in word[1:] or "\0" in word:
            raise ImageError(f"Env has {word!r:.100}, which is not NAME=VALUE")
    names = {word.partition("=")[0] for word in words}
    return [*words, *(word for word in template if word.partition("=")[0] not in names)]


def _volume(path: str, unpacking: Unpacking) -> Object:
    """Make a mount in place of a volume, which has what the image has there, and is gone with the container."""
    destination = _path(path, "the volume")
    if destination == "/":
        raise ImageError("a volume is the root")
    # tmpcopyup copies what is in the directory, and not what it is itself.
    try:
        mode, uid, gid = unpacking.directory(destination)
    except ImageError as error:
        raise ImageError(f"the volume {destination!r:.200} {error.reason}") from None
    except OSError as error:
        text = f"the volume {destination!r:.200}: {errno_words(error.errno or 0)}"
        raise ImageError(text, call=unpacking.tree.call, errno=error.errno or 0) from None
    options = [*_VOLUME, f"mode={mode:04o}", *([f"uid={uid}", f"gid={gid}"] if uid or gid else [])]
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}


def _annotations(image: Object, wanted: Object, warn: Callable[[str], None]) -> dict[str, str]:
    found = {}
    for key in _FIELDS:
        value = ",".join(text_list(image.get(key), key)) if key == "os.features" else _text(image, key)
        if value:
            found[_PREFIX + key] = value
    if signal := _text(wanted, "StopSignal"):
        found[_PREFIX + "stopSignal"] = signal
    if ports := sorted(_object(wanted.get("ExposedPorts"), "ExposedPorts")):
        found[_PREFIX + "exposedPorts"] = ",".join(ports)
    for key, value in _object(wanted.get("Labels"), "Labels").items():
        if not isinstance(value, str) or not key:
            raise ImageError(f"the label {key!r:.100} is no string, or has no name")
        if key.startswith(UNSAFE_ANNOTATIONS):
            # As an annotation it would tell systemd or CRIU of the host what to do.
            warn(f"the label {key!r:.100} is left out: as an annotation it would have an effect on the host")
            continue
        found[key] = value
    return found


def look_up(text: str, tree: Tree) -> dict[str, Any]:
    """Find ``process.user`` for the ``User`` of an image: "", USER or USER:GROUP, each by name or number.

    A user without a group has the group that /etc/passwd gives, and those of which it is a member; with a group it
    has that one alone (image-spec conversion.md).  Raises ImageError for a name that is not there, HostError.
    """
    user, colon, group = text.partition(":")
    row = _find(tree, _PASSWD, user or "0", fields=4)
    uid = _id(row[2], _PASSWD) if row else _number(user or "0")
    if uid is None:
        raise ImageError(f"User {text!r:.100}: the image's /etc/passwd has no user {user!r:.100}")
    gid: int | None
    if colon and group:
        line = _find(tree, _GROUP, group, fields=3)
        gid = _id(line[2], _GROUP) if line else _number(group)
        if gid is None:
            raise ImageError(f"User {text!r:.100}: the image's /etc/group has no group {group!r:.100}")
        return {"uid": uid, "gid": gid}
    gid = _id(row[3], _PASSWD) if row else 0
    found: dict[str, Any] = {"uid": uid, "gid": gid}
    if row and (more := _memberships(tree, row[0], gid)):
        found["additionalGids"] = more
    return found


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        return None
    return _id(text, "User")


def _id(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 11 and int(text) <= _ID_MAX):
        raise ImageError(f"{what}: {text!r:.40} is no id")
    return int(text)


def _lines(tree: Tree, path: str) -> list[list[str]]:
    data = tree.read(path, _SIZE_MAX)
    return [line.split(":") for line in (data or b"").decode("utf-8", "surrogateescape").split("\n")]


def _find(tree: Tree, path: str, wanted: str, *, fields: int) -> list[str] | None:
    """Find the line of a name, or of an id: a number is no name, as the image could give that to anybody."""
    place = 2 if wanted.isascii() and wanted.isdigit() else 0
    if place:
        wanted = str(_id(wanted, "User"))
    return next((line for line in _lines(tree, path) if len(line) >= fields and line[place] == wanted), None)


def _memberships(tree: Tree, name: str, gid: int) -> list[int]:
    found = {
        _id(line[2], _GROUP) for line in _lines(tree, _GROUP) if len(line) > 3 and name in line[3].strip().split(",")
    }
    return sorted(found - {gid})[:_GROUPS_MAX]
