"""Protocol buffers, as far as CRIU's RPC has them: numbers, texts, messages in messages, and lists of those.

A message is a dict, its shape a table: name -> (field number, kind), where the
kind is INT, BOOL, TEXT, or the table of a message.  A list stands for a
repeated field.  Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Table = Mapping[str, tuple[int, Any]]

INT, BOOL, TEXT = "int", "bool", "text"
_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}


def encode(message: Mapping[str, Any], table: Table) -> bytes:
    """Return the bytes of a message; fields that are None are left out."""
    parts = []
    for name, value in message.items():
        number, kind = table[name]
        for item in value if isinstance(value, list) else [value]:
            if item is None:
                continue
            if kind in (INT, BOOL):
                parts.append(_varint(number << 3 | _VARINT) + _varint(int(item) & (1 << 64) - 1))
            else:
                raw = item.encode("utf-8", "surrogateescape") if kind == TEXT else encode(item, kind)
                parts.append(_varint(number << 3 | _LENGTH) + _varint(len(raw)) + raw)
    return b"".join(parts)


def decode(raw: bytes, table: Table) -> dict[str, Any]:
    """Return the known fields of a message; of a repeated one the last.
    Raises ValueError for anything that is none.
    """
    names = {number: (name, kind) for name, (number, kind) in table.items()}
    found: dict[str, Any] = {}
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        name, kind = names.get(key >> 3, ("", None))
        if key & 7 == _VARINT:
            value, at = _read_varint(raw, at)
            if kind == BOOL:
                found[name] = bool(value)
            elif kind == INT:
                found[name] = value - (1 << 64) if value >> 63 else value
            continue
        if key & 7 == _LENGTH:
            size, at = _read_varint(raw, at)
        else:
            size = _FIXED.get(key & 7, len(raw))
        content = raw[at : at + size]
        if len(content) < size:
            raise ValueError("the message is cut short")
        at += size
        if kind == TEXT:
            found[name] = content.decode("utf-8", "replace")
        elif kind not in (None, INT, BOOL):
            found[name] = decode(content, kind)
    return found


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(raw) or shift > 63:
            raise ValueError("the message holds no number where one should be")
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
