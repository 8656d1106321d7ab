"""What stays of a root that is thrown away, where it is asked for: a copy, or the changes taken over by the image."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import ocirun
from ocirun import aio

from .conftest import AS_ORDINARY, shell
from .test_files import owned, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Config = dict[str, Any]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

USER = 23500
BOTH = pytest.mark.parametrize("config", [owned, plain])
SCRIPT = """
echo new > /letter; rm /old/one; mkdir -p /new/deep; echo 12345 > /new/deep/file; ln -s /etc/passwd /new/link
ln /new/deep/file /new/second; chmod 640 /old/two; rm -r /etc; mkdir /etc; echo x > /etc/passwd; mkfifo /new/fifo
rm -r /dir; ln -s /tmp /dir; rm /file; mkdir /file; chmod 700 /new; dd if=/dev/zero of=/new/sparse bs=1 seek=1000000 count=1
touch /new/set; chmod 6755 /new/set
"""


def seen(top: str) -> dict[str, tuple[str, str]]:
    """Path -> kind, and content or target."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            what = os.readlink(path) if stat.S_ISLNK(mode) else ""
            if stat.S_ISREG(mode):
                what = Path(path).read_bytes()[:20].decode()
            found[path[len(top) :]] = (stat.filemode(mode), what)
    return found


KEPT = {
    "/letter": ("-rw-r--r--", "new\n"),
    "/new/deep/file": ("-rw-r--r--", "12345\n"),
    "/new/second": ("-rw-r--r--", "12345\n"),
    "/new/link": ("lrwxrwxrwx", "/etc/passwd"),
    "/new": ("drwx------", ""),
    "/new/fifo": ("prw-r--r--", ""),
    "/new/set": ("-rwxr-xr-x", ""),
    "/old/two": ("-rw-r-----", "two"),
    "/etc/passwd": ("-rw-r--r--", "x\n"),
    "/dir": ("lrwxrwxrwx", "/tmp"),
    "/file": ("drwxr-xr-x", ""),
}


@BOTH
def test_keep(rootfs: str, root: str, tmp_path: Path, config: Callable[..., Config]) -> None:
    before = seen(rootfs)
    there = str(tmp_path / "kept")
    outcome = ocirun.run(config=config(rootfs, *shell(SCRIPT)), keep=there, root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    found = seen(there)
    assert {path: found[path] for path in KEPT} == KEPT
    assert not {"/old/one", "/untouched", "/etc/group"} & set(found)
    pair = [os.stat(there + path) for path in ("/new/deep/file", "/new/second")]
    assert pair[0].st_ino == pair[1].st_ino
    sparse = os.stat(there + "/new/sparse")
    assert (sparse.st_size, sparse.st_blocks < 100) == (1_000_001, True)
    assert ("/new/set", "set-user-ID or set-group-ID") in outcome.left_out
    assert {os.lstat(there + path).st_uid for path in found} == {0}, "they are the caller's"
    assert stat.S_IMODE(os.stat(there).st_mode) == 0o700
    assert seen(rootfs) == before


@BOTH
def test_commit(rootfs: str, root: str, config: Callable[..., Config]) -> None:
    outside = Path(rootfs).parent / "outside"
    outside.mkdir()
    outcome = ocirun.run(config=config(rootfs, *shell(SCRIPT)), commit=True, root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    found = seen(rootfs)
    assert {path: found[path] for path in KEPT} == KEPT
    assert not {"/old/one", "/etc/group", "/dir/one"} & set(found)
    assert found["/untouched"] == ("-rw-r--r--", "as it was")
    assert {os.lstat(rootfs + path).st_uid for path in found} == {0}, "root inside is who the image belongs to"
    # What the next run sees is what the first has left; it changes nothing more.
    again = ocirun.run(config=config(rootfs, *shell("cat /letter /etc/passwd; ls /old")), root=root, timeout=60)
    assert again.stdout == b"new\nx\ntwo\n"


def test_commit_of_other_owners(rootfs: str, root: str) -> None:
    for config in (owned, plain):
        given = config(rootfs, *shell("cat /work/a"), user=(1000, 1000))
        outcome = ocirun.run(config=given, files={"/work/a": b"a"}, commit=True, root=root, timeout=60)
        assert os.stat(f"{rootfs}/work/a").st_uid == 1000, outcome


def test_only_success_is_committed(rootfs: str, root: str) -> None:
    before = seen(rootfs)
    outcome = ocirun.run(config=owned(rootfs, *shell("rm /letter; exit 1")), commit=True, root=root, timeout=60)
    assert outcome.exit_code == 1 and seen(rootfs) == before


def test_hostile_tree(rootfs: str, root: str, tmp_path: Path) -> None:
    """Links where there were directories: what is below them in the layer must not be written through them."""
    outside = Path(rootfs).parent / "outside"
    outside.mkdir()
    (outside / "canary").write_bytes(b"host")
    (Path(rootfs) / "way").symlink_to(outside)
    script = f"rm /way; mkdir /way; echo x > /way/canary; rm -r /old; ln -s {outside} /old; rm -r /dir; ln -s / /dir"
    for given in ({"keep": str(tmp_path / "kept")}, {"commit": True}):
        outcome = ocirun.run(config=owned(rootfs, *shell(script)), root=root, timeout=60, **given)  # type: ignore[arg-type]
        assert outcome.ok, outcome.stderr
        assert (outside / "canary").read_bytes() == b"host" and len(list(outside.iterdir())) == 1
    assert Path(rootfs, "way").is_dir() and not Path(rootfs, "way").is_symlink()
    again = ocirun.run(
        config=owned(rootfs, *shell("rm /old; mkdir /old; echo y > /old/canary")), commit=True, root=root, timeout=60
    )
    assert again.ok and (outside / "canary").read_bytes() == b"host"
    assert seen(rootfs)["/old/canary"] == ("-rw-r--r--", "y\n")


# A directory deeper than a path can name, and a file that is too large for most file systems, with two names.
UNFIT = """
mkdir /end; truncate -s 4611686018427387904 /end/huge; ln /end/huge /end/more; echo x > /end/rest
name=$(printf %0250d 0); i=0; while [ $i -lt 14 ]; do mkdir $name; cd $name; i=$((i + 1)); done
mkdir -p $name/$name/$name; echo x > $name/$name/$name/file
"""


def test_what_no_file_system_takes_does_not_cost_the_rest(rootfs: str, root: str, tmp_path: Path) -> None:
    for top, given in ((str(tmp_path / "kept"), {"keep": str(tmp_path / "kept")}), (rootfs, {"commit": True})):
        config = owned(rootfs, *shell(UNFIT), file_size=None)
        outcome = ocirun.run(config=config, root=root, timeout=60, **given)  # type: ignore[arg-type]
        assert outcome.ok and outcome.changes is not None and outcome.changes.cut, outcome.stderr
        assert Path(top, "end", "rest").read_bytes() == b"x\n"
        left_out = {path.rpartition("/")[2]: why for path, why in outcome.left_out}
        assert "deeper than a path can name" in left_out.values()
        for name in ("huge", "more"):
            assert (left_out.get(name) == "too large for the file system") is not Path(top, "end", name).exists()


def test_more_links_than_a_file_may_have(
    rootfs: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def few(source: str, *rest: Any, src_dir_fd: int, **more: Any) -> None:
        if os.stat(source, dir_fd=src_dir_fd).st_nlink == 2:
            raise OSError(errno.EMLINK, "too many links")
        link(source, *rest, src_dir_fd=src_dir_fd, **more)

    monkeypatch.setattr(os, "link", few)
    config = owned(rootfs, *shell("echo x > /1; for i in 2 3 4 5; do ln /1 /$i; done"))
    outcome = ocirun.run(config=config, keep=str(tmp_path / "kept"), root=root, timeout=60)
    files = [tmp_path / "kept" / str(number) for number in range(1, 6)]
    assert outcome.ok and {file.read_bytes() for file in files} == {b"x\n"}
    assert sorted(file.stat().st_nlink for file in files) == [1, 2, 2, 2, 2]


def test_what_is_refused(rootfs: str, root: str, tmp_path: Path) -> None:
    config = owned(rootfs, "/bin/true")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "full")
    for name in ("full", "file", "link"):
        with pytest.raises(ocirun.UsageError, match=r"^keep: "):
            ocirun.run(config=config, keep=str(tmp_path / name), root=root)
    with pytest.raises(ocirun.UsageError, match=r"^keep: "):
        ocirun.run(config=config, keep=3, root=root)  # type: ignore[arg-type]
    for given in ({"keep": str(tmp_path / "new")}, {"commit": True}):
        with pytest.raises(ocirun.UsageError, match=f"^{next(iter(given))}: is for a root that is thrown away"):
            ocirun.run(config=ocirun.sandbox(rootfs, ["x"], missing="leave out"), root=root, **given)  # type: ignore[arg-type]
    with pytest.raises(ocirun.HostError):
        ocirun.run(config=config, keep=str(tmp_path / "no" / "such"), root=root)
    assert not (tmp_path / "new").exists()


def test_of_prepared_runs(rootfs: str, root: str, tmp_path: Path) -> None:
    judge = ocirun.Prepared(config=owned(rootfs, *shell("echo x > /x")), root=root)
    judge.run(keep=str(tmp_path / "a"))
    asyncio.run(aio.run(judge, keep=str(tmp_path / "b")))
    asyncio.run(aio.run(config=owned(rootfs, *shell("echo x > /x")), keep=str(tmp_path / "c"), root=root))
    assert [(tmp_path / name / "x").read_bytes() for name in "abc"] == [b"x\n"] * 3


def test_of_a_container(rootfs: str, root: str, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    config = owned(rootfs, "/bin/sleep", "60")
    with ocirun.Container.create("kept", config=config, root=root) as container:
        container.start()
        container.put("/made", b"by put")
        assert container.run(list(shell("rm /letter"))).ok
        with pytest.raises(ocirun.StateError, match="running"):
            container.changes()
        container.pause()
        assert (container.changes().added, container.changes().removed) == (["/made"], ["/letter"])
        container.resume()
        other = ocirun.Container.load("kept", root=root)
        with pytest.raises(ocirun.UsageError):
            other.changes()
        container.kill(signal.SIGKILL)
        container.wait()
        assert container.keep(str(tmp_path / "kept")) == []
        assert (tmp_path / "kept" / "made").read_bytes() == b"by put"
        container.commit()
        assert (Path(rootfs) / "made").read_bytes() == b"by put" and not (Path(rootfs) / "letter").exists()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_layer_goes_with_the_container(rootfs: str, root: str, tmp_path: Path) -> None:
    """A handle that is kept holds neither a descriptor nor the memory."""
    config = owned(rootfs, "/bin/true")
    before = len(os.listdir("/proc/self/fd"))
    deleted = ocirun.Container.create("kept", config=config, root=root)
    assert len(os.listdir("/proc/self/fd")) == before + 1
    deleted.delete(force=True)
    assert len(os.listdir("/proc/self/fd")) == before
    with ocirun.Container.create("kept", config=config, root=root) as left:
        # Somebody else deletes it.
        ocirun.Container.load("kept", root=root).delete(force=True)
        assert left.changes().added == []
    assert len(os.listdir("/proc/self/fd")) == before
    for handle in (deleted, left):
        for use in (handle.changes, handle.commit, lambda handle=handle: handle.keep(str(tmp_path / "kept"))):
            with pytest.raises(ocirun.UsageError, match="gone with it"):
                use()
    assert not (tmp_path / "kept").exists()
    given_up = ocirun.Container.create("kept", config=config, root=root)
    del given_up
    assert len(os.listdir("/proc/self/fd")) == before
    ocirun.Container.load("kept", root=root).delete(force=True)


ORDINARY = """
script = "rm /letter; mkdir -m 700 /d; echo x > /d/x; cat /run/secrets/k /in"
config = ocirun.sandbox(rootfs, ["sh", "-c", script], disk=1 << 20, missing="leave out", seccomp=False)
given = {"files": {"/in": b"in"}, "secrets": {"k": b"secret "}, "root": where + "/state"}
outcome = ocirun.run(config=config, keep=where + "/kept", commit=True, **given)
assert outcome.stdout == b"secret in", outcome.stderr
print(outcome.changes.added, outcome.changes.removed, outcome.changes.unread)
assert open(where + "/kept/d/x").read() == open(rootfs + "/d/x").read() == "x\\n"
assert not os.path.exists(rootfs + "/letter")
config["process"]["args"] = ["sleep", "60"]
with ocirun.Container.create("ordinary", config=config, root=where + "/state") as container:
    container.start()
    container.put("/q/r", b"put", mode=0o640)
    assert container.get("/q/r") == b"put"
    print(container.run(["ls", "-ln", "/q/r"]).stdout.decode().split()[:4])
"""


def test_of_an_ordinary_user(rootfs: str) -> None:
    where = Path(rootfs).parent
    subprocess.run(["chown", "-R", f"{USER}:{USER}", where], check=True)
    ran = subprocess.run(
        [sys.executable, "-c", AS_ORDINARY + ORDINARY, rootfs, str(where), str(USER)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "['/d', '/d/x', '/in', '/run', '/run/secrets'] ['/letter'] []",
        "['-rw-r-----', '1', '0', '0']",
    ]


CLOSED = """
script = "mkdir /s; echo x > /s/in; chmod 0 /s; echo x > /closed; ln /closed /again; chmod 0 /closed; echo x > /rest"
config = ocirun.sandbox(rootfs, ["sh", "-c", script], disk=1 << 20, missing="leave out", seccomp=False)
outcome = ocirun.run(config=config, keep=where + "/kept", root=where + "/state")
print(json.dumps([outcome.ok, sorted(outcome.left_out), open(where + "/kept/rest").read(), outcome.changes.unread]))
config["process"]["args"] = ["sh", "-c", "chmod 0 /"]
for given in ({}, {"keep": where + "/none"}, {"commit": True}):
    outcome = ocirun.run(config=config, root=where + "/state", **given)
    print(json.dumps([outcome.ok, [one.path for one in outcome.changes], outcome.changes.unread, outcome.left_out]))
"""


def test_what_is_closed_to_an_ordinary_user(rootfs: str) -> None:
    where = Path(rootfs).parent
    subprocess.run(["chown", "-R", f"{USER}:{USER}", where], check=True)
    words = [sys.executable, "-c", AS_ORDINARY + CLOSED, rootfs, str(where), str(USER)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    left_out = [[path, "closed to the caller"] for path in ("/again", "/closed", "/s")]
    parts, *whole = map(json.loads, ran.stdout.splitlines())
    assert parts == [True, left_out, "x\n", ["/s"]]
    assert whole == [
        [True, ["/"], ["/"], left] for left in ([], [["/", "closed to the caller"]], [["/", "closed to the caller"]])
    ]
