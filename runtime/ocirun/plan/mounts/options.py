"""Mount option strings turned into kernel words.

The words are those of the runtime-spec, config.md "Linux mount options"; what
is not among them is data for the filesystem.  A later word wins over an
earlier one that contradicts it.

Three kinds of word act in different places:

- attributes of one mount (``ro``, ``nosuid``, ``noatime`` ...): MOUNT_ATTR_* of fsmount(2) or
  mount_setattr(2), in ``attr_set`` and ``attr_clr``;
- the same for a whole tree (``rro`` ...): mount_setattr(2) with AT_RECURSIVE, Linux 5.12, in
  ``rec_attr_set`` and ``rec_attr_clr``.  They are applied *before* the single mount's
  attributes, so that ``rrw,ro`` ends with a read-only mount;
- flags of the superblock (``sync``, ``lazytime`` ...), shared by all mounts of a filesystem, in
  ``sb_set`` and ``sb_clr``.

``ro`` is both: mount(2) with MS_RDONLY makes the superblock and the mount
read-only, and so do we for a new filesystem.  A bind mount has no superblock
of its own, so there all words act on the mount only; the words that could
only act on the superblock are reported in ``warnings``.
"""

from __future__ import annotations

from ...errors import ConfigError, Problem
from .. import constants as c
from . import words as w
from .words import KNOWN_OPTIONS as KNOWN_OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# A mount namespace that belongs to a new user namespace locks these, and the access time class
# (lock_mnt_tree and can_change_locked_flags in fs/namespace.c); nosymfollow has no lock.
LOCKABLE = c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
ATIME_CLASS = c.MOUNT_ATTR__ATIME | c.MOUNT_ATTR_NODIRATIME

# Bytes of one string parameter of fsconfig(2), and of the data page of mount(2), without the NUL.
# The kernel cuts longer data of mount(2) off without an error.
FSCONFIG_VALUE_MAX = 255
MOUNT_DATA_MAX = 4095

# Superblock flags without a parameter name in fs/fs_context.c; only mount(2) can carry them.
_NO_FSCONFIG_WORD = c.MS_I_VERSION | c.MS_SILENT

_ATTR_TO_MS = (
    (c.MOUNT_ATTR_RDONLY, c.MS_RDONLY),
    (c.MOUNT_ATTR_NOSUID, c.MS_NOSUID),
    (c.MOUNT_ATTR_NODEV, c.MS_NODEV),
    (c.MOUNT_ATTR_NOEXEC, c.MS_NOEXEC),
    (c.MOUNT_ATTR_NODIRATIME, c.MS_NODIRATIME),
    (c.MOUNT_ATTR_NOSYMFOLLOW, c.MS_NOSYMFOLLOW),
)
_ATIME_TO_MS = {
    c.MOUNT_ATTR_NOATIME: c.MS_NOATIME,
    c.MOUNT_ATTR_RELATIME: c.MS_RELATIME,
    c.MOUNT_ATTR_STRICTATIME: c.MS_STRICTATIME,
}


class MountOptions:
    """The options of one mount, as numbers; a value, made by `parse`.

    bind, recursive_bind      ``bind`` or ``rbind`` was given; ``rbind`` was (a later ``bind`` keeps it recursive)
    remount, tmpcopyup        the word was given
    attr_set, attr_clr        MOUNT_ATTR_* of the mount, ready for mount_setattr(2)
    attr_named                MOUNT_ATTR_* named by any non-recursive word, to set or to clear; a word for an
                              access time mode counts as the whole field MOUNT_ATTR__ATIME
    rec_attr_set, rec_attr_clr   the same for the tree, to be applied before `attr_set` and `attr_clr`
    sb_set, sb_clr            MS_* of the superblock; 0 for a bind
    sb_words                  (word, option index) of those that fsconfig(2) knows, the last for each flag
    propagation               (MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE, recursive), in order
    data                      (key, value or None) for the filesystem; labels without their quotes
    data_index                for each entry of `data` its index in the option list
    data_text                 the same for mount(2), as written, joined by commas
    idmap                     "idmap", "ridmap" or None
    mappings                  what stands behind the = of that word, or ""
    idmap_index               the option index of that word
    links                     SOURCE_ITSELF, DESTINATION_ITSELF and COPY_LINK of `words`
    flags                     the flags word of mount(2), without propagation
    warnings                  Problems that do not stop the mount

    The access time mode follows mount(2): each of ``noatime``, ``relatime``, ``strictatime`` and
    ``nodiratime`` replaces mode and NODIRATIME together (``nodiratime`` alone means relatime), while
    ``atime``, ``diratime``, ``norelatime`` and ``nostrictatime`` only take back an earlier word.
    """

    __slots__ = (
        "_atime",
        "_nodiratime",
        "_superblock",
        "attr_clr",
        "attr_named",
        "attr_set",
        "bind",
        "data",
        "data_index",
        "data_text",
        "flags",
        "idmap",
        "idmap_index",
        "links",
        "made",
        "mappings",
        "propagation",
        "rec_attr_clr",
        "rec_attr_set",
        "recursive_bind",
        "remount",
        "sb_clr",
        "sb_set",
        "sb_words",
        "tmpcopyup",
        "warnings",
    )

    def __init__(self) -> None:
        self.bind = self.recursive_bind = self.remount = self.tmpcopyup = False
        self.attr_set = self.attr_clr = self.attr_named = 0
        self.rec_attr_set = self.rec_attr_clr = 0
        self.sb_set = self.sb_clr = self.flags = 0
        self.sb_words: list[tuple[str, int]] = []
        self.propagation: list[tuple[int, bool]] = []
        self.data: list[tuple[str, str | None]] = []
        self.data_index: list[int] = []
        self.data_text = ""
        self.idmap: str | None = None
        self.mappings = ""
        self.idmap_index = self.links = 0
        # Arguments of operations that were made of these options, for other mounts that have the same.
        self.made: dict[Any, dict[str, Any]] = {}
        self.warnings: list[Problem] = []
        self._atime: int | None = None
        self._nodiratime = False
        self._superblock: dict[int, tuple[str, int, bool]] = {}

    def __eq__(self, other: object) -> bool:
        names = (name for name in self.__slots__ if name != "made")
        return isinstance(other, MountOptions) and all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name in self.__slots__ if not name.startswith("_") and name != "made")
        return f"MountOptions({', '.join(f'{name}={value!r}' for name, value in shown if value)})"

    def data_value(self, key: str) -> tuple[bool, str | None]:
        """Return whether the filesystem data has `key`, and its last value (None for a word without ``=``)."""
        for name, value in reversed(self.data):
            if name == key:
                return True, value
        return False, None

    def fsconfig(self) -> list[tuple[str, str | None, int]]:
        """Return the parameters for fsconfig(2): (key, string or None for FSCONFIG_SET_FLAG, option index).

        Superblock words come first.  The clearing ones (``rw``, ``async``) are among them: harmless for
        a new filesystem, needed when one is reconfigured.
        """
        words: list[tuple[str, str | None, int]] = [(word, None, index) for word, index in self.sb_words]
        words += [(key, value, index) for (key, value), index in zip(self.data, self.data_index, strict=True)]
        return words

    def superblock_words(self) -> list[tuple[str, int]]:
        """Return (word, option index) of those that set a flag of the file system which no mount has:
        all but ``ro``.
        """
        return [(word, index) for flag, (word, index, on) in self._superblock.items() if on and flag != c.MS_RDONLY]

    def mount2_reason(self) -> str:
        """Return why only mount(2) can carry these options, or "" if fsconfig(2) can."""
        if self.sb_set & _NO_FSCONFIG_WORD:
            name = "silent" if self.sb_set & c.MS_SILENT else "iversion"
            return f"fsconfig(2) has no word for {name}"
        for key, value in self.data:
            if value is not None and len(value.encode()) > FSCONFIG_VALUE_MAX:
                return f"the value of {key} is longer than the {FSCONFIG_VALUE_MAX} bytes that fsconfig(2) takes"
        return ""

    def _take(self, word: str, index: int) -> bool:
        """Note one word; False if it is not a known one."""
        row = w.WORDS.get(word)
        if row is None:
            name, _, mappings = word.partition("=")
            if not mappings or w.WORDS.get(name, (w.NOTHING, 0))[0] != w.IDMAP:
                return False
            self.idmap, self.mappings, self.idmap_index = name, mappings, index
            return True
        kind, value = row
        match kind:
            case w.NOTHING:
                pass
            case w.ATTR_SET | w.ATTR_CLEAR | w.ATIME_SET | w.ATIME_CLEAR:
                self._take_attribute(kind, value, word, index)
            case w.REC_SET | w.REC_CLEAR | w.REC_ATIME_SET | w.REC_ATIME_CLEAR:
                self._take_recursive(kind, value)
            case w.SB_SET | w.SB_CLEAR:
                self._superblock[value] = (word, index, kind == w.SB_SET)
            case w.PROPAGATION | w.REC_PROPAGATION:
                self.propagation.append((value, kind == w.REC_PROPAGATION))
            case w.BIND | w.RBIND:
                self.bind = True
                self.recursive_bind |= kind == w.RBIND
            case w.REMOUNT:
                self.remount = True
            case w.TMPCOPYUP:
                self.tmpcopyup = True
            case w.IDMAP:
                self.idmap, self.mappings, self.idmap_index = word, "", index
            case w.LINK:
                self.links |= value
            case _:
                raise AssertionError(f"nothing is done for a word of the kind of {word}")
        return True

    def _take_attribute(self, kind: int, value: int, word: str, index: int) -> None:
        if kind in (w.ATIME_SET, w.ATIME_CLEAR):
            self.attr_named |= c.MOUNT_ATTR__ATIME
            if kind == w.ATIME_SET:
                self._atime = value
            elif self._atime == value:
                self._atime = None
            return
        on = kind == w.ATTR_SET
        self.attr_named |= value
        if value == c.MOUNT_ATTR_NODIRATIME:
            self._nodiratime = on
            return
        self.attr_set = self.attr_set & ~value | (value if on else 0)
        self.attr_clr = self.attr_clr & ~value | (0 if on else value)
        if value == c.MOUNT_ATTR_RDONLY:
            self._superblock[c.MS_RDONLY] = (word, index, on)

    def _take_recursive(self, kind: int, value: int) -> None:
        if kind in (w.REC_SET, w.REC_CLEAR):
            on = kind == w.REC_SET
            self.rec_attr_set = self.rec_attr_set & ~value | (value if on else 0)
            self.rec_attr_clr = self.rec_attr_clr & ~value | (0 if on else value)
            # A single-mount word that says the opposite came earlier, so it has lost.
            if on:
                self.attr_clr &= ~value
            else:
                self.attr_set &= ~value
                if value == c.MOUNT_ATTR_NODIRATIME:
                    self._nodiratime = False
            return
        # A mode for the one mount came earlier, so it has lost.
        self._atime = None
        chosen = bool(self.rec_attr_clr & c.MOUNT_ATTR__ATIME)
        if kind == w.REC_ATIME_CLEAR:
            if chosen and self.rec_attr_set & c.MOUNT_ATTR__ATIME != value:
                return
            value = c.MOUNT_ATTR_RELATIME
        # mount_setattr(2) takes a mode only together with the whole field in attr_clr.
        self.rec_attr_set = self.rec_attr_set & ~c.MOUNT_ATTR__ATIME | value
        self.rec_attr_clr |= c.MOUNT_ATTR__ATIME

    def _settle(self, pointer: str) -> None:
        """Work out what depends on the whole list."""
        if self._atime is not None or self._nodiratime:
            mode = self.rec_attr_set & c.MOUNT_ATTR__ATIME if self._atime is None else self._atime
            self.attr_set |= mode
            self.attr_clr |= c.MOUNT_ATTR__ATIME
            if self._nodiratime:
                self.attr_set |= c.MOUNT_ATTR_NODIRATIME
            elif not self.rec_attr_set & c.MOUNT_ATTR_NODIRATIME:
                self.attr_clr |= c.MOUNT_ATTR_NODIRATIME
            self.flags |= _ATIME_TO_MS[mode]
        for flag, (word, index, on) in self._superblock.items():
            if not self.bind:
                self.sb_set |= flag if on else 0
                self.sb_clr |= 0 if on else flag
                if not flag & _NO_FSCONFIG_WORD:
                    self.sb_words.append((word, index))
            elif flag != c.MS_RDONLY:
                where = f"{pointer}/options/{index}"
                self.warnings.append(Problem(where, f"{word} has no effect on a bind mount", warning=True))
        for attribute, flag in _ATTR_TO_MS:
            if self.attr_set & attribute:
                self.flags |= flag
        self.flags |= self.sb_set
        if self.bind:
            self.flags |= c.MS_BIND | (c.MS_REC if self.recursive_bind else 0)
        if self.remount:
            self.flags |= c.MS_REMOUNT


def parse(options: Sequence[str], *, pointer: str, destination: str = "", fstype: str = "") -> MountOptions:
    """Read the option strings of one mount.

    options      ``mounts[N].options``
    pointer      JSON pointer of the mount, such as ``/mounts/3``
    destination  of the mount, for the texts of problems
    fstype       its ``type``; only a tmpfs may have ``tmpcopyup``
    Raises ConfigError with every problem found: a NUL, newline or lone surrogate in a string, an open quote,
    a datum without a name, filesystem data on a bind mount, ``tmpcopyup`` elsewhere than on a tmpfs.
    """
    result = MountOptions()
    problems: list[Problem] = []
    data_words: list[str] = []
    copyup = link = -1
    for index, option in enumerate(options):
        reason = _unusable(option)
        if not reason:
            try:
                for word in w.split(option):
                    if result._take(word, index):
                        copyup = index if word == "tmpcopyup" else copyup
                        link = index if w.WORDS.get(word, (0, 0))[0] == w.LINK else link
                    elif word[0] == "=":
                        reason = "has no name before the ="
                    else:
                        result.data.append(w.parameter(word))
                        result.data_index.append(index)
                        data_words.append(word)
            except ValueError as error:
                reason = str(error)
        if reason:
            message = f"the option {_shown(option)} of the mount{_on(destination)} {reason}"
            problems.append(Problem(f"{pointer}/options/{index}", message, found=option))
    result.data_text = ",".join(data_words)
    result._settle(pointer)
    if result.bind:
        for word, index in zip(data_words, result.data_index, strict=True):
            if word in w.DONE_BY_ENGINES:
                continue
            problems.append(_data_on_bind(word, f"{pointer}/options/{index}", destination))
    if copyup >= 0 and (fstype != "tmpfs" or result.bind):
        message = f"tmpcopyup on the mount{_on(destination)}: only a tmpfs can start as a copy of what it covers"
        problems.append(Problem(f"{pointer}/options/{copyup}", message, expected="type tmpfs", found=fstype))
    if link >= 0 and (reason := _links_reason(result)):
        message = f"{_shown(options[link])} on the mount{_on(destination)}: {reason}"
        problems.append(Problem(f"{pointer}/options/{link}", message, found=options[link]))
    if problems:
        raise ConfigError(problems)
    return result


def _links_reason(options: MountOptions) -> str:
    """Return why the words for links cannot be, or ""."""
    if not options.bind:
        return "only a bind mount has a source or a destination that may be a link"
    if options.links & w.COPY_LINK and options.links != w.COPY_LINK:
        return "copy-symlink makes a link in place of the mount, to which src-nofollow and dest-nofollow belong"
    return ""


def bind_attrs(options: MountOptions, *, userns: bool) -> tuple[int, int, int]:
    """Return what mount_setattr(2) has to change on a fresh bind mount: (attr_set, attr_clr, deny_clear).

    With no attribute named the mount keeps all flags of its source.  As soon as one is named, those of
    ro, nosuid, nodev, noexec and nosymfollow that are not named are cleared.  The access time class changes
    only if a word sets it.

    userns   the container has a new user namespace.  Then the lockable flags that are not named stay (only
             nosymfollow is cleared), and `deny_clear` holds what must not be taken from a source that has it:
             the caller fails with EPERM if the source has any of these flags, and, where `deny_clear` holds
             ATIME_CLASS, if the source's access time class differs from the one in `attr_set`.  For
             recursive words the same mask is ``rec_attr_clr & LOCKABLE``.
    The rules are those of runc's tests/integration/mounts_sshfs.bats.
    """
    if not options.attr_named:
        return 0, 0, 0
    unnamed = c.MOUNT_ATTR_NOSYMFOLLOW if userns else LOCKABLE | c.MOUNT_ATTR_NOSYMFOLLOW
    unnamed &= ~(options.attr_named | options.rec_attr_set)
    deny = 0
    if userns:
        deny = options.attr_clr & LOCKABLE
        if options.attr_clr & c.MOUNT_ATTR__ATIME:
            deny |= ATIME_CLASS
    return options.attr_set, options.attr_clr | unnamed, deny


def suggestion(word: str) -> str:
    """Return ``did you mean "nosuid"?`` for a word that the kernel refused, or ""."""
    known = w.closest(word.partition("=")[0])
    return f'did you mean "{known}"?' if known else ""


def _unusable(option: str) -> str:
    if "\0" in option:
        return "holds a NUL"
    if "\n" in option:
        return "holds a newline"
    if not option.isascii() and any("\ud800" <= letter <= "\udfff" for letter in option):
        return "is not valid Unicode"
    return ""


def _data_on_bind(word: str, pointer: str, destination: str) -> Problem:
    message = f"{_shown(word)} is not an option of the bind mount{_on(destination)}, which takes no filesystem data"
    known = w.closest(word.partition("=")[0])
    if known:
        message += f"; {suggestion(word)}"
    return Problem(pointer, message, expected=known, found=word)


def _on(destination: str) -> str:
    return f" on {_shown(destination)}" if destination else ""


def _shown(text: str) -> str:
    """Return `text` quoted, on one line, in ASCII and not too long."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")
