"""Rules on ``linux.sysctl``: only parameters of a namespace that the container has."""

from __future__ import annotations

from .. import sysctl
from ..report import token
from . import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong with the keys of linux.sysctl.

    That a network namespace given by path is not the host's own can only be
    known once it is open, so that is not tested here.
    """
    linux = data["linux"]
    if not report.sound("/linux/sysctl"):
        return
    seen: dict[str, str] = {}
    for key, value in linux["sysctl"].items():
        pointer = f"/linux/sysctl/{token(key)}"
        file = sysctl.path(key)
        if not file:
            report.add(pointer, "cannot be the name of a kernel parameter", expected="parts joined by dots", found=key)
            continue
        if file in seen:
            text = f"is the same parameter as {seen[file]!a}"
            report.add(pointer, text, expected="each parameter once", found=key)
        seen[file] = key
        if file == "kernel/hostname":
            report.add(pointer, "is set by hostname, not as a parameter", expected="hostname", found=key)
            continue
        kind = sysctl.namespace(file)
        if not kind:
            text = "is not part of any namespace: setting it would change the host"
            report.add(pointer, text, expected="a parameter of a namespace", found=key)
        elif not namespaces.given(linux, kind, report):
            text = f"needs a {kind} namespace"
            report.add(pointer, text, expected=f"an entry of type {kind} in linux.namespaces", found=key)
        elif kind == "uts" and data.get("domainname") and report.sound("/domainname") and value != data["domainname"]:
            text = f"differs from domainname, {data['domainname']!a}"
            report.add(pointer, text, expected=data["domainname"], found=value)
