"""A filter run in Python: what the kernel would answer to a system call (seccomp(2), the BPF of linux/filter.h)."""

from __future__ import annotations

from struct import Struct

_INSTRUCTION = Struct("=HBBI")
_DATA = Struct("=iIQ6Q")
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32 = 0x40000000

ALLOW, KILL, LOG = 0x7FFF0000, 0, 0x7FFC0000


def errno(number: int) -> int:
    """The answer "fail with this errno"."""
    return 0x00050000 | number


class Filter:
    """A compiled filter."""

    def __init__(self, code: bytes) -> None:
        self.program = list(_INSTRUCTION.iter_unpack(code))

    def __call__(self, number: int, *args: int, arch: int = X86_64) -> int:
        """The answer for a system call; the instruction pointer is 0."""
        full = [*args, 0, 0, 0, 0, 0, 0][:6]
        data = _DATA.pack(number - (1 << 32) if number >= 1 << 31 else number, arch, 0, *full)
        at, a = 0, 0
        for _ in range(len(self.program)):
            code, yes, no, k = self.program[at]
            at += 1
            if code == 0x20:  # load a word
                assert k % 4 == 0
                a = int.from_bytes(data[k : k + 4], "little")
            elif code == 0x06:  # return
                return k
            elif code == 0x54:  # and
                a &= k
            elif code == 0x05:  # jump
                at += k
            else:
                taken = {0x15: a == k, 0x25: a > k, 0x35: a >= k, 0x45: bool(a & k)}[code]
                at += yes if taken else no
        raise AssertionError("the filter does not end")
