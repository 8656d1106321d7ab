"""Snapshots of a root that is thrown away: what they hold, what begins from them, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import ocirun
from ocirun import aio
from ocirun.plan.mounts import upper
from ocirun.runs import snapshot as snapshots

from . import test_files
from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Config = dict[str, Any]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def owned(rootfs: str, *args: str) -> Config:
    """A config with a user namespace, each time of other ids."""
    return test_files.owned(rootfs, *(args or ("/bin/sleep", "1000")))


def plain(rootfs: str, *args: str) -> Config:
    """A config without one."""
    return test_files.plain(rootfs, *(args or ("/bin/sleep", "1000")))


BOTH = pytest.mark.parametrize("config", [owned, plain])
SCRIPT = """
echo new > /letter; rm /old/one; mkdir -p /new/deep; echo 12345 > /new/deep/file; ln -s /etc/passwd /new/link
ln /new/deep/file /new/second; chmod 4711 /old/two; rm -r /etc; mkdir /etc; echo x > /etc/passwd; mkfifo /new/fifo
rm -r /dir; ln -s /tmp /dir; rm /file; mkdir /file; chmod 750 /new; chown 7:8 /new/deep
dd if=/dev/zero of=/new/sparse bs=1 seek=1000000 count=1; touch -d '2001-02-03 04:05:06' /new/deep/file; chmod 1777 /new
"""
LOOK = """
cat /letter /etc/passwd; ls /old /etc /file; readlink /dir /new/link; cat /new/second
stat -c '%n %F %a %u:%g %Y' /new /new/deep /new/deep/file /new/fifo /old/two /new/sparse; stat -c %s /new/sparse
stat -c %i /new/deep/file; stat -c %i /new/second
"""


RIGHTS = ("CAP_CHOWN", "CAP_FOWNER", "CAP_FSETID", "CAP_DAC_OVERRIDE", "CAP_MKNOD", "CAP_SETFCAP")


@pytest.fixture
def session(root: str) -> Iterator[Callable[..., ocirun.Container]]:
    """Creates and starts sessions; they are deleted at the end."""
    made: list[ocirun.Container] = []
    null = os.open("/dev/null", os.O_RDWR)

    def call(config: Config, **given: Any) -> ocirun.Container:
        name, options = f"session-{os.getpid()}-{len(made)}", ocirun.CreateOptions(stdio=(null, null, null))
        made.append(ocirun.Container.create(name, config=config, root=root, options=options, **given))
        made[-1].start()
        return made[-1]

    yield call
    os.close(null)
    for one in made:
        ocirun.delete(one.id, root=root, force=True)


def able(config: Config) -> Config:
    config["process"]["capabilities"] = {name: list(RIGHTS) for name in ("bounding", "effective", "permitted")}
    return config


def text(outcome: ocirun.Outcome) -> str:
    assert outcome.ok, outcome
    return str(outcome.stdout.decode())


@BOTH
def test_what_a_snapshot_holds(
    rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container], config: Callable[..., Config]
) -> None:
    container = session(able(config(rootfs)))
    assert container.run(shell(SCRIPT)).ok
    before = text(container.run(shell(LOOK)))
    assert "/new/deep/file regular file 644 0:0 981173106" in before and "/new/deep directory 755 7:8" in before
    taken = container.snapshot(tmp_path / "taken")
    assert container.status() == "running", "it goes on"
    assert (taken.path, taken.rootfs, taken.below, taken.left_out) == (str(tmp_path / "taken"), rootfs, [], [])
    assert os.stat(taken.path).st_mode & 0o7777 == 0o700 and taken.size > 0
    assert os.stat(tmp_path / "taken" / "layer" / "new" / "sparse").st_blocks <= 16
    container.run(shell("echo later > /letter; rm -r /new"))
    # Another container, with other ids of the host where it has a user namespace.
    other = session(able(config(rootfs)), snapshot=taken)
    assert text(other.run(shell(LOOK))).split("\n")[:-3] == before.split("\n")[:-3]
    first, second = text(other.run(shell(LOOK))).split("\n")[-3:-1]
    assert first == second, "hard links stay links"
    assert container.run(["/bin/cat", "/letter"]).stdout == b"later\n"


@BOTH
def test_changes_are_told_against_the_snapshot(
    rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container], config: Callable[..., Config]
) -> None:
    container = session(able(config(rootfs)))
    container.run(shell("mkdir /a /a/b; echo 1 >/a/one; echo 2 >/a/b/two; rm /letter; rm -r /old; mkdir /old"))
    taken = container.snapshot(tmp_path / "taken")
    script = "echo x >/letter; rm /a/one; echo 3 >/a/b/two; rm -r /dir; echo y >/old/one; chmod 700 /a; echo z >/a/new"
    given = able(config(rootfs, *shell(script)))
    outcome = ocirun.run(config=given, snapshot=taken, root=root, timeout=60)
    assert outcome.changes is not None and outcome.ok, outcome.stderr
    assert outcome.changes.added == ["/a/new", "/letter", "/old/one"]
    assert outcome.changes.changed == ["/a", "/a/b/two"]
    assert outcome.changes.removed == ["/a/one", "/dir"]
    again = ocirun.run(config=able(config(rootfs, *shell("rm -r /a; mkdir /a"))), snapshot=taken, root=root)
    assert again.changes is not None
    assert (again.changes.removed, again.changes.changed) == (["/a/b", "/a/one"], [])


def test_everything_begins_from_one(rootfs: str, root: str, session: Callable[..., ocirun.Container]) -> None:
    container = session(owned(rootfs))
    container.put("/work/x", b"saved")
    with container.snapshot() as taken:
        container.delete(force=True)
        config = owned(rootfs, *shell("cat /work/x; echo more >> /work/x"))
        outcomes = [
            ocirun.run(config=config, snapshot=taken, root=root),
            ocirun.run(config=config, snapshot=taken.path, root=root),
            ocirun.run(config=config, snapshot=Path(taken.path), root=root),
            asyncio.run(aio.run(config=config, snapshot=taken, root=root)),
            ocirun.Prepared(config=config, snapshot=taken, root=root).run(),
            ocirun.Prepared(config=config, root=root).run(snapshot=taken),
        ]
        judge = ocirun.Prepared(config=config, snapshot=taken, root=root)
        outcomes += [judge.run(), judge.run(args=config["process"]["args"])]
        with ocirun.Pool(judge, size=1) as pool:
            outcomes.append(pool.run())
        assert [one.stdout for one in outcomes] == [b"saved"] * len(outcomes)
        plan = ocirun.Prepared(config=config, root=root).plan(snapshot=taken)
        layers = [op for op in plan.ops if op.pointer == "/annotations/org.ocirun.root.layers"]
        assert [op.args["path"] for op in layers if op.name == "open_source"] == [f"{taken.path}/layer"]
    assert not os.path.exists(taken.path)
    assert "taken" not in os.listdir(root) and not os.path.exists(os.path.join(root, container.id))


def test_chain(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    container = session(plain(rootfs))
    taken: list[ocirun.Snapshot] = []
    for number in range(40):
        container.run(shell(f"echo {number} > /n{number}; echo {number} > /last; rm -f /n{number - 2}"))
        taken.append(container.snapshot(tmp_path / str(number)))
        container.delete(force=True)
        container = session(plain(rootfs), snapshot=taken[-1])
    assert container.run(shell("ls / | grep '^n[0-9]'; cat /last")).stdout == b"n38\nn39\n39\n"
    assert taken[39].below == [one.path for one in reversed(taken[:39])]
    assert [len(ocirun.Snapshot(one.path).layers) for one in taken] == list(range(1, 41))
    earlier = ocirun.run(config=plain(rootfs, *shell("ls / | grep '^n[0-9]'; cat /last")), snapshot=taken[3], root=root)
    assert earlier.stdout == b"n2\nn3\n3\n"
    taken[5].delete()
    for damaged in taken[5:7]:
        with pytest.raises(ocirun.UsageError, match=r"^snapshot: .*is not there"):
            ocirun.run(config=plain(rootfs, "/bin/true"), snapshot=damaged.path, root=root)


def test_too_many(rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container], monkeypatch: Any) -> None:
    first = session(plain(rootfs))
    begun = session(plain(rootfs), snapshot=first.snapshot(tmp_path / "one"))
    monkeypatch.setattr(upper, "MOST_LAYERS", 1)
    with pytest.raises(ocirun.UsageError, match=r"^snapshot: the container began from 1 snapshots, one on the other"):
        begun.snapshot(tmp_path / "two")
    assert os.listdir(tmp_path).count("two") == 0 and begun.status() == "running"


def test_commit_takes_all_over(
    rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]
) -> None:
    container = session(owned(rootfs))
    container.run(shell("echo 1 > /one; rm /letter; rm -r /dir; mkdir /dir"))
    taken = container.snapshot(tmp_path / "taken")
    config = owned(rootfs, *shell("echo 2 > /two; rm /file; cat /one"))
    kept = ocirun.run(config=config, snapshot=taken, root=root, keep=str(tmp_path / "kept"))
    assert kept.ok and sorted(os.listdir(tmp_path / "kept"))[-1] == "two" and "one" not in os.listdir(tmp_path / "kept")
    assert ocirun.run(config=config, snapshot=taken, root=root, commit=True).ok
    image = Path(rootfs)
    assert ((image / "one").read_text(), (image / "two").read_text()) == ("1\n", "2\n")
    assert not (image / "letter").exists() and not (image / "file").exists() and not os.listdir(image / "dir")
    assert (image / "one").stat().st_uid == 0


@BOTH
def test_hostile_content(
    rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container], config: Callable[..., Config]
) -> None:
    """Links lead nowhere, devices stay behind, and what a guest calls a mark of the overlay is none."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    container = session(able(config(rootfs)))
    script = f"""
rm -r /dir; ln -s {outside} /dir; ln -s / /slash; ln -s {outside}/kept /letter2; mknod /letter3 c 0 0; echo $?
mknod /null c 1 3; rm /file; mknod /file b 8 0; mknod /old/one2 c 1 5; mkdir -p /x/..a; echo > '/x/ . '; ln -s . /self
d=/deep; for i in 1 2 3 4 5 6 7 8; do d=$d/{"n" * 200}; done; mkdir -p $d; echo bottom > $d/file
"""
    container.run(shell(script))
    taken = container.snapshot(tmp_path / "taken")
    assert not [path for path, _ in taken.left_out if path not in ("/null", "/file", "/old/one2")]
    look = shell(
        "readlink /dir; readlink /slash; readlink /self; ls -a /x; ls /null /file; ls /letter3; cat /deep/*/*/*/*/*/*/*/*/file"
    )
    begun = ocirun.run(config=config(rootfs, *look), snapshot=taken, root=root)
    assert begun.stdout.startswith(f"{outside}\n/\n.\n".encode()) and begun.stdout.endswith(b"bottom\n")
    if config is plain:
        assert sorted(path for path, _ in taken.left_out) == ["/file", "/null", "/old/one2"]
        assert b"/null" not in begun.stdout and b"/file\n" not in begun.stdout, "of the image neither"
    assert os.listdir(outside) == ["kept"] and (outside / "kept").read_bytes() == b"kept"
    for folder, folders, files in os.walk(tmp_path / "taken"):
        for name in (*folders, *files):
            status = os.lstat(os.path.join(folder, name))
            assert not status.st_rdev, name
    taken.delete()
    assert os.listdir(outside) == ["kept"]


@BOTH
def test_attributes(
    rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container], config: Callable[..., Config]
) -> None:
    """Extended attributes, capabilities of files, and access lists have the ids of the new container."""
    container = session(able(config(rootfs)))
    assert container.run(shell("echo x > /x; mkdir /d; echo > /d/y")).ok
    where = Path(f"/proc/{container.pid}/root")
    first = (container.base_process() and json.loads(Path(root, container.id, "config.json").read_text()))["linux"].get(
        "uidMappings", [{"hostID": 0}]
    )[0]["hostID"]
    entry = b"".join(
        number.to_bytes(2, "little") + b"\x06\x00" + owner.to_bytes(4, "little")
        for number, owner in ((1, 0xFFFFFFFF), (2, first + 5), (4, 0xFFFFFFFF), (16, 0xFFFFFFFF), (32, 0xFFFFFFFF))
    )
    capability = bytes.fromhex("01000003" + "00040000" + "00" * 12) + first.to_bytes(4, "little")
    os.setxattr(where / "x", "system.posix_acl_access", b"\x02\0\0\0" + entry)
    os.setxattr(where / "x", "user.mine", b"value")
    os.setxattr(where / "d", "user.mine", b"directory")
    os.setxattr(where / "x", "security.capability", capability)
    taken = container.snapshot(tmp_path / "taken")
    assert taken.left_out == []
    other = session(able(config(rootfs)), snapshot=taken)
    second = json.loads(Path(root, other.id, "config.json").read_text())["linux"].get("uidMappings", [{"hostID": 0}])[
        0
    ]["hostID"]
    there = Path(f"/proc/{other.pid}/root")
    assert os.getxattr(there / "x", "user.mine") == b"value"
    assert os.getxattr(there / "d", "user.mine") == b"directory"
    acl = os.getxattr(there / "x", "system.posix_acl_access")
    assert int.from_bytes(acl[16:20], "little") == second + 5
    found = os.getxattr(there / "x", "security.capability")
    if second:
        assert found[:4] == bytes.fromhex("01000003") and int.from_bytes(found[20:], "little") == second
    else:
        assert found[4:20] == capability[4:20]
    script = shell("stat -c %a /x; getfattr -n user.mine /x 2>/dev/null; true")
    assert text(other.run(script)).startswith("666")


def test_of_another_image(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    taken = session(owned(rootfs)).snapshot(tmp_path / "taken")
    other = Path(rootfs).parent / "other"
    shutil.copytree(rootfs, other, symlinks=True)
    with pytest.raises(ocirun.UsageError, match=r"^snapshot: .* is of another root file system"):
        ocirun.run(config=owned(str(other), "/bin/true"), snapshot=taken, root=root)
    with pytest.raises(ocirun.UsageError, match=r"^snapshot: .* belong to ids of another user namespace"):
        ocirun.run(config=plain(rootfs, "/bin/true"), snapshot=taken, root=root)
    with pytest.raises(ocirun.UsageError, match=r"^snapshot: is for a root that is thrown away"):
        ocirun.run(config=ocirun.sandbox(rootfs, ["/bin/true"], missing="leave out"), snapshot=taken, root=root)
    os.rename(rootfs, f"{rootfs}.moved")  # it is the image still
    assert ocirun.run(config=owned(f"{rootfs}.moved", "/bin/true"), snapshot=taken, root=root).ok


def test_damaged(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    taken = session(owned(rootfs)).snapshot(tmp_path / "taken")
    about = (tmp_path / "taken" / "snapshot.json").read_text()

    def refused(pattern: str) -> None:
        for call in (
            lambda: ocirun.Snapshot(taken.path),
            lambda: ocirun.run(config=owned(rootfs, "/bin/true"), snapshot=taken, root=root),
        ):
            with pytest.raises(ocirun.UsageError, match=pattern):
                call()

    for damage in (
        "",
        "{}",
        "[]",
        about[:50],
        about.replace('"image"', '"imag"'),
        about.replace('"version":1', '"version":2', 1),
    ):
        (tmp_path / "taken" / "snapshot.json").write_text(damage)
        refused(r"^snapshot: .* is damaged: ")
    (tmp_path / "taken" / "snapshot.json").unlink()
    refused("unfinished")
    (tmp_path / "taken" / "snapshot.json").write_text(about)
    os.chmod(taken.path, 0o777)
    refused("others may write to it")
    os.chmod(taken.path, 0o700)
    os.rename(tmp_path / "taken" / "layer", tmp_path / "elsewhere")
    refused("layer is not there")
    (tmp_path / "taken" / "layer").symlink_to(tmp_path / "elsewhere")
    refused("layer is no directory")


@pytest.mark.parametrize("value", [5, b"x", "", "a\0b", True, ["x"]])
def test_wrong_parameters(rootfs: str, root: str, session: Callable[..., ocirun.Container], value: object) -> None:
    with pytest.raises(ocirun.UsageError, match=r"^snapshot: "):
        ocirun.run(config=owned(rootfs, "/bin/true"), snapshot=value, root=root)  # type: ignore[arg-type]
    container = session(owned(rootfs))
    with pytest.raises(ocirun.UsageError, match=r"^path: "):
        container.snapshot(value)  # type: ignore[arg-type]
    with pytest.raises(ocirun.UsageError, match=r"^live: "):
        container.snapshot(live=1)  # type: ignore[arg-type]


def test_where_it_cannot_be(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    container = session(owned(rootfs))
    (tmp_path / "there").mkdir()
    with pytest.raises(ocirun.UsageError, match=r"^path: .* is there already"):
        container.snapshot(tmp_path / "there")
    with pytest.raises(ocirun.HostError, match=r"^path: .*no such file"):
        container.snapshot(tmp_path / "no" / "where")
    with pytest.raises(ocirun.UsageError, match="create the container here"):
        ocirun.Container.load(container.id, root=root).snapshot(tmp_path / "x")
    assert container.status() == "running" and sorted(os.listdir(tmp_path)) == ["root", "there"]
    assert "snapshot" not in os.listdir(f"{root}/{container.id}")


def test_no_room(rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    """A failure on the way leaves nothing, and the container goes on."""
    container = session(owned(rootfs))
    container.put("/big", b"x" * 600_000)
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(place)], check=True)
    try:
        with pytest.raises(ocirun.HostError, match=r"^snapshot to .*no space left on device"):
            container.snapshot(place / "taken")
        assert os.listdir(place) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert container.status() == "running"


@pytest.mark.parametrize(("blocks", "entries"), [(1, 1000), (1000, 1)])
def test_more_than_there_can_be(
    rootfs: str,
    tmp_path: Path,
    session: Callable[..., ocirun.Container],
    monkeypatch: pytest.MonkeyPatch,
    blocks: int,
    entries: int,
) -> None:
    """A program that goes on may move its files to where they are looked for next: they must not fill the host's disk."""
    container = session(owned(rootfs))
    for number in range(5):
        container.put(f"/big{number}", b"x" * 4096)
    room = SimpleNamespace(f_blocks=blocks, f_bfree=0, f_frsize=4096, f_files=entries, f_ffree=0)
    monkeypatch.setattr(os, "fstatvfs", lambda fd: room)
    with pytest.raises(ocirun.HostError, match="more than the container can have"):
        container.snapshot(tmp_path / "taken", live=True)
    assert not (tmp_path / "taken").exists()


def test_a_path_that_nobody_can_name(rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    container = session(owned(rootfs))
    name = "n" * 200
    container.run(shell(f"mkdir /x; cd /x; i=0; while [ $i -lt 30 ]; do mkdir {name}; cd {name}; i=$((i+1)); done"))
    with pytest.raises(ocirun.HostError, match=r"^snapshot to .*file name too long"):
        container.snapshot(tmp_path / "taken")
    assert not (tmp_path / "taken").exists() and container.status() == "running"


def test_states(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    """Of a paused container, which stays paused; of one that has stopped; of one that is gone."""
    container = session(owned(rootfs))
    container.put("/x", b"x")
    container.pause()
    container.snapshot(tmp_path / "1")
    assert container.status() == "paused"
    container.resume()
    container.kill(9)
    container.wait(10)
    container.snapshot(tmp_path / "2")
    container.delete()
    with pytest.raises(ocirun.ContainerNotFoundError):
        container.snapshot(tmp_path / "3")
    for name in ("1", "2"):
        assert (tmp_path / name / "layer" / "x").read_bytes() == b"x"
    created = ocirun.Container.create("made", config=owned(rootfs, "/bin/true"), root=root, files={"/y": b"y"})
    with created:
        assert (Path(created.snapshot(tmp_path / "4").path) / "layer" / "y").read_bytes() == b"y"
        assert created.status() == "created"


def test_frozen_meanwhile(
    rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    container = session(owned(rootfs))
    seen = []
    saved = snapshots.saved

    def looks(*given: Any) -> ocirun.Snapshot:
        seen.append(container.status())
        return saved(*given)

    monkeypatch.setattr(snapshots, "saved", looks)
    container.snapshot(tmp_path / "1")
    container.snapshot(tmp_path / "2", live=True)
    assert seen == ["paused", "running"] and container.status() == "running"


def test_nobody_lets_it_go_on_meanwhile(
    rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was paused already, and another thread resumes it: that is done when the snapshot is."""
    container = session(owned(rootfs))
    container.pause()
    resuming = threading.Thread(target=container.resume)
    seen: list[str] = []
    saved = snapshots.saved

    def slowly(*given: Any) -> Any:
        resuming.start()
        resuming.join(0.3)
        seen.append(container.status())
        return saved(*given)

    monkeypatch.setattr(snapshots, "saved", slowly)
    container.snapshot(tmp_path / "taken").delete()
    resuming.join()
    assert (seen, container.status()) == (["paused"], "running")


def test_without_a_group(rootfs: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    config = ocirun.sandbox(
        rootfs, ["sleep", "9"], disk=1 << 20, memory=None, pids=None, cpus=None, cgroup_manager="disabled"
    )
    container = session(config, cgroup_manager="disabled")
    container.put("/x", b"x")
    with pytest.raises(ocirun.StateError, match=r"^snapshot: .*cgroup") as caught:
        container.snapshot(tmp_path / "taken")
    assert "live=True" in caught.value.remedy and not (tmp_path / "taken").exists()
    assert (Path(container.snapshot(tmp_path / "taken", live=True).path) / "layer" / "x").read_bytes() == b"x"


def test_deleting(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    container = session(owned(rootfs))
    taken = container.snapshot(tmp_path / "taken")
    taken.delete()
    taken.delete()
    other = container.snapshot(tmp_path / "taken")
    with pytest.raises(ocirun.UsageError, match="is another snapshot now"):
        taken.delete()
    other.delete()
    assert not (tmp_path / "taken").exists()


def test_nothing_stays_open(rootfs: str, root: str, tmp_path: Path, session: Callable[..., ocirun.Container]) -> None:
    container = session(owned(rootfs))
    before, mounts = os.listdir("/proc/self/fd"), Path("/proc/self/mountinfo").read_text()
    taken = container.snapshot(tmp_path / "taken")
    for script in ("echo x > /x", "kill -9 $$"):
        ocirun.run(config=owned(rootfs, *shell(script)), snapshot=taken, root=root)
    with pytest.raises(ocirun.UsageError):
        container.snapshot(tmp_path / "taken")
    assert os.listdir("/proc/self/fd") == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
