"""Ids, the state root, and files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from ocirun.errors import (
    ContainerExistsError,
    ContainerNotFoundError,
    HostError,
    InvalidIdError,
    StateDamagedError,
)
from ocirun.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def directory(root: str) -> Iterator[int]:
    fd = store.reserve(root, "c1")
    yield fd
    os.close(fd)


@pytest.mark.parametrize("name", ["a", "A-b_c+d.e", "...", ".hidden", "-", "0", "a" * 255, "..a"])
def test_good_ids(name: str) -> None:
    assert store.check_id(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/", "a\n", "\n", "a\0", " a", "a ", "a:b", "a,b", "%s~", "ä", "\u0661", "a" * 256),
        *("a\\b", "..\u2024", "a\udc80", "a@b", "$(x)"),
    ],
)
def test_bad_ids(name: str, root: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        store.check_id(name)
    assert "\n" not in caught.value.line()
    assert caught.value.line().isascii()
    with pytest.raises(InvalidIdError):
        store.open_container(root, name)


def test_bad_id_text_is_short() -> None:
    with pytest.raises(InvalidIdError) as caught:
        store.check_id("/" * 100000)
    assert len(caught.value.line()) < 300


@pytest.mark.parametrize("umask", [0, 0o22, 0o77, 0o777])
def test_modes_whatever_the_umask(root: str, umask: int) -> None:
    if umask == 0o777 and os.geteuid() != 0:
        pytest.skip("only root can open a directory that it made with this umask")
    old = os.umask(umask)
    try:
        fd = store.reserve(root, "c1")
        store.write_file(fd, "state.json", b"{}")
    finally:
        os.umask(old)
    assert os.stat(root).st_mode & 0o7777 == 0o1700
    assert os.fstat(fd).st_mode & 0o7777 == 0o711
    assert os.stat(f"{root}/c1/state.json").st_mode & 0o7777 == 0o600
    os.close(fd)


def test_missing_parents_of_the_root_are_made(tmp_path: Path) -> None:
    os.close(store.reserve(str(tmp_path / "a" / "b" / "c"), "x"))
    assert (tmp_path / "a" / "b" / "c" / "x").is_dir()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702, 0o720])
def test_root_that_others_can_write_to(root: str, mode: int) -> None:
    os.mkdir(root)
    os.chmod(root, mode)
    for call in (store.open_root, lambda path: store.reserve(path, "x"), lambda path: store.open_container(path, "x")):
        with pytest.raises(HostError) as caught:
            call(root)
        assert "state root" in caught.value.message
        assert caught.value.remedy
    assert not os.listdir(root)


def test_root_of_somebody_else(root: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a directory away")
    os.mkdir(root, 0o700)
    os.chown(root, 65534, 65534)
    with pytest.raises(HostError, match="belongs to uid 65534"):
        store.open_root(root)


def test_root_behind_a_link(root: str, tmp_path: Path) -> None:
    """/var/run is one on every host; what it leads to is checked."""
    os.close(store.reserve(root, "x"))
    link = str(tmp_path / "link")
    os.symlink(root, link)
    os.close(store.open_container(link, "x"))
    os.chmod(root, 0o777)
    with pytest.raises(HostError):
        store.open_container(link, "x")


@pytest.mark.parametrize("kind", ["file", "fifo", "loop"])
def test_root_that_is_no_directory(root: str, kind: str) -> None:
    if kind == "file":
        open(root, "w").close()
    elif kind == "fifo":
        os.mkfifo(root)
    else:
        os.symlink(root, root)
    with pytest.raises(HostError):
        store.open_root(root)
    with pytest.raises(HostError):
        store.reserve(root, "x")


def test_reserve_once(root: str) -> None:
    os.close(store.reserve(root, "x"))
    with pytest.raises(ContainerExistsError, match="container with given ID already exists"):
        store.reserve(root, "x")


def test_reserve_in_a_race(root: str) -> None:
    os.close(store.reserve(root, "first"))
    won = []

    def take() -> None:
        try:
            os.close(store.reserve(root, "x"))
        except ContainerExistsError:
            return
        won.append(1)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_unknown_container(root: str) -> None:
    with pytest.raises(ContainerNotFoundError, match="container does not exist"):
        store.open_container(root, "x")
    os.close(store.reserve(root, "y"))
    with pytest.raises(ContainerNotFoundError):
        store.open_container(root, "x")


def test_container_that_is_a_link(root: str, tmp_path: Path) -> None:
    os.close(store.reserve(root, "y"))
    os.symlink(str(tmp_path), f"{root}/x")
    with pytest.raises(StateDamagedError):
        store.open_container(root, "x")


def test_write_replaces_at_once(directory: int, root: str) -> None:
    """A reader sees the old file or the new one, whole, at every moment."""
    texts = {bytes([letter]) * 50000 for letter in b"abc"}
    store.write_file(directory, "f", min(texts))
    stop, wrong = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            got = store.read_file(directory, "f")
            if got not in texts:
                wrong.append(len(got))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(60):
        for text in texts:
            store.write_file(directory, "f", text)
    stop.set()
    reader.join()
    assert not wrong
    assert os.listdir(f"{root}/c1") == ["f"]


@pytest.mark.parametrize("call", ["write", "rename", "fchmod"])
def test_failed_write_leaves_the_old_file(
    directory: int, root: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    store.write_file(directory, "f", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="full"):
            store.write_file(directory, "f", b"new")
    assert store.read_file(directory, "f") == b"old"
    assert os.listdir(f"{root}/c1") == ["f"]


def test_planted_temporary_name(directory: int, root: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("safe")
    os.symlink(canary, f"{root}/c1/.f.{os.getpid()}")
    store.write_file(directory, "f", b"new")
    assert canary.read_text() == "safe"
    assert store.read_file(directory, "f") == b"new"


def test_planted_file_is_a_link_or_a_fifo(directory: int, root: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("safe")
    os.symlink(canary, f"{root}/c1/state.json")
    os.mkfifo(f"{root}/c1/fifo")
    with pytest.raises(OSError, match="symbolic"):
        store.read_file(directory, "state.json")
    assert store.read_file(directory, "fifo") == b"", "it does not wait for a writer"
    store.write_file(directory, "state.json", b"new")
    assert canary.read_text() == "safe"


def test_reading_has_a_limit(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_FILE_MAX", 1000)
    store.write_file(directory, "f", b"x" * 5000)
    assert len(store.read_file(directory, "f")) == 1000


def test_remove(root: str, tmp_path: Path) -> None:
    fd = store.reserve(root, "x")
    store.write_file(fd, "state.json", b"{}")
    os.mkdir("notify", dir_fd=fd)
    os.close(fd)
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "keep").touch()
    (tmp_path / "root" / "x" / "notify" / "socket").touch()
    os.symlink(canary, f"{root}/x/link")
    os.symlink(canary, f"{root}/x/notify/link")
    store.remove(root, "x")
    assert os.listdir(root) == []
    assert (canary / "keep").exists()
    store.remove(root, "x")


def test_remove_however_deep(root: str) -> None:
    """More levels than descriptors, and than a path can have."""
    os.close(store.reserve(root, "x"))
    here = os.open(f"{root}/x", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d" * 20, dir_fd=here)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    before = os.listdir("/proc/self/fd")
    store.remove(root, "x")
    assert os.listdir(root) == [] and os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("kind", ["file", "link", "fifo"])
def test_something_else_in_place_of_the_directory(root: str, tmp_path: Path, kind: str) -> None:
    """It takes the id, so it must be told of, and can be removed."""
    os.close(store.reserve(root, "y"))
    target = tmp_path / "target"
    target.mkdir()
    if kind == "link":
        os.symlink(target, f"{root}/x")
    else:
        os.mknod(f"{root}/x", 0o600 | (stat.S_IFIFO if kind == "fifo" else stat.S_IFREG))
    with pytest.raises(StateDamagedError, match="is no directory"):
        store.open_container(root, "x")
    with pytest.raises(ContainerExistsError):
        store.reserve(root, "x")
    store.remove(root, "x")
    assert os.listdir(root) == ["y"] and target.is_dir()


def test_list(root: str) -> None:
    assert store.ids(root) == []
    with pytest.raises(HostError, match="no such file"):
        store.ids(root, must_exist=True)
    for name in ("b", "a"):
        os.close(store.reserve(root, name))
    os.mkdir(f"{root}/not an id")
    assert store.ids(root) == ["a", "b"]


def test_descriptors_are_closed(root: str) -> None:
    before = os.listdir("/proc/self/fd")
    os.close(store.reserve(root, "x"))
    for action in (
        lambda: store.reserve(root, "x"),
        lambda: store.open_container(root, "nope"),
        lambda: store.open_root(root + "/x/y"),
    ):
        with pytest.raises((ContainerExistsError, ContainerNotFoundError, HostError)):
            action()
    store.remove(root, "x")
    store.ids(root)
    assert os.listdir("/proc/self/fd") == before
