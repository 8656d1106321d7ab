"""Random lists of mount options."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ocirun.errors import ConfigError
from ocirun.plan.mounts.options import KNOWN_OPTIONS, bind_attrs, parse

NOATIME, STRICTATIME, ATIME = 0x10, 0x20, 0x70

# Words that are refused on most mounts have tests of their own.
words = st.sampled_from(
    [word for word in KNOWN_OPTIONS if word not in ("tmpcopyup", "src-nofollow", "dest-nofollow", "copy-symlink")]
)
texts = st.one_of(st.sampled_from(KNOWN_OPTIONS), st.text(max_size=12), st.lists(words, max_size=3).map(",".join))


@given(st.lists(texts, max_size=8))
def test_parse_raises_only_config_error(option_list: list[str]) -> None:
    try:
        found = parse(option_list, pointer="/mounts/0", fstype="tmpfs")
    except ConfigError:
        return
    assert len(found.data) == len(found.data_index)
    assert all(0 <= index < len(option_list) for _, _, index in found.fsconfig())
    assert parse(option_list, pointer="/mounts/0", fstype="tmpfs") == found


@given(st.lists(words, max_size=8))
def test_masks_are_what_the_kernel_accepts(option_list: list[str]) -> None:
    found = parse(option_list, pointer="/mounts/0")
    pairs = [(found.attr_set, found.attr_clr), (found.rec_attr_set, found.rec_attr_clr)]
    pairs += [bind_attrs(found, userns=userns)[:2] for userns in (False, True)]
    for attr_set, attr_clr in pairs:
        # build_mount_kattr in fs/namespace.c: all of the field or nothing, and one mode at most.
        assert attr_clr & ATIME in (0, ATIME)
        assert attr_set & ATIME in (0, NOATIME, STRICTATIME)
        assert not attr_set & ATIME or attr_clr & ATIME
        assert not attr_set & attr_clr & ~ATIME
    assert not found.sb_set & found.sb_clr


@given(st.lists(words, max_size=8))
def test_saying_it_twice_changes_nothing(option_list: list[str]) -> None:
    once, twice = (parse(option_list * times, pointer="/mounts/0") for times in (1, 2))
    for name in ("attr_set", "attr_clr", "attr_named", "rec_attr_set", "rec_attr_clr", "sb_set", "flags", "idmap"):
        assert getattr(once, name) == getattr(twice, name), name


@given(st.lists(words, max_size=6))
def test_commas_and_list_entries_are_the_same(option_list: list[str]) -> None:
    apart = parse(option_list, pointer="/mounts/0")
    joined = parse([",".join(option_list)], pointer="/mounts/0")
    assert (apart.attr_set, apart.flags, apart.propagation) == (joined.attr_set, joined.flags, joined.propagation)


def test_a_recursive_mode_said_again_wins_again() -> None:
    once, twice = (parse(["strictatime", "ratime"] * times, pointer="/mounts/0") for times in (1, 2))
    assert once == twice
