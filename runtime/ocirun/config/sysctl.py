"""Kernel parameters: the file of one, and the namespace it belongs to.

Only parameters that a namespace holds may be set for a container; any other
one would change the host.
"""

from __future__ import annotations

#: Files under kernel/ that the ipc namespace holds, ipc_namespaces(7).
_IPC = ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")


def path(key: str) -> str:
    """The file of a parameter, relative to /proc/sys; "" if the key cannot name one.

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
    """The type of namespace that holds `file`, a result of ``path``; "" if the whole host shares it."""
    top, _, rest = file.partition("/")
    if top == "net" and rest:
        return "network"
    if top == "user" and rest:
        return "user"
    if file.startswith("fs/mqueue/") or (top == "kernel" and rest in _IPC):
        return "ipc"
    return "uts" if file == "kernel/domainname" else ""
