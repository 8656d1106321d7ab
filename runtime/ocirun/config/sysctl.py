"""Kernel parameters: the file of one, and the namespace it belongs to.

Only parameters that a namespace holds may be set for a container; any other
one would change the host.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from .rules.namespaces import given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .report import Report

#: Files under kernel/ that the ipc namespace holds, ipc_namespaces(7).
_IPC = ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")


def path(key: str) -> str:
    """Return the file of a parameter, relative to /proc/sys; "" if the key cannot name one.

    key   ``net.ipv4.ip_forward`` or ``net/ipv4/ip_forward``.  The separator that
          comes first is the one, and the other one stands for the first inside
          a part: ``net.ipv4.conf.eth0/100.forwarding`` and
          ``net/ipv4/conf/eth0.100/forwarding`` are the same (sysctl.d(5)).
    A key with an empty part, ``.`` or ``..`` names no parameter.
    """
    dot, slash = key.find("."), key.find("/")
    if dot != -1 and (slash == -1 or dot < slash):
        key = key.translate({ord("."): "/", ord("/"): "."})
    for part in key.split("/"):
        if part in ("", ".", "..") or "\0" in part:
            return ""
    return key


def namespace(file: str) -> str:
    """Return the type of namespace that holds `file`, a result of ``path``; "" if the whole host shares it."""
    top, _, rest = file.partition("/")
    if top == "net" and rest:
        return "network"
    if top == "user" and rest:
        return "user"
    if file.startswith("fs/mqueue/") or (top == "kernel" and rest in _IPC):
        return "ipc"
    return "uts" if file == "kernel/domainname" else ""


def _meant(file: str) -> str:
    """Return ``; did you mean "kernel.shmmax"?``, "" where no parameter of a namespace is near."""
    from .._base.near import did_you_mean

    known = [*(f"kernel.{name}" for name in _IPC), "kernel.domainname", "net.ipv4.ip_forward"]
    near = did_you_mean(file.replace("/", "."), known)
    return f"; {near}" if near else ""


def check(data: dict[str, Any], report: Report) -> None:
    """Add to `report` what is wrong with the keys of linux.sysctl.

    That a network namespace given by path is not the host's own can only be
    known once it is open, so that is not tested here.
    """
    linux = data["linux"]
    if not report.sound("/linux/sysctl"):
        return
    seen: dict[str, str] = {}
    for key, value in linux["sysctl"].items():
        pointer = f"/linux/sysctl/{pointer_token(key)}"
        file = path(key)
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
        kind = namespace(file)
        if not kind:
            text = f"is not part of any namespace: setting it would change the host{_meant(file)}"
            report.add(pointer, text, expected="a parameter of a namespace", found=key)
        elif not given(linux, kind, report):
            text = f"needs a {kind} namespace"
            report.add(pointer, text, expected=f"an entry of type {kind} in linux.namespaces", found=key)
        elif kind == "uts" and data.get("domainname") and report.sound("/domainname") and value != data["domainname"]:
            text = f"differs from domainname, {data['domainname']!a}"
            report.add(pointer, text, expected=data["domainname"], found=value)
