"""Read a tar archive from front to back: ustar, GNU and pax headers, sparse files.

The reader of the standard library keeps every member, and believes sizes of headers and of sparse maps.  Here memory is
bounded by `HEADER_LIMIT` and `MAP_LIMIT`, and a number that cannot be is an error.  Where archives can be read in two
ways, this one reads as Go's archive/tar does, with which engines read images.
"""

from __future__ import annotations

from ..errors import ImageError
from .sparse import gnu_map, number, pax_map, pax_map_in_data

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sparse import Map
    from .streams import Stream

BLOCK = 512
#: Bytes of a pax header or of a long name, as in archive/tar of Go.
HEADER_LIMIT = 1 << 20

FILE, DIRECTORY, FIFO, LINK, SYMLINK = "file", "directory", "fifo", "hard link", "symbolic link"
CHARACTER, BLOCK_DEVICE = "character device", "block device"
_KINDS = {
    b"0": FILE,
    b"\0": FILE,
    b"7": FILE,
    b"S": FILE,
    b"1": LINK,
    b"2": SYMLINK,
    b"3": CHARACTER,
    b"4": BLOCK_DEVICE,
    b"5": DIRECTORY,
    b"6": FIFO,
}
_ID_MAX = (1 << 32) - 2
_SIZE_MAX = (1 << 63) - 1
# Seconds; some thirty thousand years in either direction.
_TIME_MAX = 1 << 40
_XATTR = b"SCHILY.xattr."
# What would change the meaning of all entries that follow. archive/tar of Go passes global headers over, others do not.
_HARMLESS = (b"comment", b"hdrcharset")


class Entry:
    """One entry of an archive.

    name       its path as it is written
    kind       one of FILE to FIFO
    target     what a link leads to
    size       bytes of a file, holes with them
    stored     bytes of it in the archive
    mode       permission bits, with set-user-id and the like
    uid, gid   its owner's
    time       of its last change, in nanoseconds
    device     (major, minor) of a device node
    xattrs     extended attributes, by name
    holes      of a sparse file where its data lie, as (offset, size); None where it has no holes
    """

    __slots__ = (
        "device",
        "gid",
        "holes",
        "kind",
        "mode",
        "name",
        "size",
        "stored",
        "target",
        "time",
        "uid",
        "xattrs",
    )

    name: bytes
    kind: str
    target: bytes
    size: int
    stored: int
    mode: int
    uid: int
    gid: int
    time: int
    device: tuple[int, int]
    xattrs: dict[bytes, bytes]
    holes: Map | None


def entries(stream: Stream, *, marked: bool) -> Iterator[Entry]:
    """Read each entry of the archive, and then its content, of which the caller takes what it wants.

    marked   the archive must have its mark of the end, as nothing else tells that it is whole
    Raises ImageError.
    """
    long: dict[bytes, bytes] = {}
    pax: dict[bytes, bytes] = {}
    while True:
        block = stream.read(BLOCK)
        if len(block) < BLOCK or block.count(0) == BLOCK:
            _check_end(stream, block, bool(long or pax), marked=marked)
            return
        _check_sum(block)
        flag = block[156:157]
        if flag in b"xgLK":
            text = _text(stream, block, flag)
            if flag == b"x":
                pax = _records(text)
            elif flag == b"g":
                _check_global(_records(text))
            else:
                long[flag] = text.partition(b"\0")[0]
            continue
        entry = _entry(stream, block, long, pax)
        end = stream.position + entry.stored
        yield entry
        try:
            stream.skip(end + -entry.stored % BLOCK - stream.position)
        except ImageError as error:
            raise error.inside(entry=shown(entry.name)) from None
        if long:
            long = {}
        if pax:
            pax = {}


def shown(name: bytes) -> str:
    """Format a name of an archive for a message; long ones are cut."""
    text = name.decode("utf-8", "backslashreplace")
    return text if len(text) <= 300 else f"{text[:300]}... ({len(name)} bytes)"


def _check_end(stream: Stream, block: bytes, open_header: bool, *, marked: bool) -> None:
    """Refuse an archive that is cut off, or that goes on behind its end."""
    if 0 < len(block) < BLOCK:
        raise ImageError(f"the archive is cut off in a header, at byte {stream.position}")
    if open_header:
        raise ImageError("the archive ends behind a header that describes a next entry")
    if not block:
        if marked:
            raise ImageError("the archive is cut off: it has no mark of its end")
        return
    second = stream.read(BLOCK)
    if second.count(0) != len(second):
        raise ImageError(f"no tar header at byte {stream.position - BLOCK}, behind an empty one")


def _check_sum(block: bytes) -> None:
    wanted = number(block[148:156], "check sum")
    total = sum(block) - sum(block[148:156]) + 8 * 32
    # Old programs took the bytes for signed ones.
    if wanted not in (total, total - 256 * sum(1 for byte in block[:148] + block[156:] if byte > 127)):
        raise ImageError("no tar archive, or a damaged one: a header's check sum is wrong")


def _text(stream: Stream, block: bytes, flag: bytes) -> bytes:
    """Read the content of a header that describes the next entry."""
    size = number(block[124:136], "size")
    if not 0 <= size <= HEADER_LIMIT:
        raise ImageError(f"a header of the type {flag!r} has {size} bytes, the limit is {HEADER_LIMIT}")
    text = stream.exactly(size)
    stream.skip(-size % BLOCK)
    return text


def _decimal(text: bytes, what: str, most: int) -> int:
    if not text.isdigit() or len(text) > 20 or int(text) > most:
        raise ImageError(f"the {what} {text[:40]!r} is no number from 0 to {most}")
    return int(text)


def _records(text: bytes) -> dict[bytes, bytes]:
    """Read the records of a pax header: ``LENGTH KEY=VALUE`` and a line feed; those of sparse maps may repeat."""
    found: dict[bytes, bytes] = {}
    start = 0
    places: list[bytes] = []
    while start < len(text):
        blank = text.find(b" ", start, start + 10)
        digits = text[start:blank] if blank > 0 else b""
        size = int(digits) if digits.isdigit() else 0
        record = text[start : start + size]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if size < 5 or len(record) != size or record[-1:] != b"\n" or not equals or not key:
            raise ImageError("a pax header is damaged")
        if b"\0" in key or (b"\0" in value and key in (b"path", b"linkpath")):
            raise ImageError(f"a pax header has a NUL character in {key!r}")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            places.append(value)
        found[key] = value
        start += size
    if places:
        found[b"GNU.sparse.map"] = b",".join(places)
    return found


def _check_global(records: dict[bytes, bytes]) -> None:
    for key in records:
        if key not in _HARMLESS:
            raise ImageError(f"a global pax header sets {key[:40]!r} for all entries, which readers take in two ways")


def _entry(stream: Stream, block: bytes, long: dict[bytes, bytes], pax: dict[bytes, bytes]) -> Entry:
    entry = Entry()
    flag = block[156:157]
    name = block[:100].partition(b"\0")[0]
    gnu = block[257:265] == b"ustar  \0"
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    entry.name = name = pax.get(b"GNU.sparse.name") or pax.get(b"path") or long.get(b"L") or name
    try:
        entry.target = pax.get(b"linkpath") or long.get(b"K") or block[157:257].partition(b"\0")[0]
        kind = _KINDS.get(flag)
        if kind is None:
            raise ImageError(f"an entry of the type {flag!r} is not for a file system")
        if flag == b"\0" and name.endswith(b"/"):
            kind = DIRECTORY
        entry.kind = kind
        entry.mode = number(block[100:108], "mode") & 0o7777
        _fill(entry, block, pax)
        entry.device = (0, 0)
        if kind in (CHARACTER, BLOCK_DEVICE):
            entry.device = (number(block[329:337], "major number"), number(block[337:345], "minor number"))
            if not (0 <= entry.device[0] < 1 << 12 and 0 <= entry.device[1] < 1 << 20):
                raise ImageError(f"a device has the numbers {entry.device[0]}:{entry.device[1]}, which cannot be")
        entry.holes = None
        if flag == b"S":
            if not gnu:
                raise ImageError("a sparse file of GNU tar has a header of another kind")
            entry.size = number(block[483:495], "real size")
            entry.holes = gnu_map(stream, block, entry)
        elif kind == FILE and pax:
            _sparse(stream, entry, pax)
    except ImageError as error:
        raise error.inside(entry=shown(name)) from None
    return entry


def _fill(entry: Entry, block: bytes, pax: dict[bytes, bytes]) -> None:
    """Set size, owner and time, by the pax header where it has them."""
    size = number(block[124:136], "size")
    uid, gid = number(block[108:116], "uid"), number(block[116:124], "gid")
    time = number(block[136:148], "time") * 1_000_000_000
    entry.xattrs = {}
    if pax:
        if pax.get(b"size"):
            size = _decimal(pax[b"size"], "size", _SIZE_MAX)
        if pax.get(b"uid"):
            uid = _decimal(pax[b"uid"], "uid", _ID_MAX)
        if pax.get(b"gid"):
            gid = _decimal(pax[b"gid"], "gid", _ID_MAX)
        if pax.get(b"mtime"):
            time = _time(pax[b"mtime"])
        entry.xattrs = {key[len(_XATTR) :]: value for key, value in pax.items() if key.startswith(_XATTR)}
    if not 0 <= size <= _SIZE_MAX:
        raise ImageError(f"the size {size} cannot be")
    if not (0 <= uid <= _ID_MAX and 0 <= gid <= _ID_MAX):
        raise ImageError(f"the owner {uid}:{gid} cannot be")
    if not -_TIME_MAX <= time // 1_000_000_000 <= _TIME_MAX:
        raise ImageError(f"the time {time // 1_000_000_000} cannot be")
    entry.uid, entry.gid, entry.time = uid, gid, time
    # Links and nodes have no content, whatever the field says.
    entry.size = entry.stored = size if entry.kind == FILE else 0


def _time(text: bytes) -> int:
    """Return nanoseconds of a decimal number of seconds."""
    whole, dot, part = text.partition(b".")
    digits = whole.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 15 or (dot and part and not part.isdigit()):
        raise ImageError(f"the time {text[:40]!r} is no number")
    value = int(digits) * 1_000_000_000 + int(part[:9].ljust(9, b"0"))
    return -value if whole.startswith(b"-") else value


def _sparse(stream: Stream, entry: Entry, pax: dict[bytes, bytes]) -> None:
    """Find the places of the data, in one of the three forms that GNU tar writes into pax headers."""
    major, minor = pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b"")
    if (major, minor) == (b"1", b"0"):
        entry.size = _decimal(pax.get(b"GNU.sparse.realsize", b""), "real size", _SIZE_MAX)
        entry.holes = pax_map_in_data(stream, entry)
    elif b"GNU.sparse.map" in pax and (major, minor) in ((b"", b""), (b"0", b"0"), (b"0", b"1")):
        size = pax.get(b"GNU.sparse.size") or pax.get(b"GNU.sparse.realsize") or b""
        entry.size = _decimal(size, "real size", _SIZE_MAX)
        entry.holes = pax_map(pax[b"GNU.sparse.map"], entry)
    elif major or minor:
        raise ImageError(f"a sparse file has the form {major!r}.{minor!r}, which is not known")
