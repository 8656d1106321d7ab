"""Mounts whose source or destination is a symbolic link, and maps written as an option: words of crun."""

from __future__ import annotations

import os

import pytest

from .test_idmap import owner
from .test_mounts import source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

SHOW = "readlink /at || echo no link; cat /at; readlink /real || cat /real"


@pytest.fixture
def link(live: Case) -> str:
    """A link of the host to a file with a line in it."""
    path = source(live)
    os.symlink("file", f"{path}/link")
    return f"{path}/link"


def with_link(bundle: Bundle) -> None:
    """Put a link at the destination, and a file where it points."""
    os.symlink("real", f"{bundle.rootfs}/at")
    with open(f"{bundle.rootfs}/real", "w", encoding="ascii") as file:
        file.write("of the image\n")


@pytest.mark.parametrize("user_namespace", [False, True], ids=["root", "userns"])
@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ((), "real\nsource\nsource\n"),  # both followed: the file of the host is over /real
        (("dest-nofollow",), "no link\nsource\nof the image\n"),
        # /at is the host's link, which says "file": there is no such file in the image
        (("dest-nofollow", "src-nofollow"), "file\nof the image\n"),
    ],
    ids=["followed", "dest", "both"],
)
def test_nofollow(live: Case, link: str, words: tuple[str, ...], seen: str, user_namespace: bool) -> None:
    bundle = live.shell(SHOW)
    if user_namespace:
        bundle.user_namespace()
    with_link(bundle)
    bundle.mount("/at", link, "bind", *words)
    assert live.output(bundle) == seen


def test_src_nofollow_below_the_root(live: Case) -> None:
    bundle = live.shell("readlink /copy; readlink /real || cat /real")
    with_link(bundle)
    bundle.mount("/copy", f"{bundle.rootfs}/at", "bind", "src-nofollow")
    assert live.output(bundle) == "real\nof the image\n"


def test_a_directory_and_what_is_no_link_are_bound_as_ever(live: Case) -> None:
    path = source(live)
    bundle = live.shell("cat /a/file /b/file /c")
    bundle.mount("/a", path, "bind", "src-nofollow", "dest-nofollow")
    bundle.mount("/b", path, "rbind", "copy-symlink")
    bundle.mount("/c", f"{path}/file", "bind", "dest-nofollow", "ro")
    assert live.output(bundle) == "source\n" * 3
    assert os.path.isfile(f"{bundle.rootfs}/c")


def test_dest_nofollow_wants_like_on_like(live: Case) -> None:
    bundle = live.bundle()
    with_link(bundle)
    bundle.mount("/at", source(live), "bind", "dest-nofollow")
    live.refused(bundle, "source and destination must both be directories or both be files")


def test_the_parents_of_a_destination_stay_inside(live: Case) -> None:
    bundle = live.shell("cat /outside/at")
    outside = f"{live.dir}/outside"
    os.mkdir(outside)
    os.symlink(outside, f"{bundle.rootfs}/outside")
    bundle.mount("/outside/at", f"{source(live)}/file", "bind", "dest-nofollow")
    assert live.output(bundle) == "source\n"
    assert os.listdir(outside) == []


def test_copy_symlink(live: Case, link: str) -> None:
    bundle = live.shell("readlink /sub/at; ls -d /proc/self/mountinfo >/dev/null; grep -c /sub/at /proc/self/mountinfo")
    bundle.mount("/sub/at", link, "bind", "copy-symlink", "ro")
    assert live.run(bundle).out == "file\n0\n"
    # A second time the link is there already, and right.
    assert live.run(bundle).out == "file\n0\n"
    assert "link" in live.command("explain", "--bundle", bundle.path).ok().out
    os.unlink(f"{bundle.rootfs}/sub/at")
    os.symlink("other", f"{bundle.rootfs}/sub/at")
    live.refused(bundle, "/sub/at", "is not that link")
    assert os.readlink(f"{bundle.rootfs}/sub/at") == "other"


def test_maps_as_an_option(live: Case) -> None:
    path = source(live)
    os.chmod(path, 0o777)
    bundle = live.shell("stat -c %u:%g /mnt/file; touch /mnt/made")
    bundle.mount("/mnt", path, "bind", "idmap=uids=0-5000-10;gids=0-6000-5#5-7000-5")
    bundle.process["user"] = {"uid": 5003, "gid": 7001}
    assert live.output(bundle) == "5000:6000\n"
    assert owner(f"{path}/made") == (3, 6)


def test_maps_relative_to_the_container(live: Case) -> None:
    path = source(live)
    bundle = live.shell("stat -c %u:%g /mnt/file")
    bundle.user_namespace()
    bundle.mount("/mnt", path, "bind", "idmap=uids=@0-7-10;gids=@0-8-10")
    assert live.output(bundle) == "7:8\n"
