"""A learning run: the filter that asks, what is answered, and what was asked.

The filter of the profile stays as it is but for what it returns: where it would refuse, it asks the runtime. C
(csrc/host/asked.c) evaluates the filter of the profile for each call that is asked about, and so knows what the
profile says of it.
"""

from __future__ import annotations

import os
from errno import ENOSYS
from struct import Struct

from ..._native import ffi, lib
from ...errors import HostError, UnsupportedError, errno_words
from ...host import libseccomp
from ...plan.process.seccomp import PLACE
from .compiler import INSTRUCTION, LIMIT, compile_rules
from .learned import Learned, RefusedCall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..host_side import HostSide

# Numbers of calls that are noted, of which three quarters are used. All machines have less than 500 each.
_ROOM = 2048
# linux/seccomp.h
_ACTION, _DATA = 0xFFFF0000, 0xFFFF
_ASKS = 0x7FC00000
_ALLOW = 0x7FFF0000
_REFUSING = {0x80000000: "KILL_PROCESS", 0x00000000: "KILL_THREAD", 0x00030000: "TRAP", 0x00050000: "ERRNO"}
_ERRNO = 0x00050000
_RETURN, _LOAD, _JUMP_EQUAL = 0x06, 0x20, 0x15
# struct seccomp_data: the sixth argument
_SIXTH_AT = 56
_WORDS = Struct("<II")
_X32_BIT = 0x40000000
# linux/audit.h
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_TOKEN = 0x4000003E
_ARCHITECTURES = {
    _AUDIT_ARCH_X86_64: "SCMP_ARCH_X86_64",
    0x40000003: "SCMP_ARCH_X86",
    _X32_TOKEN: "SCMP_ARCH_X32",
    0xC00000B7: "SCMP_ARCH_AARCH64",
    0x40000028: "SCMP_ARCH_ARM",
}


class Learning:
    """What a learning run asks and finds."""

    def __init__(self, code: bytes, rules: Mapping[str, Any], profile: Mapping[str, Any] | None) -> None:
        """Prepare to learn.

        code      the filter of the profile, b"" without one
        rules     the arguments of `compile_seccomp`
        profile   ``linux.seccomp``, None without
        Raises UnsupportedError for a filter that is too long, HostError without libseccomp, which knows the names.
        """
        self._library = libseccomp.load()
        self._profile = profile
        self._code = code
        self._answers = self._code if rules["learn"] == "refuse" else _let_through(rules)
        self._mask = _mask(rules)
        self._native: Any = None
        self._side: HostSide | None = None

    def begin(self, side: HostSide) -> bytes:
        """Tell the host's side what it needs; the filter for the helper."""
        native = ffi.new("struct asked *")
        calls = ffi.new(f"struct asked_call[{_ROOM}]")
        native.call, native.room, native.mask = calls, _ROOM, self._mask
        native.profile, native.profile_size = side.lend(self._code), len(self._code)
        native.answers, native.answers_size = side.lend(self._answers), len(self._answers)
        native.listener = native.proc = -1
        side.hold(native, calls)
        side.native.questions = native
        self._native, self._side = native, side
        code = asking(self._code, os.urandom(_WORDS.size))
        if len(code) > LIMIT * INSTRUCTION.size:
            text = f"{PLACE}: with what a learning run adds it is longer than the {LIMIT} instructions of the kernel"
            raise UnsupportedError(text, pointer=PLACE)
        return code

    @property
    def listener(self) -> int:
        """The descriptor at which questions arrive, -1 for none."""
        return int(self._native.listener) if self._native is not None else -1

    def serve(self) -> bool:
        """Give the answers that are asked for now; False when nobody is left to ask.  Raises HostError."""
        result = lib.ocirun_host_asked(self._side.native) if self._side is not None else 0
        if result < 0:
            text = f"answer a system call of the container: {errno_words(-result)}"
            raise HostError(text, call="ioctl", errno=-result)
        return self.listener >= 0

    def serve_until(self, fd: int) -> None:
        """Give answers until there is something to read from a descriptor, or nobody is left to ask.

        Raises HostError.
        """
        from select import POLLIN, poll

        waiter = poll()
        waiter.register(fd, POLLIN)
        if self.listener >= 0:
            waiter.register(self.listener, POLLIN)
        while self.listener >= 0 and fd not in dict(waiter.poll()):
            self.serve()

    def learned(self) -> Learned:
        """Return what was asked so far."""
        native = self._native
        found = [native.call[at] for at in range(_ROOM)] if native is not None else []
        return Learned(
            [self._call(one) for one in found if one.count],
            self._profile,
            native=_ARCHITECTURES.get(self._library.native, ""),
            dropped=int(native.dropped) if native is not None else 0,
        )

    def _call(self, one: Any) -> RefusedCall:
        token = int(one.architecture)
        number = int(one.number)
        if token == _AUDIT_ARCH_X86_64 and number & _X32_BIT and number >= 0:
            token = _X32_TOKEN
        return RefusedCall(
            name=self._library.name_on(token, number),
            number=number,
            architecture=_ARCHITECTURES.get(token, f"{token:#x}"),
            count=int(one.count),
            args=[tuple(one.argument[at]) for at in range(one.arguments)],
            more=bool(one.more),
            programs=[ffi.string(one.program[at]).decode("utf-8", "replace") for at in range(one.programs)],
            answer=_action_words(int(one.action)),
        )


def asking(code: bytes, token: bytes) -> bytes:
    """Return a filter that asks where another refuses, and lets calls with a token through, whatever they are.

    code    the other filter; b"" for one that asks about everything
    token   eight bytes, which stand in the sixth argument
    """
    low, high = _WORDS.unpack(token)
    start = [
        (_LOAD, 0, 0, _SIXTH_AT),
        (_JUMP_EQUAL, 0, 3, low),
        (_LOAD, 0, 0, _SIXTH_AT + 4),
        (_JUMP_EQUAL, 0, 1, high),
        (_RETURN, 0, 0, _ALLOW),
    ]
    rest = _returning(code, _ASKS) if code else INSTRUCTION.pack(_RETURN, 0, 0, _ASKS)
    return b"".join(INSTRUCTION.pack(*one) for one in start) + rest


def _returning(code: bytes, value: int) -> bytes:
    """Return a filter with another value where it refuses."""
    parts = []
    for operation, yes, no, operand in INSTRUCTION.iter_unpack(code):
        refuses = operation == _RETURN and operand & _ACTION in _REFUSING
        parts.append(INSTRUCTION.pack(operation, yes, no, value if refuses else operand))
    return b"".join(parts)


def _let_through(rules: Mapping[str, Any]) -> bytes:
    """Return the filter of the answers where refused calls are let through; b"" for one that allows all.

    ENOSYS for a call by name is no refusal but a detour: the program takes another call, which the profile allows,
    and which is what the run is to find.
    """
    detours = [rule for rule in rules["rules"] if rule["action"] == ["SCMP_ACT_ERRNO", ENOSYS] and not rule.get("args")]
    if not detours:
        return b""
    code = compile_rules(["SCMP_ACT_ALLOW", 0], rules["architectures"], detours, "").code
    # Of an architecture that the rules do not name libseccomp would have the process killed.
    parts = []
    for operation, yes, no, operand in INSTRUCTION.iter_unpack(code):
        kills = operation == _RETURN and operand & _ACTION != _ERRNO
        parts.append(INSTRUCTION.pack(operation, yes, no, _ALLOW if kills else operand))
    return b"".join(parts)


def _mask(rules: Mapping[str, Any]) -> int:
    """Return the arguments that some rule looks at, all if none does: calls that differ in these are told apart."""
    mask = 0
    for rule in rules["rules"]:
        for index, *_ in rule.get("args") or ():
            mask |= 1 << index
    return mask or 0x3F


def _action_words(action: int) -> str:
    kind = action & _ACTION
    if kind not in _REFUSING:
        return ""
    return f"ERRNO({action & _DATA})" if kind == _ERRNO else _REFUSING[kind]
