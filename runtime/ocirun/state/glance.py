"""A glance at the record of a container: what `list` shows of it, and no more.

Most of a list's time went into parsing records, and what it shows is a quarter of a record.  So the two large parts,
``cgroup`` and ``late``, are cut out of the text before it is parsed.  They can be found without a parser, as
`Record.save` writes one form, with the keys in one order and no blanks; and as a string of JSON has a backslash before
each quote in it, what looks like a key is one.

Whatever is not as `Record.save` writes it is not understood here, and left to `record.load`, which knows what is wrong
with it.
"""

from __future__ import annotations

import os

from .._base import jsonio
from .record import FORMAT, PID_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A longer record, with large annotations, is not looked at here.
_SIZE = 1 << 15
# What is left of a record, in the order of `Record.save`; one with host mounts is not looked at here.
_TYPES = {
    "annotations": dict,
    "boot_id": str,
    "bundle": str,
    "container_id": str,
    "created": str,
    "hooks": list,
    "host_mounts": type(None),
    "own_keyring": bool,
    "owner": int,
    "pid": int,
    "rdt": list,
    "rootfs": str,
    "shared_pids": bool,
    "start_time": int,
    "format": int,
}
_NAMES, _KINDS = tuple(_TYPES), tuple(_TYPES.values())


def look(root: int, container_id: str) -> tuple[dict[str, Any], bytes] | None:
    """Return the values of a record but for ``cgroup`` and ``late``, and the text in the braces of ``cgroup``.

    None where it takes `record.load` to say more.

    root           descriptor of the state root
    container_id   name of a directory in it that is no link
    """
    raw = read_name(root, container_id, "state.json", _SIZE)
    found = None if len(raw) >= _SIZE else parse(raw, container_id)
    if found is None or found[0]["pid"]:
        return found
    # Written before there was a process, which stands beside it: see `late.add`.
    try:
        words = os.readlink(f"{container_id}/made", dir_fd=root).split()
    except OSError:
        return None
    if len(words) < 2 or not (words[0].isdigit() and words[1].isdigit()) or int(words[0]) > PID_MAX:
        return None
    found[0]["pid"], found[0]["start_time"] = int(words[0]), int(words[1])
    return found


def read_name(root: int, container_id: str, name: str, size: int) -> bytes:
    """Return the first bytes of a file in the container's directory, none where that cannot be read.  As `look`."""
    try:
        fd = os.open(f"{container_id}/{name}", _READ, dir_fd=root)
    except OSError:
        return b""
    try:
        return os.read(fd, size)
    except OSError:
        return b""
    finally:
        os.close(fd)


def parse(raw: bytes, container_id: str) -> tuple[dict[str, Any], bytes] | None:
    """Do the same as `look`, on the bytes of ``state.json``."""
    first, _, rest = raw.partition(b',"cgroup":{')
    cgroup, _, rest = rest.rpartition(b'},"container_id":"')
    second, _, rest = rest.partition(b',"late":[[')
    _, _, third = rest.rpartition(b']],"own_keyring":')
    short = b'%b,"container_id":"%b,"own_keyring":%b' % (first, second, third)
    values = jsonio.scan(short)
    if type(values) is not dict or tuple(values) != _NAMES or tuple(map(type, values.values())) != _KINDS:
        return None
    if values["format"] != FORMAT or values["container_id"] != container_id or not 0 <= values["pid"] <= PID_MAX:
        return None
    annotations = values["annotations"]
    if annotations and {*map(type, annotations.values())} != {str}:
        return None
    # A key that is there twice: this counts colons in strings as well, and then leaves the record to `load`.
    if short.count(b'":') != len(_NAMES) + len(annotations):
        return None
    return values, cgroup
