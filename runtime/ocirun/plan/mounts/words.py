"""The words of mount options: their table, how a string is cut into them, the nearest known one.

Source: runtime-spec config.md "Linux mount options"; fs/fs_context.c and
fs/overlayfs/params.c of Linux 6.18 for what the kernel does with the rest.
"""

from __future__ import annotations

from .. import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

(
    NOTHING,
    ATTR_SET,
    ATTR_CLEAR,
    ATIME_SET,
    ATIME_CLEAR,
    REC_SET,
    REC_CLEAR,
    REC_ATIME_SET,
    REC_ATIME_CLEAR,
    SB_SET,
    SB_CLEAR,
    PROPAGATION,
    REC_PROPAGATION,
    BIND,
    RBIND,
    REMOUNT,
    TMPCOPYUP,
    IDMAP,
    LINK,
) = range(19)

# What a word of the kind LINK asks for, where a path ends in a symbolic link.
SOURCE_ITSELF, DESTINATION_ITSELF, COPY_LINK = 1, 2, 4

# (word that sets, word that clears, value)
_ATTRIBUTES = (
    ("ro", "rw", c.MOUNT_ATTR_RDONLY),
    ("nosuid", "suid", c.MOUNT_ATTR_NOSUID),
    ("nodev", "dev", c.MOUNT_ATTR_NODEV),
    ("noexec", "exec", c.MOUNT_ATTR_NOEXEC),
    ("nodiratime", "diratime", c.MOUNT_ATTR_NODIRATIME),
    ("nosymfollow", "symfollow", c.MOUNT_ATTR_NOSYMFOLLOW),
)
_ATIME_MODES = (
    ("noatime", "atime", c.MOUNT_ATTR_NOATIME),
    ("relatime", "norelatime", c.MOUNT_ATTR_RELATIME),
    ("strictatime", "nostrictatime", c.MOUNT_ATTR_STRICTATIME),
)
_SUPERBLOCK = (
    ("sync", "async", c.MS_SYNCHRONOUS),
    ("dirsync", "", c.MS_DIRSYNC),
    ("iversion", "noiversion", c.MS_I_VERSION),
    ("lazytime", "nolazytime", c.MS_LAZYTIME),
    ("silent", "loud", c.MS_SILENT),
    ("mand", "nomand", c.MS_MANDLOCK),
)
_PROPAGATIONS = (
    ("private", c.MS_PRIVATE),
    ("shared", c.MS_SHARED),
    ("slave", c.MS_SLAVE),
    ("unbindable", c.MS_UNBINDABLE),
)

# Keys whose value may hold commas: a quoted SELinux label (selinux_sb_eat_lsm_opts), and paths of
# overlay with "\," (ovl_parse_monolithic).  Nowhere else does the kernel know quotes or escapes, so
# honouring them there would let our reading of a string differ from the kernel's.
_LABEL_KEYS = ("context", "fscontext", "defcontext", "rootcontext")
_PATH_KEYS = ("lowerdir", "lowerdir+", "datadir+", "upperdir", "workdir")


def _table() -> dict[str, tuple[int, int]]:
    words = {
        "defaults": (NOTHING, 0),
        "bind": (BIND, 0),
        "rbind": (RBIND, 0),
        "remount": (REMOUNT, 0),
        "tmpcopyup": (TMPCOPYUP, 0),
        "idmap": (IDMAP, 0),
        "ridmap": (IDMAP, 0),
        "src-nofollow": (LINK, SOURCE_ITSELF),
        "dest-nofollow": (LINK, DESTINATION_ITSELF),
        "copy-symlink": (LINK, COPY_LINK),
    }
    for rows, on, off in ((_ATTRIBUTES, ATTR_SET, ATTR_CLEAR), (_ATIME_MODES, ATIME_SET, ATIME_CLEAR)):
        # The recursive kinds stand four places after the plain ones.
        for name, opposite, value in rows:
            words[name], words["r" + name] = (on, value), (on + 4, value)
            words[opposite], words["r" + opposite] = (off, value), (off + 4, value)
    for name, opposite, value in _SUPERBLOCK:
        words[name] = (SB_SET, value)
        if opposite:
            words[opposite] = (SB_CLEAR, value)
    for name, value in _PROPAGATIONS:
        words[name], words["r" + name] = (PROPAGATION, value), (REC_PROPAGATION, value)
    return words


WORDS = _table()
"""word -> (kind, value): MOUNT_ATTR_* for attributes, MS_* for superblock flags and propagation."""

KNOWN_OPTIONS: list[str] = sorted(WORDS)
"""Every option word that is not filesystem data, sorted; ``mountOptions`` of the features document."""


DONE_BY_ENGINES = frozenset(("copy", "nocopy"))
"""Words that podman leaves among the options of a bind when it has done, for a volume, what they ask for."""


def given(mount: Mapping[str, Any]) -> set[str]:
    """Return the words of all options of a mount that config.json may hold, for a look without `options.parse`."""
    return {word for option in mount.get("options") or () for word in option.split(",")}


def split(option: str) -> Iterator[str]:
    """Yield the words of one option string; engines sometimes join several with commas.  Empty words are left out.

    Raises ValueError for a label whose quote is not closed.
    """
    start = 0
    while start < len(option):
        end = _word_end(option, start)
        if end > start:
            yield option[start:end]
        start = end + 1


def _word_end(option: str, start: int) -> int:
    end = option.find(",", start)
    if end < 0:
        end = len(option)
    equals = option.find("=", start, end)
    key = option[start:equals] if equals > start else ""
    if key in _LABEL_KEYS and option.startswith('"', equals + 1):
        close = option.find('"', equals + 2)
        if close < 0:
            raise ValueError(f"the quote after {key}= is not closed")
        end = option.find(",", close)
        return end if end >= 0 else len(option)
    if key in _PATH_KEYS:
        while end < len(option) and _escaped(option, end):
            end = option.find(",", end + 1)
            end = end if end >= 0 else len(option)
    return end


def _escaped(text: str, index: int) -> bool:
    before = index
    while before > 0 and text[before - 1] == "\\":
        before -= 1
    return (index - before) % 2 == 1


def parameter(word: str) -> tuple[str, str | None]:
    """Return a word of filesystem data as (key, value or None); a label loses its quotes, as fsconfig(2) wants it."""
    key, equals, value = word.partition("=")
    if not equals:
        return key, None
    if key in _LABEL_KEYS and len(value) > 1 and value[0] == '"' == value[-1]:
        value = value[1:-1]
    return key, value


def closest(word: str) -> str:
    """Return the known word that `word` was probably meant to be, or "".  For error texts only: it is slow."""
    from ..._base.near import nearest

    return nearest(word, KNOWN_OPTIONS)
