"""A decoder of encoded plans, written from csrc/executor/ops.h and independent of the encoder."""

from __future__ import annotations

from struct import unpack_from

from ocirun.plan.ops import INIT_OPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMES = {number: name for name, (number, _) in INIT_OPS.items()}


class Decoded:
    """A plan as the helper sees it.

    ops        (number in the plan, name, arguments in the order of the C side), slots as numbers or None
    fd_base, inherited, keep_fds   words of the header
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        magic, form, size, count, offset, self.fd_base, self.inherited, self.keep_fds = unpack_from("<8I", raw)
        assert (magic, form, size) == (0x31504E41, 2, len(raw))
        assert offset % 8 == 0
        assert raw[-1] == 0
        self.ops = [self._op(offset + 64 * number) for number in range(count)]

    def _op(self, at: int) -> tuple[int, str, list[Any]]:
        code, reserved, index, *args = unpack_from("<HHI7Q", self.raw, at)
        assert reserved == 0
        name = _NAMES[code]
        values: list[Any] = []
        place = 0
        for _, kind in INIT_OPS[name][1]:
            values.append(self._value(kind, args[place], args[place + 1] if place < 6 else 0))
            place += 2 if kind in ("bytes", "gids", "made") else 1
        assert not any(args[place:])
        return index, name, values

    def _value(self, kind: str, word: int, following: int) -> Any:
        if kind == "int":
            return word
        if kind == "slot":
            return None if word == 96 else word
        if kind == "text":
            return self._text(word) if word else None
        if kind == "vector":
            return self._vector(word) if word else None
        if kind == "options":
            flat = self._vector(word)
            values = [None if value == "\x01" else value for value in flat[1::2]]
            return list(zip(flat[::2], values, strict=True))
        if kind == "pair":
            return word >> 32, word & 0xFFFFFFFF
        if kind == "time":
            return None if word == 1 << 63 else word - (word >> 63 << 64)
        if kind == "timed":
            return self._text(word >> 32) if word >> 32 else None, word & 0xFFFFFFFF
        if kind in ("bytes", "made"):
            assert not word or word % 8 == 0
            return list(self.raw[word : word + following])
        assert kind == "gids"
        assert not word or word % 4 == 0
        return list(unpack_from(f"<{following}I", self.raw, word))

    def _text(self, at: int) -> str:
        assert 0 < at < len(self.raw)
        return self.raw[at : self.raw.index(b"\0", at)].decode("utf-8", "surrogateescape")

    def _vector(self, at: int) -> list[str]:
        assert at % 4 == 0
        (count,) = unpack_from("<I", self.raw, at)
        return [self._text(offset) for offset in unpack_from(f"<{count}I", self.raw, at + 4)]
