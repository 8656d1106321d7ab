"""seccomp profiles of the shape that engines give, for tests and benchmarks."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[platform.machine()]
_TOKEN = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[platform.machine()]
# Not allowed by engines' default profiles.
_DENIED = {
    "acct", "add_key", "bpf", "clone3", "delete_module", "finit_module", "init_module", "kexec_file_load",
    "kexec_load", "keyctl", "lookup_dcookie", "mount", "move_mount", "mount_setattr", "fsopen", "fsconfig",
    "fsmount", "fspick", "open_tree", "perf_event_open", "pivot_root", "ptrace", "quotactl", "quotactl_fd",
    "reboot", "request_key", "setns", "swapoff", "swapon", "umount2", "unshare", "userfaultfd",
    "vhangup", "clone", "personality", "socket", "sethostname", "setdomainname", "settimeofday", "clock_settime",
    "mbind",
}  # fmt: skip


@cache
def known_calls() -> list[str]:
    """The names of all system calls of this machine that libseccomp knows."""
    name_of = ctypes.CDLL("libseccomp.so.2").seccomp_syscall_resolve_num_arch
    name_of.restype = ctypes.c_void_p  # to be freed by the caller, who ends soon
    found = (name_of(_TOKEN, number) for number in range(470))
    return [str(ctypes.string_at(name), "ascii") for name in found if name]


def engine_profile() -> dict[str, Any]:
    """The shape of Docker's default profile: some 350 names, conditions on arguments, an errno, three architectures."""
    allowed = [name for name in known_calls() if name not in _DENIED]
    architectures = {"x86_64": [NATIVE, "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "aarch64": [NATIVE, "SCMP_ARCH_ARM"]}
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": architectures[platform.machine()],
        "syscalls": [
            {"names": allowed, "action": "SCMP_ACT_ALLOW"},
            *(rule("personality", args=[(0, "EQ", value)]) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)),
            rule("socket", args=[(0, "NE", 40)]),
            rule("clone", args=[(0, "MASKED_EQ", 0x7E020000, 0)]),
            rule("clone3", action="SCMP_ACT_ERRNO", errno=38),
        ],
    }


def rule(*names: str, action: str = "SCMP_ACT_ALLOW", errno: int = 0, args: Any = ()) -> dict[str, Any]:
    """One entry of `syscalls`; args are (index, operator, value) or (index, operator, value, value two)."""
    made: dict[str, Any] = {"names": list(names), "action": action}
    if errno:
        made["errnoRet"] = errno
    if args:
        keys = ("index", "op", "value", "valueTwo")
        made["args"] = [{**dict(zip(keys, arg, strict=False)), "op": f"SCMP_CMP_{arg[1]}"} for arg in args]
    return made
