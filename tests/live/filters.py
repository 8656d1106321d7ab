"""seccomp profiles for the tests, and the program that tries them: its exit status is the errno."""

from __future__ import annotations

import platform

from profiles import NATIVE, engine_profile, known_calls, rule

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


__all__ = ["NATIVE", "NUMBERS", "calls", "denying", "engine_profile", "known_calls", "numbered", "rule"]
