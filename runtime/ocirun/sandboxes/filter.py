"""The seccomp filter of a sandbox: the engines' list as ``linux.seccomp``.  Pure."""

from __future__ import annotations

from errno import ENOSYS, EPERM

from . import profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

_ALLOW, _ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
_ADMIN = "CAP_SYS_ADMIN"


def seccomp(capabilities: Collection[str]) -> dict[str, Any]:
    """Return ``linux.seccomp`` for a program with these capabilities, by their names.

    Without `architectures`, so for the machine's own alone: a 32-bit program is ended.
    """
    allowed = set(profile.ALLOWED.split())
    for capability, names in profile.ALLOWED_WITH.items():
        if capability in capabilities:
            allowed.update(names.split())
    rules = [
        {"names": sorted(allowed), "action": _ALLOW},
        _allow_if("socket", "SCMP_CMP_LT", profile.SOCKET_BELOW),
        *(_allow_if("socket", "SCMP_CMP_EQ", family) for family in profile.SOCKET_FAMILIES),
        *(_allow_if("personality", "SCMP_CMP_EQ", kind) for kind in profile.PERSONALITIES),
    ]
    if _ADMIN not in capabilities:
        rules.append(_allow_if("clone", "SCMP_CMP_MASKED_EQ", profile.CLONE_FLAGS, 0))
        rules.append({"names": ["clone3"], "action": _ERRNO, "errnoRet": ENOSYS})
    return {"defaultAction": _ERRNO, "defaultErrnoRet": EPERM, "syscalls": rules}


def _allow_if(name: str, operator: str, value: int, second: int | None = None) -> dict[str, Any]:
    condition: dict[str, Any] = {"index": 0, "value": value, "op": operator}
    if second is not None:
        condition["valueTwo"] = second
    return {"names": [name], "action": _ALLOW, "args": [condition]}
