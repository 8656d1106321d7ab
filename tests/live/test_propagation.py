"""linux.rootfsPropagation and the propagation words of mounts: every word with every other one.

The letters: S has peers on the host, s has peers but not there, m is a slave of the host's, u is unbindable, p is
none of these.  A mount's own word counts; the word for the root is for the root, and if it is a recursive one for
the mounts that have none.  Only a root that is to be shared has peers on the host (docs/spec-differences.md).
"""

from __future__ import annotations

import os

import pytest

from . import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case

WORDS = ("", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable")
# For each word of a mount: a recursive bind of the host's, a mount below that, a tmpfs of the container's own.
SLAVE = ("m m p", "p m p", "p p p", "m m p", "m m p", "ms m s", "ms ms s", "u m u", "u u u")
# For each word of the root: the root itself, the mounts.
MATRIX: dict[str, tuple[str, tuple[str, ...]]] = {
    "": ("m", SLAVE),
    "private": ("p", SLAVE),
    "slave": ("m", SLAVE),
    "rslave": ("m", SLAVE),
    "unbindable": ("u", SLAVE),
    "rprivate": ("p", ("p p p", "p p p", "p p p", "p p p", "p p p", "s p s", "s s s", "u p u", "u u u")),
    "shared": ("s", ("S S p", "p S p", "p p p", "m S p", "m m p", "S S s", "S S s", "u S u", "u u u")),
    "rshared": ("s", ("S S s", "p S p", "p p p", "m S p", "m m p", "S S s", "S S s", "u S u", "u u u")),
    "runbindable": ("u", ("u u u", *SLAVE[1:])),
}


@pytest.fixture
def volume(live: Case) -> Iterator[str]:
    """A directory that the host shares, with a mount in it; the image lies on another mount, which is shared too."""
    path = f"{live.dir}/volume"
    os.mkdir(path)
    kernel.mount("volume", path, "tmpfs")
    os.mkdir(f"{path}/in")
    kernel.mount("inner", f"{path}/in", "tmpfs")
    yield path
    kernel.umount(f"{path}/in")
    kernel.umount(path)


def kinds(mountinfo: str, *points: str) -> str:
    """The letters of the mounts at these points."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        peers = {word for line in file for word in line.split(" - ")[0].split()[6:] if word.startswith("shared:")}
    found = {}
    for line in mountinfo.splitlines():
        fields = line.split(" - ")[0].split()
        letters = set()
        for word in fields[6:]:
            name = word.partition(":")[0]
            letters.add("S" if word in peers else {"shared": "s", "master": "m", "unbindable": "u"}.get(name, ""))
        found[fields[4]] = "".join(sorted(letters)) or "p"
    return " ".join(found.get(point, "?") for point in points)


def mounted(live: Case, volume: str, root: str, word: str) -> Bundle:
    """A bundle that shows its mounts, with one word for the root and one for its mounts."""
    bundle = live.shell("cat /proc/self/mountinfo")
    bundle.mount("/mnt", volume, "rbind", *[word] if word else [])
    bundle.mount("/tmp", "tmpfs", *[word] if word else [], kind="tmpfs")
    if root:
        bundle.linux["rootfsPropagation"] = root
    return bundle


@pytest.mark.parametrize("root", MATRIX)
def test_matrix(live: Case, volume: str, root: str) -> None:
    of_root, of_mounts = MATRIX[root]
    seen = {}
    for word in WORDS:
        out = live.output(mounted(live, volume, root, word))
        seen[word] = kinds(out, "/", "/mnt", "/mnt/in", "/tmp")
    assert seen == {word: f"{of_root} {letters}" for word, letters in zip(WORDS, of_mounts, strict=True)}


@pytest.mark.parametrize(("root", "word"), [("runbindable", ""), ("", "unbindable"), ("", "runbindable")])
def test_unbindable_with_paths_that_turn_readonly(live: Case, volume: str, root: str, word: str) -> None:
    # They turn read-only by a copy, and of an unbindable mount there is none.
    bundle = mounted(live, volume, root, word)
    bundle.process["args"] = ["/bin/sh", "-c", "touch /mnt/in/x /tmp/x; cat /proc/self/mountinfo"]
    bundle.mount("/proc", "proc", *[word] if word else [], kind="proc")
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/mnt/in", "/etc"]
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/bin/no", "/home"]
    bundle.mount("/run", "tmpfs", "ro", *[word] if word else [], kind="tmpfs")
    bundle.mount("/run/below", "tmpfs", kind="tmpfs")
    result = live.run(bundle).ok()
    assert "/mnt/in/x: Read-only file system" in result.err
    assert kinds(result.out, "/mnt", "/tmp", "/run") == "u u u"
    assert kinds(result.out, "/") == ("u" if root else "m")
    assert " /run ro," in result.out
