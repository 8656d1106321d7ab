"""Numbers of tar headers, and where the data of a sparse file lie, in the forms that GNU tar writes."""

from __future__ import annotations

from ..errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .streams import Stream
    from .tar import Entry

    Map = list[tuple[int, int]]

_BLOCK = 512
#: Pieces of one file.
MAP_LIMIT = 1 << 16


def number(field: bytes, what: str) -> int:
    """Read a number of a header, in octal digits or in base 256.  Raises ImageError.

    what   what it is, for the message
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    text = field.strip(b" \0")
    if not text:
        return 0
    text = text.partition(b"\0")[0]
    if text.strip(b"01234567"):
        raise ImageError(f"no tar archive, or a damaged one: the {what} {field!r} is no octal number")
    return int(text, 8)


def gnu_map(stream: Stream, block: bytes, entry: Entry) -> Map:
    """Return the map of the old form: 4 places in the header, and 21 in each block behind it.  Raises ImageError."""
    numbers = _octals(block[386:482])
    more = block[482]
    while more:
        block = stream.exactly(_BLOCK)
        numbers += _octals(block[:504])
        more = block[504]
        if len(numbers) > 2 * MAP_LIMIT:
            raise _too_many()
    return _checked(numbers, entry)


def pax_map(text: bytes, entry: Entry) -> Map:
    """Return the map of the forms 0.0 and 0.1: numbers with commas, in the header.  Raises ImageError."""
    return _checked([_decimal(word) for word in text.split(b",")] if text else [], entry)


def pax_map_in_data(stream: Stream, entry: Entry) -> Map:
    """Return the map of the form 1.0: lines before the data, the first of which tells how many places follow.

    What it takes is subtracted from the data that are stored.  Raises ImageError.
    """
    text = b""
    wanted = 1
    taken = 0
    lines: list[bytes] = []
    while len(lines) < wanted:
        if taken + _BLOCK > entry.stored:
            raise ImageError("the map of a sparse file is longer than what is stored of it")
        text += stream.exactly(_BLOCK)
        taken += _BLOCK
        *whole, text = text.split(b"\n")
        lines += whole
        if len(text) > 20 and len(lines) < wanted:
            raise ImageError("the map of a sparse file is damaged")
        if lines and wanted == 1:
            count = _decimal(lines[0])
            if count > MAP_LIMIT:
                raise _too_many()
            wanted = 1 + 2 * count
    entry.stored -= taken
    return _checked([_decimal(line) for line in lines[1:wanted]], entry)


def _octals(text: bytes) -> list[int]:
    """Return pairs of fields of 12 bytes, up to one that is empty."""
    numbers: list[int] = []
    for start in range(0, len(text), 24):
        if not text[start]:
            break
        numbers += (number(text[start : start + 12], "offset"), number(text[start + 12 : start + 24], "size"))
    return numbers


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise ImageError(f"the map of a sparse file has {text[:40]!r} in place of a number")
    return int(text)


def _checked(numbers: list[int], entry: Entry) -> Map:
    if len(numbers) % 2 or len(numbers) > 2 * MAP_LIMIT:
        raise _too_many() if len(numbers) % 2 == 0 else ImageError("the map of a sparse file is damaged")
    found = list(zip(numbers[::2], numbers[1::2], strict=True))
    end = 0
    for offset, size in found:
        if offset < end or size < 0:
            raise ImageError("the pieces of a sparse file overlap")
        end = offset + size
    if not end <= entry.size < 1 << 63:
        raise ImageError("the pieces of a sparse file lie behind its end")
    if sum(size for _, size in found) != entry.stored:
        raise ImageError("the pieces of a sparse file are not as long as what is stored of it")
    return found


def _too_many() -> ImageError:
    return ImageError(f"a sparse file has more than {MAP_LIMIT} pieces")
