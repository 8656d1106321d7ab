"""libseccomp of this host, by which filters are compiled: loaded when it is needed, called through cffi.

It is not linked in: most containers on a host without it need no filter, and
loading it costs every command that has no use for it.
"""

from __future__ import annotations

from .._native import ffi, lib
from ..errors import HostError, errno_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAME = "libseccomp.so.2"

# linux/seccomp.h; libseccomp's values are the same
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
# seccomp.h of libseccomp: enum scmp_compare
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
UNKNOWN_CALL = -1  # __NR_SCMP_ERROR
_OPTIMIZE = 8  # SCMP_FLTATR_CTL_OPTIMIZE, 2.5.0
_BINARY_TREE = 2

_FUNCTIONS = {
    "seccomp_version": "unsigned int *(*)(void)",
    "seccomp_init": "void *(*)(uint32_t)",
    "seccomp_release": "void (*)(void *)",
    "seccomp_arch_resolve_name": "uint32_t (*)(const char *)",
    "seccomp_arch_native": "uint32_t (*)(void)",
    "seccomp_arch_add": "int (*)(void *, uint32_t)",
    "seccomp_attr_set": "int (*)(void *, int, uint32_t)",
    "seccomp_syscall_resolve_name": "int (*)(const char *)",
    "seccomp_syscall_resolve_name_arch": "int (*)(uint32_t, const char *)",
    "seccomp_syscall_resolve_num_arch": "char *(*)(uint32_t, int)",
    "free": "void (*)(void *)",
    "seccomp_rule_add_array": "int (*)(void *, uint32_t, int, unsigned int, struct scmp_arg_cmp *)",
    "seccomp_export_bpf": "int (*)(void *, int)",
}


class Libseccomp:
    """The functions of the library, and its version as text."""

    def __init__(self) -> None:
        """Load it.  Raises HostError when it is not there."""
        self._calls: dict[str, Any] = {}
        for name, kind in _FUNCTIONS.items():
            address = lib.ocirun_symbol(NAME.encode(), name.encode())
            if not address:
                raise HostError(
                    f"seccomp filters need {NAME}, which cannot be loaded",
                    call="dlopen",
                    remedy="install libseccomp 2.5 or newer (packages libseccomp2, libseccomp)",
                )
            self._calls[name] = ffi.cast(kind, address)
        version = self._calls["seccomp_version"]()
        self.version = f"{version[0]}.{version[1]}.{version[2]}"
        self.native: int = self._calls["seccomp_arch_native"]()

    def architecture(self, word: str) -> int:
        """Return the token of ``SCMP_ARCH_X86``, 0 if it is not known."""
        token: int = self._calls["seccomp_arch_resolve_name"](word.removeprefix("SCMP_ARCH_").lower().encode())
        return token

    def filters(self, word: str) -> bool:
        """Return whether a filter of this machine can be one for an architecture too; not with another byte order."""
        token = self.architecture(word)
        target = self.filter(ACTIONS["SCMP_ACT_ALLOW"])
        try:
            return bool(token) and (token == self.native or target.add_architecture(token) == 0)
        finally:
            target.close()

    def number(self, name: bytes) -> int:
        """Return the number of a system call for `Filter.add`, or UNKNOWN_CALL."""
        number: int = self._calls["seccomp_syscall_resolve_name"](name)
        return number

    def number_on(self, architecture: int, name: bytes) -> int:
        """Return the number of a system call on an architecture; negative if it has none."""
        number: int = self._calls["seccomp_syscall_resolve_name_arch"](architecture, name)
        return number

    def name_on(self, architecture: int, number: int) -> str:
        """Return the name of a system call by its number on an architecture; "" for one that it does not know."""
        text = self._calls["seccomp_syscall_resolve_num_arch"](architecture, number)
        if not text:
            return ""
        try:
            return ffi.string(text).decode()
        finally:
            self._calls["free"](text)

    def filter(self, default: int) -> Filter:
        """Return a filter without rules.  Raises HostError for an action that the kernel lacks."""
        context = self._calls["seccomp_init"](default)
        if not context:
            raise HostError("the kernel does not have this action", call="seccomp_init")
        return Filter(self._calls, context)


class Filter:
    """A filter under construction; `close` it."""

    def __init__(self, calls: dict[str, Any], context: Any) -> None:
        self._calls = calls
        self._context = context

    def close(self) -> None:
        """Free it."""
        self._calls["seccomp_release"](self._context)

    def add_architecture(self, token: int) -> int:
        """Return 0, or minus an errno."""
        result: int = self._calls["seccomp_arch_add"](self._context, token)
        return result

    def use_tree(self) -> None:
        """Look calls up in a binary tree in place of one after the other; older libraries cannot."""
        self._calls["seccomp_attr_set"](self._context, _OPTIMIZE, _BINARY_TREE)

    def add(self, action: int, number: int, count: int, conditions: Any) -> int:
        """Return a rule; 0, or minus an errno."""
        result: int = self._calls["seccomp_rule_add_array"](self._context, action, number, count, conditions)
        return result

    def export(self, fd: int) -> None:
        """Write the machine code to a file.  Raises HostError."""
        result = self._calls["seccomp_export_bpf"](self._context, fd)
        if result < 0:
            raise HostError(f"compile the filter: {errno_words(-result)}", call="seccomp_export_bpf", errno=-result)


def conditions(args: list[list[Any]]) -> Any:
    """Return an array for `Filter.add` of (index, operator, value, second value) each."""
    array = ffi.new("struct scmp_arg_cmp[]", max(len(args), 1))
    for target, (index, operator, value, two) in zip(array, args, strict=False):
        target.arg, target.op, target.datum_a, target.datum_b = index, OPERATORS[operator], value, two
    return array


def load() -> Libseccomp:
    """Return the library, loaded once.  Raises HostError."""
    global _loaded
    if _loaded is None:
        _loaded = Libseccomp()
    return _loaded


_loaded: Libseccomp | None = None
