"""Mount option strings: every word, what words do to each other, and what is refused."""

from __future__ import annotations

import pytest

from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan.mounts import words as mountwords
from ocirun.plan.mounts.options import KNOWN_OPTIONS, bind_attrs, parse, suggestion

RO, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
NOATIME, STRICTATIME, NODIRATIME, ATIME = 0x10, 0x20, 0x80, 0x70
NOSYMFOLLOW = 0x200000

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.plan.mounts.options import MountOptions


def options(text: str, **more: str) -> MountOptions:
    return parse(text.split(), pointer="/mounts/4", **more)


def problems(words: list[str], **more: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        parse(words, pointer="/mounts/4", **more)
    return [(problem.pointer, problem.message) for problem in caught.value.problems]


# word: (attr_set, attr_clr, attr_named, mount(2) flags)
SINGLE = {
    "defaults": (0, 0, 0, 0),
    "ro": (RO, 0, RO, 1),
    "rw": (0, RO, RO, 0),
    "nosuid": (NOSUID, 0, NOSUID, 2),
    "suid": (0, NOSUID, NOSUID, 0),
    "nodev": (NODEV, 0, NODEV, 4),
    "dev": (0, NODEV, NODEV, 0),
    "noexec": (NOEXEC, 0, NOEXEC, 8),
    "exec": (0, NOEXEC, NOEXEC, 0),
    "nosymfollow": (NOSYMFOLLOW, 0, NOSYMFOLLOW, 256),
    "symfollow": (0, NOSYMFOLLOW, NOSYMFOLLOW, 0),
    "noatime": (NOATIME, ATIME | NODIRATIME, ATIME, 1024),
    "atime": (0, 0, ATIME, 0),
    "nodiratime": (NODIRATIME, ATIME, NODIRATIME, 2048 | 1 << 21),
    "diratime": (0, 0, NODIRATIME, 0),
    "relatime": (0, ATIME | NODIRATIME, ATIME, 1 << 21),
    "norelatime": (0, 0, ATIME, 0),
    "strictatime": (STRICTATIME, ATIME | NODIRATIME, ATIME, 1 << 24),
    "nostrictatime": (0, 0, ATIME, 0),
    "sync": (0, 0, 0, 16),
    "async": (0, 0, 0, 0),
    "dirsync": (0, 0, 0, 128),
    "mand": (0, 0, 0, 64),
    "nomand": (0, 0, 0, 0),
    "iversion": (0, 0, 0, 1 << 23),
    "noiversion": (0, 0, 0, 0),
    "lazytime": (0, 0, 0, 1 << 25),
    "nolazytime": (0, 0, 0, 0),
    "silent": (0, 0, 0, 1 << 15),
    "loud": (0, 0, 0, 0),
    "remount": (0, 0, 0, 32),
    "bind": (0, 0, 0, 4096),
    "rbind": (0, 0, 0, 4096 | 16384),
}

# word: (rec_attr_set, rec_attr_clr)
RECURSIVE = {
    "rro": (RO, 0),
    "rrw": (0, RO),
    "rnosuid": (NOSUID, 0),
    "rsuid": (0, NOSUID),
    "rnodev": (NODEV, 0),
    "rdev": (0, NODEV),
    "rnoexec": (NOEXEC, 0),
    "rexec": (0, NOEXEC),
    "rnosymfollow": (NOSYMFOLLOW, 0),
    "rsymfollow": (0, NOSYMFOLLOW),
    "rnodiratime": (NODIRATIME, 0),
    "rdiratime": (0, NODIRATIME),
    "rnoatime": (NOATIME, ATIME),
    "ratime": (0, ATIME),
    "rrelatime": (0, ATIME),
    "rnorelatime": (0, ATIME),
    "rstrictatime": (STRICTATIME, ATIME),
    "rnostrictatime": (0, ATIME),
}

PROPAGATION = {
    "private": (1 << 18, False),
    "shared": (1 << 20, False),
    "slave": (1 << 19, False),
    "unbindable": (1 << 17, False),
    "rprivate": (1 << 18, True),
    "rshared": (1 << 20, True),
    "rslave": (1 << 19, True),
    "runbindable": (1 << 17, True),
}

LINKS = {"src-nofollow": 1, "dest-nofollow": 2, "copy-symlink": 4}
OTHER = {"tmpcopyup", "idmap", "ridmap", *LINKS}


def test_every_known_word_is_in_one_table() -> None:
    tables = [set(SINGLE), set(RECURSIVE), set(PROPAGATION), OTHER]
    assert sum(map(len, tables)) == len(set().union(*tables))
    assert set().union(*tables) == set(KNOWN_OPTIONS)
    assert sorted(KNOWN_OPTIONS) == KNOWN_OPTIONS


@pytest.mark.parametrize("word", SINGLE)
def test_single_word(word: str) -> None:
    found = options(word)
    assert (found.attr_set, found.attr_clr, found.attr_named, found.flags) == SINGLE[word]
    assert not found.rec_attr_set | found.rec_attr_clr
    assert (found.data, found.data_text, found.propagation, found.idmap) == ([], "", [], None)
    assert found.bind == (word in ("bind", "rbind"))
    assert found.recursive_bind == (word == "rbind")
    assert found.remount == (word == "remount")


@pytest.mark.parametrize("word", RECURSIVE)
def test_recursive_word(word: str) -> None:
    found = options(word)
    assert (found.rec_attr_set, found.rec_attr_clr) == RECURSIVE[word]
    assert (found.attr_set, found.attr_clr, found.attr_named, found.flags, found.sb_set) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("word", PROPAGATION)
def test_propagation_word(word: str) -> None:
    found = options(word)
    assert found.propagation == [PROPAGATION[word]]
    assert found.flags == 0


@pytest.mark.parametrize("word", LINKS)
def test_link_word(word: str) -> None:
    found = options(f"bind {word}")
    assert (found.links, found.data) == (LINKS[word], [])
    ((pointer, message),) = problems([word], fstype="tmpfs", destination="/x")
    assert pointer == "/mounts/4/options/0"
    assert word in message and "'/x'" in message and "bind mount" in message


def test_link_words_together() -> None:
    assert options("bind src-nofollow dest-nofollow").links == 3
    for word in ("src-nofollow", "dest-nofollow"):
        ((pointer, message),) = problems(["bind", "copy-symlink", word])
        assert pointer == "/mounts/4/options/2"
        assert "in place of the mount" in message


def test_maps_behind_idmap() -> None:
    found = options("bind idmap=uids=0-1-2#@3-4-5;gids=0-1-2,ro")
    assert (found.idmap, found.mappings, found.idmap_index) == ("idmap", "uids=0-1-2#@3-4-5;gids=0-1-2", 1)
    assert found.attr_set == RO
    # The last word counts, as ever.
    assert options("bind idmap=uids=0-1-2 ridmap").mappings == ""
    assert options("bind ridmap=x").idmap == "ridmap"
    assert problems(["bind", "idmap="])[0][0] == "/mounts/4/options/1"
    assert options("ro=1").data == [("ro", "1")]


def test_propagation_keeps_order() -> None:
    assert options("rslave shared").propagation == [(c.MS_SLAVE, True), (c.MS_SHARED, False)]


# word: (sb_set, sb_clr, has a word for fsconfig)
@pytest.mark.parametrize(
    ("word", "on", "off", "named"),
    [
        ("ro", c.MS_RDONLY, 0, True),
        ("rw", 0, c.MS_RDONLY, True),
        ("sync", c.MS_SYNCHRONOUS, 0, True),
        ("async", 0, c.MS_SYNCHRONOUS, True),
        ("dirsync", c.MS_DIRSYNC, 0, True),
        ("mand", c.MS_MANDLOCK, 0, True),
        ("nomand", 0, c.MS_MANDLOCK, True),
        ("lazytime", c.MS_LAZYTIME, 0, True),
        ("nolazytime", 0, c.MS_LAZYTIME, True),
        ("iversion", c.MS_I_VERSION, 0, False),
        ("noiversion", 0, c.MS_I_VERSION, False),
        ("silent", c.MS_SILENT, 0, False),
        ("loud", 0, c.MS_SILENT, False),
    ],
)
def test_superblock_word(word: str, on: int, off: int, named: bool) -> None:
    found = options(f"size=1k {word}")
    assert (found.sb_set, found.sb_clr) == (on, off)
    assert found.sb_words == ([(word, 1)] if named else [])
    assert found.fsconfig() == ([(word, None, 1)] if named else []) + [("size", "1k", 0)]
    assert bool(found.mount2_reason()) == (word in ("iversion", "silent"))
    on_bind = options(f"bind {word}")
    assert (on_bind.sb_set, on_bind.sb_clr, on_bind.sb_words) == (0, 0, [])
    assert [w.pointer for w in on_bind.warnings] == ([] if word in ("ro", "rw") else ["/mounts/4/options/1"])


@pytest.mark.parametrize(
    ("text", "attr_set", "attr_clr"),
    [
        ("ro rw", 0, RO),
        ("rw ro", RO, 0),
        ("nosuid suid nosuid", NOSUID, 0),
        ("ro noexec nodev nosuid", RO | NOEXEC | NODEV | NOSUID, 0),
        ("noatime relatime", 0, ATIME | NODIRATIME),
        ("relatime noatime", NOATIME, ATIME | NODIRATIME),
        ("noatime strictatime", STRICTATIME, ATIME | NODIRATIME),
        ("noatime atime", 0, 0),
        ("noatime norelatime", NOATIME, ATIME | NODIRATIME),
        ("strictatime nostrictatime", 0, 0),
        ("nodiratime diratime", 0, 0),
        ("nodiratime strictatime", NODIRATIME | STRICTATIME, ATIME),
        ("noatime nodiratime", NODIRATIME | NOATIME, ATIME),
        ("nodiratime norelatime", NODIRATIME, ATIME),
    ],
)
def test_later_words_win(text: str, attr_set: int, attr_clr: int) -> None:
    found = options(text)
    assert (found.attr_set, found.attr_clr) == (attr_set, attr_clr)


def test_superblock_words_keep_the_last_of_each_flag() -> None:
    assert options("sync ro async dirsync rw").sb_words == [("async", 2), ("rw", 4), ("dirsync", 3)]


def top_attributes(text: str, source: int = 0) -> int:
    """The attributes of the top mount when recursive words are applied first, then the single ones."""
    found = options(text)
    attributes = source & ~found.rec_attr_clr | found.rec_attr_set
    attr_set, attr_clr, _ = bind_attrs(found, userns=False)
    return attributes & ~attr_clr | attr_set


@pytest.mark.parametrize(
    ("text", "source", "result"),
    [
        ("bind rro", 0, RO),
        ("rbind ro rro", 0, RO),
        ("rbind rrw ro", RO, RO),
        ("rbind rro rw", 0, 0),
        ("rbind ro rrw", RO, 0),
        ("rbind rw rro", 0, RO),
        ("rbind rro noexec", NODEV, RO | NOEXEC),
        ("rbind noatime rstrictatime", NOATIME, STRICTATIME),
        ("rbind rstrictatime noatime", 0, NOATIME),
        ("rbind rstrictatime nodiratime", 0, STRICTATIME | NODIRATIME),
        ("rbind rnodiratime noatime", 0, NOATIME | NODIRATIME),
        ("rbind nodiratime rdiratime", NODIRATIME, 0),
        ("rbind rnoatime ratime", NOATIME, 0),
        ("rbind rstrictatime ratime", NOATIME, STRICTATIME),
    ],
)
def test_recursive_and_single_words_together(text: str, source: int, result: int) -> None:
    assert top_attributes(text, source) == result


def test_rbind_stays_recursive_after_bind() -> None:
    found = options("rbind bind")
    assert found.recursive_bind
    assert found.flags == c.MS_BIND | c.MS_REC
    assert not options("bind").recursive_bind


def test_idmap_words() -> None:
    assert options("bind idmap").idmap == "idmap"
    assert options("bind idmap ridmap").idmap == "ridmap"
    assert options("bind ridmap idmap").idmap == "idmap"


def test_fs_mount_ro_is_superblock_and_mount() -> None:
    found = options("ro nosuid mode=755")
    assert (found.sb_set, found.attr_set) == (c.MS_RDONLY, RO | NOSUID)
    assert found.flags == c.MS_RDONLY | c.MS_NOSUID


def test_data_keeps_text_and_index() -> None:
    found = options("nosuid newinstance ptmxmode=0666 mode=0620,gid=5 ro x==y")
    assert found.data == [("newinstance", None), ("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5"), ("x", "=y")]
    assert found.data_index == [1, 2, 3, 3, 5]
    assert found.data_text == "newinstance,ptmxmode=0666,mode=0620,gid=5,x==y"
    assert found.data_value("mode") == (True, "0620")
    assert found.data_value("newinstance") == (True, None)
    assert found.data_value("context") == (False, None)


UNKNOWN = ["RO", "acl", "noacl", "copy-symlinks", "src-nofollow=1", "idmapped=uids=0-1-2", " ro", "rsync"]


@pytest.mark.parametrize("word", UNKNOWN)
def test_unknown_words_are_data(word: str) -> None:
    assert parse([word], pointer="/mounts/0").data_text == word


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("", []),
        (",", []),
        ("ro", ["ro"]),
        (",ro,,nosuid,", ["ro", "nosuid"]),
        ('context="a:s0:c1,c2",ro', ['context="a:s0:c1,c2"', "ro"]),
        ("context=a:s0:c1,c2", ["context=a:s0:c1", "c2"]),
        ('x="a,b"', ['x="a', 'b"']),
        ("lowerdir=/a\\,b:/c,upperdir=/d", ["lowerdir=/a\\,b:/c", "upperdir=/d"]),
        ("lowerdir=/a\\\\,upperdir=/d", ["lowerdir=/a\\\\", "upperdir=/d"]),
        ("lowerdir=/a\\,", ["lowerdir=/a\\,"]),
        ("size=1\\,context=x", ["size=1\\", "context=x"]),
    ],
)
def test_split(option: str, words: list[str]) -> None:
    assert list(mountwords.split(option)) == words


def test_label_loses_its_quotes_for_fsconfig_only() -> None:
    found = parse(['context="u:r:t:s0:c1,c2"', 'name="x"'], pointer="/mounts/0")
    assert found.data == [("context", "u:r:t:s0:c1,c2"), ("name", '"x"')]
    assert found.data_text == 'context="u:r:t:s0:c1,c2",name="x"'


def test_long_value_needs_the_old_call() -> None:
    assert "lowerdir" in options("lowerdir=" + "é" * 128).mount2_reason()
    assert options("lowerdir=" + "a" * 255).mount2_reason() == ""


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("a\0b", "holds a NUL"),
        ("ro\n", "holds a newline"),
        ("x=\ud800", "is not valid Unicode"),
        ('context="a', "the quote after context= is not closed"),
        ("ro,=x", "has no name before the ="),
    ],
)
def test_unusable_strings(option: str, reason: str) -> None:
    ((pointer, message),) = problems(["ro", option], destination="/data")
    assert pointer == "/mounts/4/options/1"
    assert message.endswith(reason)
    assert "'/data'" in message
    assert message.isascii()
    assert message.isprintable()


@pytest.mark.parametrize("word", ["copy", "nocopy"])
def test_what_podman_has_done_for_a_volume_is_passed_over(word: str) -> None:
    assert parse([word, "rbind", "ro"], pointer="/mounts/0").attr_set == c.MOUNT_ATTR_RDONLY
    assert word not in KNOWN_OPTIONS
    assert parse([word], pointer="/mounts/0", fstype="tmpfs").data == [(word, None)], "only of a bind"


def test_data_on_bind_is_refused_with_a_suggestion() -> None:
    found = problems(["rbind", "nosiud", "size=1k,mode=1", "ro"], destination="/data")
    assert [pointer for pointer, _ in found] == [f"/mounts/4/options/{index}" for index in (1, 2, 2)]
    assert "'/data'" in found[0][1]
    assert found[0][1].endswith('did you mean "nosuid"?')
    assert "did you mean" not in found[1][1]


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("nosiud", "nosuid"),
        ("noexce", "noexec"),
        ("NOEXEC", "noexec"),
        ("rprivte", "rprivate"),
        ("strictime", "strictatime"),
        ("reltime", "relatime"),
        ("uid", "suid"),
        ("mode", ""),
        ("size", ""),
        ("z", ""),
        ("", ""),
        ("x" * 5000, ""),
    ],
)
def test_closest(word: str, known: str) -> None:
    assert mountwords.closest(word) == known
    assert suggestion(word) == (f'did you mean "{known}"?' if known else "")
    assert suggestion(word + "=1") == suggestion(word)


def test_tmpcopyup_is_for_tmpfs_only() -> None:
    assert options("ro tmpcopyup", fstype="tmpfs").tmpcopyup
    for words, fstype in ((["ro", "tmpcopyup"], "proc"), (["bind", "tmpcopyup"], "tmpfs"), (["ro", "tmpcopyup"], "")):
        ((pointer, message),) = problems(words, fstype=fstype)
        assert pointer == "/mounts/4/options/1"
        assert "tmpfs" in message


def test_all_problems_are_found() -> None:
    assert len(problems(["bind", "a\0", "size=1", "tmpcopyup", "=2"])) == 4


def test_repr_shows_what_is_set() -> None:
    assert "attr_set=1" in repr(options("ro"))
    assert repr(options("")) == "MountOptions()"
