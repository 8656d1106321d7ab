"""Mount options: each asked restriction is in force, whatever the type and the source."""

from __future__ import annotations

import os

import pytest

from . import kernel
from .test_mounts import kind_at, mount_at, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

TMPFS_FLAGS = {
    "ro": "ro",
    "nosuid": "nosuid",
    "nodev": "nodev",
    "noexec": "noexec",
    "noatime": "noatime",
    "nodiratime": "nodiratime",
    "relatime": "relatime",
    "nosymfollow": "nosymfollow",
}


def flags_at(seen: Any, point: str) -> set[str]:
    """The per-mount flags there."""
    return set(mount_at(seen, point)[5].split(","))


@pytest.fixture
def flagged(live: Case) -> str:
    """A host mount with nosuid, nodev, noexec, and a mount inside it."""
    path = f"{live.dir}/flagged"
    os.mkdir(path)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    live.mount("flagged", path, "tmpfs", flags)
    os.mkdir(f"{path}/inner")
    live.mount("inner", f"{path}/inner", "tmpfs")
    return path


@pytest.mark.parametrize("user_namespace", [False, True], ids=["root", "userns"])
@pytest.mark.parametrize("option", TMPFS_FLAGS)
def test_flag_on_tmpfs(live: Case, option: str, user_namespace: bool) -> None:
    bundle = live.bundle()
    if user_namespace:
        bundle.user_namespace()
    bundle.mount("/mnt", "tmpfs", option, kind="tmpfs")
    assert TMPFS_FLAGS[option] in flags_at(live.probe(bundle), "/mnt")


@pytest.mark.parametrize("option", TMPFS_FLAGS)
@pytest.mark.parametrize("verb", ["bind", "rbind"])
def test_flag_on_a_bind(live: Case, option: str, verb: str) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", source(live), verb, option)
    assert TMPFS_FLAGS[option] in flags_at(live.probe(bundle), "/mnt")


@pytest.mark.parametrize("option", ["ro", "nosuid", "nodev", "noexec"])
@pytest.mark.parametrize("kind", ["proc", "sysfs", "mqueue", "devpts"])
def test_flag_on_kernel_filesystems(live: Case, kind: str, option: str) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", kind, option, kind=kind)
    seen = live.probe(bundle)
    assert kind_at(seen, "/mnt") == kind
    assert option in flags_at(seen, "/mnt")


def test_readonly_is_felt(live: Case) -> None:
    bundle = live.shell("touch /a/x; touch /b/x; touch /c/x; ls /a /b /c")
    bundle.mount("/a", source(live, "a"), "bind", "ro")
    bundle.mount("/b", source(live, "b"), "rbind", "rro")
    bundle.mount("/c", "tmpfs", "ro", kind="tmpfs")
    assert "x" not in live.run(bundle).out.split()


def test_readonly_rbind_is_not_recursive_but_rro_is(live: Case, flagged: str) -> None:
    bundle = live.shell(
        "touch /one/inner/x && echo one; touch /two/inner/y 2> /dev/null || echo refused; touch /one/z 2> /dev/null || echo refused"
    )
    bundle.mount("/one", flagged, "rbind", "ro")
    bundle.mount("/two", flagged, "rbind", "rro")
    assert live.output(bundle) == "one\nrefused\nrefused\n"


@pytest.mark.parametrize(
    "words", [["ro", "rro"], ["rro", "ro"], ["rnosuid"], ["rnodev", "rnoexec"], ["rnoatime"], ["rrelatime"]]
)
def test_recursive_flags_reach_submounts(live: Case, flagged: str, words: list[str]) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", flagged, "rbind", *words)
    inner = flags_at(live.probe(bundle), "/mnt/inner")
    for word in words:
        if word.startswith("r") and word != "ro":
            assert word[1:] in inner, f"{word} asked, inner mount has {inner}"


def test_plain_bind_keeps_the_flags_of_its_source(live: Case, flagged: str) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", flagged, "bind")
    assert {"nosuid", "nodev", "noexec"} <= flags_at(live.probe(bundle), "/mnt")


def test_readonly_bind_in_a_user_namespace_keeps_locked_flags(live: Case, flagged: str) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.mount("/mnt", flagged, "rbind", "ro")
    assert {"ro", "nosuid", "nodev", "noexec"} <= flags_at(live.probe(bundle), "/mnt")


def test_later_word_wins(live: Case) -> None:
    bundle = live.bundle()
    path = source(live)
    bundle.mount("/a", path, "bind", "ro", "rw")
    bundle.mount("/b", path, "bind", "rw", "ro")
    bundle.mount("/c", "tmpfs", "nosuid", "suid", "noexec", "exec", kind="tmpfs")
    bundle.mount("/d", path, "rbind", "bind")
    seen = live.probe(bundle)
    assert "rw" in flags_at(seen, "/a")
    assert "ro" in flags_at(seen, "/b")
    assert not {"nosuid", "noexec"} & flags_at(seen, "/c")


def test_data_options_reach_the_filesystem(live: Case) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", "tmpfs", "size=64k", "mode=0701", "nr_inodes=5", "uid=7", kind="tmpfs")
    fields = mount_at(live.probe(bundle), "/mnt")
    data = fields[-1].split(",")
    assert {"size=64k", "mode=701", "nr_inodes=5", "uid=7"} <= set(data)


@pytest.mark.parametrize(
    "word", ["defaults", "silent", "loud", "async", "sync", "dirsync", "nomand", "iversion", "noiversion"]
)
def test_known_words_are_not_data(live: Case, word: str) -> None:
    bundle = live.bundle()
    bundle.mount("/mnt", "tmpfs", word, kind="tmpfs")
    seen = live.probe(bundle)
    if word in ("sync", "dirsync"):
        assert word in mount_at(seen, "/mnt")[-1].split(",")
    else:
        assert kind_at(seen, "/mnt") == "tmpfs"


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("private", ""),
        ("rprivate", ""),
        ("shared", "shared:"),
        ("slave", "master:"),
        ("rslave", "master:"),
        ("unbindable", "unbindable"),
    ],
)
def test_propagation_of_a_bind(live: Case, word: str, wanted: str) -> None:
    # The harness's mounts are shared, so a slave has a master.
    bundle = live.bundle()
    bundle.mount("/mnt", source(live), "rbind", word)
    fields = mount_at(live.probe(bundle), "/mnt")
    tags = " ".join(fields[6 : fields.index("-")])
    if wanted:
        assert wanted in tags
    else:
        assert tags == ""


def test_readonly_dev_gets_its_content_first(live: Case) -> None:
    bundle = live.shell("ls -l /dev/null /dev/fd > /dev/null && touch /dev/x 2>&1")
    bundle.mounts[1]["options"].append("ro")
    assert "Read-only" in live.run(bundle).out


def test_readonly_tmpfs_with_copy(live: Case) -> None:
    bundle = live.shell("cat /var/f; touch /var/g 2> /dev/null || echo refused")
    bundle.file("/var/f", "copied\n")
    bundle.mount("/var", "tmpfs", "ro", "tmpcopyup", kind="tmpfs")
    assert live.output(bundle) == "copied\nrefused\n"


def test_readonly_source_that_is_to_be_writable_in_a_user_namespace(live: Case) -> None:
    path = f"{live.dir}/readonly"
    os.mkdir(path)
    kernel.mount("t", path, "tmpfs", flags=kernel.MS_RDONLY)
    try:
        bundle = live.bundle()
        bundle.user_namespace()
        bundle.mount("/mnt", path, "bind", "rw")
        live.run(bundle).failed("/mounts/4", "(ro)", "give ro, or leave rw out")
        bundle.mounts[-1]["options"] = ["bind"]
        live.run(bundle).ok()
    finally:
        kernel.umount(path)
