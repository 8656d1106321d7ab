"""Options of the file systems that every container has: words and values that the kernel would refuse.

Sources: mm/shmem.c, fs/proc/root.c, fs/devpts/inode.c, fs/sysfs/mount.c, ipc/mqueue.c of Linux 6.18.
"""

from __future__ import annotations

from .findings import ERROR, MOUNTS, WARNING, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..plan.mounts.options import MountOptions

_SIZE = "a number of bytes with k, m, g, t, p, e or % behind it"
_COUNT = "a number with k, m or g behind it"
_OCTAL = "an octal number"
_NUMBER = "a number"
_ANY = ""
_DIGITS = {_OCTAL: "01234567", _NUMBER: "0123456789"}

Known = str | tuple[str, ...]
_IDS: dict[str, Known] = {"uid": _NUMBER, "gid": _NUMBER}
_TABLES: dict[str, dict[str, Known]] = {
    "tmpfs": {
        **_IDS,
        "size": _SIZE,
        "nr_blocks": _COUNT,
        "nr_inodes": _COUNT,
        "mode": _OCTAL,
        "huge": ("never", "always", "within_size", "advise", "deny", "force"),
        "mpol": _ANY,
        **dict.fromkeys(("inode32", "inode64", "noswap", "quota", "usrquota", "grpquota", "acl", "noacl"), _ANY),
        **dict.fromkeys(("usrquota_block_hardlimit", "usrquota_inode_hardlimit"), _ANY),
        **dict.fromkeys(("grpquota_block_hardlimit", "grpquota_inode_hardlimit"), _ANY),
        **dict.fromkeys(("casefold", "strict_encoding"), _ANY),
    },
    "proc": {
        "gid": _NUMBER,
        "hidepid": ("0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"),
        "subset": ("pid",),
        "pidns": _ANY,
    },
    "devpts": {**_IDS, "mode": _OCTAL, "ptmxmode": _OCTAL, "newinstance": _ANY, "max": _NUMBER},
    "sysfs": {},
    "mqueue": {},
}
# Of security modules, for every file system.
_LABELS = frozenset(("context", "fscontext", "defcontext", "rootcontext", "seclabel"))
_UINT32 = 1 << 32


def knows(fstype: str, key: str) -> bool:
    """Return whether a file system of one of these types has an option of that name."""
    return key in _TABLES.get(fstype, ())


def findings(fstype: str, parsed: MountOptions, pointer: str) -> Iterator[Finding]:
    """Tell what is wrong with the options of a new file system; nothing for a bind, or a type that is not known here.

    pointer   of the mount
    """
    table = _TABLES.get(fstype)
    if table is None or parsed.bind:
        return
    for (key, value), index in zip(parsed.data, parsed.data_index, strict=True):
        if key in _LABELS:
            continue
        where = f"{pointer}/options/{index}"
        shown = key if value is None else f"{key}={value}"
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        if key not in table:
            text = f"{shown!a}: {fstype} has no option {key[:40]!a} in any kernel up to 6.18, and refuses it"
            yield Finding(WARNING, MOUNTS, where, text, found=shown)
            continue
        expected = _refused(table[key], value)
        if expected:
            text = f"{shown!a}: the value of {key} of {fstype} must be {expected}"
            yield Finding(ERROR, MOUNTS, where, text, expected=expected, found=shown)


def _refused(kind: Known, value: str | None) -> str:
    """Tell what a value must be, "" for one that is."""
    if isinstance(kind, tuple):
        return "" if value in kind else f"one of {', '.join(kind)}"
    if kind == _ANY:
        return ""
    text = value or ""
    if kind in _DIGITS:
        # A number with 0x, or with a sign, is left to the kernel.
        good = text[:1] in ("+", "-") or text[:2] in ("0x", "0X")
        if text and not text.strip(_DIGITS[kind]):
            good = int(text[:20], 8 if kind == _OCTAL else 10) < _UINT32
        return "" if good else kind
    number = text.lower()
    number = number.removesuffix("%") if kind == _SIZE else number
    if number[:2] == "0x":
        return ""
    if number[-1:] in tuple("kmgtpe"):
        number = number[:-1]
    return "" if number.isascii() and number.isdigit() else kind
