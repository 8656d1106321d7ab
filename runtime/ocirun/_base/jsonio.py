"""Read and write JSON with the C scanner and encoder, without ``import json``.

``import json`` costs ten times what scanning a config does, because of the
regular expressions behind it.  The C halves live in ``_json``; they are used
directly and ``json`` is imported only where they are missing, or to word an
error.  Stricter than ``json``: duplicate keys, NaN, Infinity, a byte order
mark and text after the document are errors, as the OCI spec asks for JSON.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Bytes.  The largest configs of engines are below 1 MiB; execve alone cannot take more than 6 MiB of args and env.
SIZE_LIMIT = 16 << 20


class JsonError(ValueError):
    """Text that is not the JSON we accept.

    reason       one line, without a position
    line, column 1-based position, 0 when unknown
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        where = f"line {line} column {column}: " if line else ""
        super().__init__(f"{where}{reason}")
        self.reason = reason
        self.line = line
        self.column = column


class _DuplicateKey(Exception):
    pass


class _BadConstant(Exception):
    pass


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)
    return result


def _constant(name: str) -> Any:
    raise _BadConstant(name)


class _Context:
    """What ``_json.make_scanner`` reads its settings from."""

    strict = True
    object_hook = None
    object_pairs_hook: Any = staticmethod(_pairs)
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_constant)
    memo: dict[str, str] = {}  # noqa: RUF012  read by the pure-Python scanner only


_scan: Callable[[str, int], tuple[Any, int]] | None = None
_encode: Callable[[Any, int], tuple[str, ...]] | None = None

_SPACE = " \t\r\n"


def _scanner() -> Callable[[str, int], tuple[Any, int]]:
    global _scan
    if _scan is None:
        try:
            from _json import make_scanner
        except ImportError:
            from json.scanner import make_scanner
        _scan = make_scanner(_Context)  # type: ignore[arg-type]
    return _scan


def _position(text: str, offset: int) -> tuple[int, int]:
    line = text.count("\n", 0, offset) + 1
    return line, offset - (text.rfind("\n", 0, offset) + 1) + 1


def contents(fd: int) -> bytes:
    """Return all that can be read of a descriptor, whatever its kind; of more than SIZE_LIMIT bytes, one more."""
    parts: list[bytes] = []
    left = SIZE_LIMIT + 1
    while left > 0 and (part := os.read(fd, min(left, 1 << 18))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def loads(raw: bytes) -> Any:
    """Parse one JSON document.

    raw   UTF-8 bytes
    Raises JsonError for anything else than exactly one document.
    """
    if raw.startswith(b"\xef\xbb\xbf"):
        raise JsonError("starts with a byte order mark", 1, 1)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _position(raw[: error.start].decode("utf-8"), error.start)
        raise JsonError("is not valid UTF-8", line, column) from None
    start, end = 0, len(text)
    while start < end and text[start] in _SPACE:
        start += 1
    try:
        value, stop = _scanner()(text, start)
    except StopIteration as error:
        where = error.value if isinstance(error.value, int) else start
        reason = "the document is empty" if where >= end and start >= end else "expected a value"
        raise JsonError(reason, *_position(text, where)) from None
    except _DuplicateKey as error:
        key = str(error.args[0])
        where = text.rfind(f'"{key}"')
        raise JsonError(f"the key {key!a} is given twice in one object", *_position(text, max(where, 0))) from None
    except _BadConstant as error:
        where = text.find(str(error.args[0]))
        raise JsonError(f"{error.args[0]} is not a JSON value", *_position(text, max(where, 0))) from None
    except RecursionError:
        raise JsonError("is nested too deep") from None
    except (ValueError, SystemError):
        # The C scanner words its errors through json.decoder, and only if that is imported
        # already; without it CPython 3.11 raises SystemError.
        raise _worded(text) from None
    while stop < end and text[stop] in _SPACE:
        stop += 1
    if stop != end:
        raise JsonError("text after the end of the document", *_position(text, stop))
    return value


class _Plain(_Context):
    """Settings without a look at each object."""

    object_pairs_hook: Any = None


_scan_plain: Callable[[str, int], tuple[Any, int]] | None = None


def scan(raw: bytes) -> Any:
    """Parse what `dumps` has written, in two thirds of the time of `loads`; None for anything else.

    Of a key that is given twice the last value counts.
    """
    global _scan_plain
    try:
        if _scan_plain is None:
            from _json import make_scanner

            _scan_plain = make_scanner(_Plain)  # type: ignore[arg-type]
        text = raw.decode("ascii")
        value, stop = _scan_plain(text, 0)
    except (ImportError, StopIteration, ValueError, SystemError, RecursionError, _BadConstant):
        return None  # `loads` has the words
    return value if stop == len(text) else None


def _worded(text: str) -> JsonError:
    """Parse `text` again with ``json``, which says what is wrong and where."""
    import json

    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return JsonError(error.msg[:1].lower() + error.msg[1:], error.lineno, error.colno)
    except RecursionError:
        return JsonError("is nested too deep")
    except ValueError:  # more digits than int() converts, see sys.set_int_max_str_digits
        return JsonError("holds a number that is too long")
    return JsonError("cannot be read")


def _default(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


def dumps(value: Any) -> str:
    """Write `value` as JSON on one line, in ASCII, so that no locale or surrogate can break the writer."""
    global _encode
    if _encode is None:
        try:
            from _json import encode_basestring_ascii, make_encoder
        except ImportError:
            from json import dumps as slow

            return slow(value, separators=(",", ":"))
        _encode = make_encoder(None, _default, encode_basestring_ascii, None, ":", ",", False, False, False)
    return "".join(_encode(value, 0))


def dumps_pretty(value: Any, indent: str = "  ") -> str:
    """Write `value` as indented JSON, for people."""
    return _pretty(value, indent, "")


def _pretty(value: Any, indent: str, margin: str) -> str:
    inner = margin + indent
    if isinstance(value, dict) and value:
        rows = [f"{inner}{dumps(key)}: {_pretty(item, indent, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{margin}}}"
    if isinstance(value, (list, tuple)) and value:
        rows = [f"{inner}{_pretty(item, indent, inner)}" for item in value]
        return "[\n" + ",\n".join(rows) + f"\n{margin}]"
    return dumps(value)


def pointer_token(key: str) -> str:
    """Return `key` as a part of a JSON pointer (RFC 6901).

    A character that cannot be printed is written as its JSON escape, so that a
    pointer always fits on a line and in any encoding.
    """
    if not key.isprintable():
        key = dumps(key)[1:-1]
    if "~" in key or "/" in key:
        key = key.replace("~", "~0").replace("/", "~1")
    return key
