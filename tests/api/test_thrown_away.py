"""A root file system that is thrown away: its size, what is told of it, and what stays of it, which is nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

import ocirun
from ocirun import aio
from ocirun.plan.mounts import upper

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun import Outcome

    Runner = Callable[..., Outcome]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ROOM = 1 << 20


def tree(top: str) -> list[tuple[object, ...]]:
    found = []
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            found.append((path, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_ino))
    return sorted(found)


SCRIPT = """
echo changed > /letter; rm /old/one; mkdir -p /new/deep; echo 12345 > /new/deep/file; ln -s /etc/passwd /new/link
ln /new/deep/file /new/second; chmod 4711 /old/two; rm -r /etc; mkdir /etc; echo x > /etc/passwd; mkfifo /new/fifo
rm -r /root; ln -s /tmp /root
"""
TOLD = {
    "/etc/group": ("removed", "file"),
    "/etc/passwd": ("changed", "file"),
    "/letter": ("changed", "file"),
    "/new": ("added", "directory"),
    "/new/deep": ("added", "directory"),
    "/new/deep/file": ("added", "file"),
    "/new/fifo": ("added", "fifo"),
    "/new/link": ("added", "link"),
    "/new/second": ("added", "file"),
    "/old/one": ("removed", "file"),
    "/old/two": ("changed", "file"),
    "/root": ("changed", "link"),
}


def plain(rootfs: str, *args: str) -> dict[str, object]:
    """A config without a user namespace: the image belongs to the root that the program is."""
    config = ocirun.sandbox(rootfs, list(args), missing="leave out", seccomp=False, disk=ROOM)
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "user"]
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]
    rights = ["CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_MKNOD", "CAP_FSETID"]
    config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), rights)
    config["annotations"][upper.UPPER] = f"size={ROOM},inodes=200"
    return config


def owned(rootfs: str, *args: str) -> dict[str, object]:
    return ocirun.sandbox(rootfs, list(args), missing="leave out", disk=ROOM, disk_inodes=200)


@pytest.mark.parametrize("config", [plain, owned])
def test_what_has_changed(rootfs: str, root: str, config: Callable[..., dict[str, object]]) -> None:
    before = tree(rootfs)
    outcome = ocirun.run(config=config(rootfs, *shell(SCRIPT)), root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    changes = outcome.changes
    assert changes is not None and not changes.cut and not changes.unread
    assert {one.path: (one.how, one.kind) for one in changes} == TOLD
    by_path = {one.path: one for one in changes}
    assert (by_path["/new/deep/file"].size, by_path["/old/two"].mode) == (6, 0o4711)
    assert (by_path["/new/link"].target, by_path["/root"].target) == ("/etc/passwd", "/tmp")
    pair = by_path["/new/deep/file"], by_path["/new/second"]
    assert sorted(one.same_as for one in pair) in (["", "/new/deep/file"], ["", "/new/second"])
    assert {(one.uid, one.gid) for one in changes} == {(0, 0)}
    assert changes.removed == ["/etc/group", "/old/one"]
    assert tree(rootfs) == before, "the image is what it was"


@pytest.mark.parametrize("closed", ["the caller's directory", "the image's"])
def test_directories_that_are_closed(
    rootfs: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    """The root of the user namespace may not search them; a hook begins in the container's root all the same."""
    place = tmp_path / "closed"
    place.mkdir(0o700)
    image = rootfs
    if closed == "the image's":
        image = str(place / "rootfs")
        shutil.copytree(rootfs, image, symlinks=True)
    else:
        monkeypatch.chdir(place)
    config = owned(image, *shell("echo x >/seen"))
    config["hooks"] = {"createContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo y >by-hook"]}]}
    outcome = ocirun.run(config=config, root=root, timeout=60)
    assert (outcome.stderr, outcome.exit_code) == (b"", 0)
    assert outcome.changes is not None and outcome.changes.added == ["/by-hook", "/seen"]


def test_mount_points_and_cwd_are_made_there(rootfs: str, root: str) -> None:
    before = tree(rootfs)
    mount = {"destination": "/made/by/us", "type": "tmpfs"}
    config = ocirun.sandbox(
        rootfs, ["/bin/pwd"], cwd="/made/cwd", mounts=[mount], missing="leave out", tmp=None, disk=ROOM
    )
    outcome = ocirun.run(config=config, root=root, timeout=60)
    assert (outcome.stdout, outcome.stderr) == (b"/made/cwd\n", b"")
    assert outcome.changes is not None and "/made/by/us" in outcome.changes.added
    assert tree(rootfs) == before


@pytest.mark.parametrize(
    "script", ["cat /dev/zero > /big", "i=0; while mkdir /d$i; do i=$((i+1)); done; exit 1"], ids=["bytes", "inodes"]
)
def test_full(rootfs: str, root: str, script: str) -> None:
    outcome = ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60)
    assert (outcome.exit_code, outcome.limit) == (1, "disk"), outcome
    assert b"No space left on device" in outcome.stderr
    assert outcome.changes is not None
    assert sum(one.size for one in outcome.changes) <= ROOM and len(outcome.changes) <= 200


def test_limit_is_named_only_where_it_is_known(rootfs: str, root: str) -> None:
    for script in ("exit 1", "cat /dev/zero > /big; rm /big; exit 1", "cat /dev/zero > /big; true"):
        outcome = ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60)
        assert outcome.limit == "", script


def test_parameter_of_a_run(run: Runner, bundle: str) -> None:
    before = tree(bundle)
    outcome = run(*shell("echo x > /x && cat /proc/mounts | head -n 1"), disk=ROOM, disk_inodes=50)
    assert outcome.ok, outcome.stderr
    assert b" / overlay rw" in outcome.stdout
    assert outcome.changes is not None and "/x" in outcome.changes.added
    assert tree(bundle) == before
    assert run("/bin/true").changes is None


def test_each_run_has_its_own(rootfs: str, root: str) -> None:
    script = shell("ls /mine 2>&1; echo mine > /mine")
    judge = ocirun.Prepared(config=owned(rootfs, *script), root=root)
    for outcome in (judge.run(), judge.run(), judge.run(args=list(script)), judge.run(disk=ROOM // 2)):
        assert b"No such file" in outcome.stdout
        assert outcome.changes is not None and "/mine" in outcome.changes.added
    with ocirun.Pool(judge, size=2) as pool:
        for outcome in (pool.run(), pool.run(), asyncio.run(aio.run(pool, args=list(script)))):
            assert b"No such file" in outcome.stdout
            assert outcome.changes is not None and "/mine" in outcome.changes.added
    outcome = asyncio.run(aio.run(judge))
    assert outcome.changes is not None and "/mine" in outcome.changes.added


def test_first_run_of_a_prepared_one_has_its_own_program(rootfs: str, root: str) -> None:
    # Its filter is compiled on the way.
    judge = ocirun.Prepared(config=ocirun.sandbox(rootfs, ["/bin/false"], missing="leave out"), root=root)
    assert judge.run(args=["/bin/echo", "x"]).stdout == b"x\n"


def test_nothing_stays(rootfs: str, root: str) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    before = os.listdir("/proc/self/fd")
    for script in ("echo x > /x", "kill -9 $$"):
        ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60)
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert os.listdir("/proc/self/fd") == before


def test_more_than_is_told(rootfs: str, root: str) -> None:
    deep = "cd /tmp2; i=0; while [ $i -lt 60 ]; do mkdir $n; cd $n; i=$((i+1)); done; true"
    script = f"mkdir /tmp2; n={'x' * 200}; {deep}"
    outcome = ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60)
    assert outcome.changes is not None
    assert outcome.changes.cut and len(outcome.changes) < 30


def test_odd_names(rootfs: str, root: str) -> None:
    script = r"""printf x > "$(printf '/a\377\nb')"; mkdir '/ '"""
    outcome = ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    assert outcome.changes is not None
    assert {os.fsencode(path) for path in outcome.changes.added} >= {b"/a\xff\nb", b"/ "}


def test_what_the_guest_writes_is_not_believed(rootfs: str, root: str) -> None:
    """Marks of the overlay's own, which a program would set to have files taken for removed."""
    config = plain(rootfs, *shell("mknod /letter2 c 0 0; mknod /old/three c 0 0; echo $?"))
    outcome = ocirun.run(config=config, root=root, timeout=60)
    assert outcome.changes is not None and not outcome.changes.removed


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"disk": 0}, "disk"),
        ({"disk": "1M"}, "disk"),
        ({"disk": True}, "disk"),
        ({"disk_inodes": 5}, "disk_inodes"),
        ({"disk": 1, "disk_inodes": 0}, "disk_inodes"),
    ],
)
def test_wrong_parameters(run: Runner, rootfs: str, given: dict[str, object], name: str) -> None:
    for call in (lambda: run("/bin/true", **given), lambda: ocirun.sandbox(rootfs, ["x"], **given)):  # type: ignore[arg-type]
        with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
            call()
