"""seccomp profiles for the tests, and the program that tries them: its exit status is the errno."""

from __future__ import annotations

import platform
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

# asm/unistd.h of x86-64 and of arm64
NUMBERS = {
    "x86_64": {"mkdirat": 258, "getppid": 110, "getpgid": 121, "uname": 63, "unused": 400, "sethostname": 170},
    "aarch64": {"mkdirat": 34, "getppid": 173, "getpgid": 155, "uname": 160, "unused": 400, "sethostname": 161},
}[platform.machine()]
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[platform.machine()]
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
    from ocirun._native import ffi, lib
    from ocirun.host import libseccomp

    address = lib.ocirun_symbol(libseccomp.NAME.encode(), b"seccomp_syscall_resolve_num_arch")
    name_of = ffi.cast("char *(*)(uint32_t, int)", address)
    native = libseccomp.load().native
    names = (name_of(native, number) for number in range(470))
    return [ffi.string(name).decode() for name in names if name]


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


def denying(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A profile that allows what the rules do not speak of."""
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": list(rules), **more}


def calls(live: Case, profile: dict[str, Any] | None, *tries: str, bundle: Bundle | None = None) -> list[int]:
    """The errno of each call, made one after the other in one container: ``"getppid 1 2"``; i386 or x32 in front."""
    bundle = bundle or live.bundle()
    if profile is not None:
        bundle.linux["seccomp"] = profile
    bundle.process["args"] = ["/bin/sh", "-c", "; ".join(f"/syscall {numbered(one)}; echo $?" for one in tries)]
    return [int(line) for line in live.output(bundle).split()]


def numbered(text: str) -> str:
    """A call with its name replaced by its number."""
    return " ".join(str(NUMBERS.get(word, word)) for word in text.split())
