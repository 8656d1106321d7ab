"""The options that checkpoint and restore share, and the values that they come to."""

from __future__ import annotations

from ocirun.cli.table import MANY, TEXT, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.call import Call

COMMON = (
    Option("image-path", kind=TEXT, metavar="DIR", help="directory of the images", shown="checkpoint"),
    Option("work-path", kind=TEXT, metavar="DIR", help="directory of CRIU's log", shown="that of the images"),
    Option("tcp-established", help="save and restore open TCP connections"),
    Option("ext-unix-sk", help="allow Unix sockets that are connected to the outside"),
    Option("shell-job", help="allow a session or terminal that comes from outside"),
    Option("file-locks", help="save and restore file locks"),
    Option("link-remap", help="allow open files that have no name left"),
    Option(
        "manage-cgroups-mode",
        kind=TEXT,
        metavar="MODE",
        choices=("ignore", "none", "props", "soft", "full", "strict"),
        help="how CRIU saves and makes cgroups: ignore, none, props, soft, full or strict",
        shown="soft, or ignore where that would change the host",
    ),
    Option(
        "network-lock",
        kind=TEXT,
        metavar="METHOD",
        choices=("iptables", "nftables", "skip"),
        help="how CRIU keeps packets away meanwhile: iptables, nftables or skip",
        shown="CRIU's own",
    ),
    Option("empty-ns", kind=MANY, metavar="TYPE", help="make a namespace of this type, and leave it empty: network"),
    Option("auto-dedup", help="free the memory of earlier images as it is saved again or read"),
    Option("lazy-pages", help="move the memory when it is needed, by userfaultfd(2)"),
)

# CLONE_NEWNET; CRIU knows how to leave this one empty.
_EMPTY = {"network": 0x40000000}


def common(call: Call) -> dict[str, Any]:
    """Return what CheckpointOptions and RestoreOptions are both given.  Raises UsageError."""
    values = call.values
    empty = 0
    for kind in values.many("empty-ns"):
        if kind not in _EMPTY:
            raise UsageError(f"--empty-ns {kind!a}: CRIU leaves only network namespaces empty")
        empty |= _EMPTY[kind]
    return {
        "image_path": values.text("image-path"),
        "work_path": values.text("work-path"),
        "criu": call.given.text("criu"),
        "manage_cgroups_mode": values.text("manage-cgroups-mode"),
        "network_lock": values.text("network-lock"),
        "empty_ns": empty,
        "tcp_established": values.flag("tcp-established"),
        "ext_unix_sk": values.flag("ext-unix-sk"),
        "shell_job": values.flag("shell-job"),
        "file_locks": values.flag("file-locks"),
        "link_remap": values.flag("link-remap"),
        "auto_dedup": values.flag("auto-dedup"),
        "lazy_pages": values.flag("lazy-pages"),
    }
