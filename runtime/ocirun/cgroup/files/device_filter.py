"""Device rules on cgroup v2: an eBPF program that the kernel asks before a device is opened or made.

`assemble` is pure, `attach` hands the program to the kernel.
Sources: Documentation/admin-guide/cgroup-v2.rst, "Device controller"; bpf(2);
struct bpf_cgroup_dev_ctx and union bpf_attr of include/uapi/linux/bpf.h.
"""

from __future__ import annotations

import errno
import os
from struct import pack, unpack_from

from ...errors import HostError, errno_words

# Commands of bpf(2), the type of program, the place where it is attached, flags of BPF_PROG_ATTACH.
_LOAD, _ATTACH, _DETACH, _FD_BY_ID, _INFO, _QUERY = 5, 8, 9, 13, 15, 16
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE = 15, 6
_ALLOW_MULTI, _REPLACE = 1 << 1, 1 << 2
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL = 7
_NAME = b"ocirun_devices"
_PROGRAMS_MAX = 64

# Registers: the context, what is asked for (type; access, of which the bits not yet allowed remain), numbers.
_R0, _CONTEXT, _TYPE, _LEFT, _MAJOR, _MINOR = range(6)
_JUMP_IF_NOT = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K
_JUMP_IF_ANY = 0x46  # BPF_JMP32 | BPF_JSET | BPF_K
_JUMP = 0x05


def assemble(rules: str) -> bytes:
    """Return the program for such lines.

    The last rule that has a letter of the access decides on that letter, and
    what no rule allows is denied; so the program looks at the last rule first.
    """
    code = [
        _instruction(0x61, _TYPE, _CONTEXT, 0),  # u32 at 0: access << 16 | type
        _instruction(0xBC, _LEFT, _TYPE),
        _instruction(0x54, _TYPE, immediate=0xFFFF),
        _instruction(0x74, _LEFT, immediate=16),
        _instruction(0x61, _MAJOR, _CONTEXT, 4),
        _instruction(0x61, _MINOR, _CONTEXT, 8),
    ]
    for line in reversed(rules.split("\n")):
        verb, kind, numbers, letters = line.split(" ")
        major, _, minor = numbers.partition(":")
        tests = [(_TYPE, str(_TYPES.get(kind, "*"))), (_MAJOR, major), (_MINOR, minor)]
        tests = [test for test in tests if test[1] != "*"]
        mask = sum(_ACCESS[letter] for letter in letters)
        body = _allow(mask) if verb == "allow" else _deny(mask)
        for index, (register, value) in enumerate(tests):
            behind = len(tests) - index - 1 + len(body)
            code.append(_instruction(_JUMP_IF_NOT, register, offset=behind, immediate=int(value)))
        code += body
        if not tests and mask == _ALL:
            # Whatever would come behind can never be reached, which the kernel refuses.
            return b"".join(code)
    return b"".join([*code, *_answer(0)])


def _allow(mask: int) -> list[bytes]:
    if mask == _ALL:
        return _answer(1)
    return [
        _instruction(0x54, _LEFT, immediate=_ALL & ~mask),
        _instruction(_JUMP_IF_NOT, _LEFT, offset=2, immediate=0),
        *_answer(1),
    ]


def _deny(mask: int) -> list[bytes]:
    if mask == _ALL:
        return _answer(0)
    return [_instruction(_JUMP_IF_ANY, _LEFT, offset=1, immediate=mask), _instruction(_JUMP, offset=2), *_answer(0)]


def _answer(value: int) -> list[bytes]:
    return [_instruction(0xB7, _R0, immediate=value), _instruction(0x95)]


def _instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return pack("=BBhI", code, source << 4 | target, offset, immediate & 0xFFFFFFFF)


def attach(directory: int, program: bytes, path: str) -> None:
    """Make the program the group's device filter, in place of the one that we attached before, without a gap.

    directory, path   the group; the path is for messages
    The filters of groups above hold besides.  Raises HostError.
    """
    old: list[int] = []
    fd = _load(program, path)
    try:
        _attached(directory, path, old)
        flags, replaced = (_ALLOW_MULTI | _REPLACE, old[0]) if old else (_ALLOW_MULTI, 0)
        _call(_ATTACH, pack("=IIIII", directory, fd, _CGROUP_DEVICE, flags, replaced), "attach", path)
        for extra in old[1:]:
            _call(_DETACH, pack("=III", directory, extra, _CGROUP_DEVICE), "detach", path)
    finally:
        for one in (fd, *old):
            os.close(one)


def _load(program: bytes, path: str) -> int:
    from ..._native import ffi

    code, license_ = ffi.from_buffer(program), ffi.new("char[]", b"Apache-2.0")
    addresses = (int(ffi.cast("uintptr_t", code)), int(ffi.cast("uintptr_t", license_)))
    # prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags, prog_name
    request = pack("=IIQQIIQII16s", _PROG_TYPE_CGROUP_DEVICE, len(program) // 8, *addresses, 0, 0, 0, 0, 0, _NAME)
    return _call(_LOAD, request, "load", path)[0]


def _attached(directory: int, path: str, found: list[int]) -> None:
    """Put descriptors of the programs of ours on this very group into a list."""
    from ..._native import ffi

    ids = ffi.new("uint32_t[]", _PROGRAMS_MAX)
    place = int(ffi.cast("uintptr_t", ids))
    # target_fd, attach_type, query_flags, attach_flags (out), prog_ids, prog_cnt (in and out)
    _, answer = _call(_QUERY, pack("=IIIIQI", directory, _CGROUP_DEVICE, 0, 0, place, _PROGRAMS_MAX), "query", path)
    (count,) = unpack_from("=I", answer, 24)
    for index in range(min(count, _PROGRAMS_MAX)):
        fd = _call(_FD_BY_ID, pack("=III", ids[index], 0, 0), "open", path)[0]
        if _name(fd, path) == _NAME:
            found.append(fd)
        else:
            os.close(fd)


def _name(fd: int, path: str) -> bytes:
    """Return the name of a program (struct bpf_prog_info: at 64, 16 bytes)."""
    from ..._native import ffi

    info = ffi.new("char[]", 80)
    _call(_INFO, pack("=IIQ", fd, 80, int(ffi.cast("uintptr_t", info))), "look at", path)
    return bytes(ffi.buffer(info)[64:80]).rstrip(b"\0")


def _call(command: int, request: bytes, what: str, path: str) -> tuple[int, bytes]:
    from ..._native import ffi, lib

    # Zeros behind what is set: later fields of the union that are not used.
    buffer = ffi.new("char[]", request.ljust(128, b"\0"))
    result = lib.ocirun_bpf(command, buffer, 128)
    if result < 0:
        raise HostError(
            f"{what} the device filter of cgroup {path}: {errno_words(-result)}",
            pointer="/linux/resources/devices",
            call="bpf",
            errno=-result,
            remedy="eBPF programs for cgroups need CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN of the host"
            if -result == errno.EPERM
            else "",
        )
    return result, bytes(ffi.buffer(buffer))
