"""The cache of compiled filters: used again, bounded, and believed only when nobody else can have written it."""

from __future__ import annotations

import os

import pytest

from ocirun.errors import UnsupportedError
from ocirun.execute.seccomp import compiler, filter_cache
from ocirun.host import libseccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from ocirun.execute.seccomp import program

ARGS: dict[str, Any] = {
    "default": ["SCMP_ACT_ERRNO", 1],
    "architectures": [],
    "rules": [{"place": 0, "action": ["SCMP_ACT_ALLOW", 0], "names": ["read", "no such call", "\u00e9"]}],
    "newer": "ENOSYS",
}


class Root:
    """A state root with the directory of one container; counts how often something is compiled."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        (path / "container").mkdir()
        self.fd = os.open(path / "container", os.O_RDONLY | os.O_DIRECTORY)
        self.compiled = 0
        real = compiler.compile_rules

        def counted(*args: Any) -> Any:
            self.compiled += 1
            return real(*args)

        monkeypatch.setattr(compiler, "compile_rules", counted)

    @property
    def cache(self) -> Path:
        return self.path / filter_cache.DIRECTORY

    def entry(self) -> Path:
        (found,) = self.cache.iterdir()
        return found

    def get(self, **changed: Any) -> program.Program:
        return filter_cache.compiled(self.fd, {**ARGS, **changed})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    return Root(tmp_path, monkeypatch)


def test_made_once(root: Root) -> None:
    first, second = root.get(), root.get()
    assert root.compiled == 1
    assert (first.code, first.unknown) == (second.code, second.unknown)
    assert second.unknown == ["no such call", "\u00e9"]
    assert root.cache.stat().st_mode & 0o7777 == 0o700
    assert root.entry().stat().st_mode & 0o7777 == 0o600


def test_everything_counts(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.get()
    root.get(default=["SCMP_ACT_ERRNO", 2])
    root.get(newer="")
    root.get(rules=[{**ARGS["rules"][0], "action": ["SCMP_ACT_LOG", 0]}])
    root.get(architectures=[] if os.uname().machine != "x86_64" else ["SCMP_ARCH_X86"])
    seen = root.compiled
    monkeypatch.setattr(libseccomp.load(), "version", "9.9.9")
    root.get()
    assert root.compiled == seen + 1
    kernel = os.uname()
    other = os.uname_result((*kernel[:2], "99.0", *kernel[3:]))
    monkeypatch.setattr(os, "uname", lambda: other)
    root.get()
    assert root.compiled == seen + 2


def test_what_is_refused_is_not_kept(root: Root) -> None:
    for _ in range(2):
        with pytest.raises(UnsupportedError):
            root.get(architectures=["SCMP_ARCH_NONE"])
    assert not list(root.cache.iterdir())


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "magic"])
def test_damaged_entries_are_made_again(root: Root, damage: str) -> None:
    good = root.get()
    raw = root.entry().read_bytes()
    flipped = raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:]
    root.entry().write_bytes({"cut": raw[:-8], "flip": flipped, "empty": b"", "magic": b"x" + raw[1:]}[damage])
    assert root.get().code == good.code
    assert root.compiled == 2
    root.get()
    assert root.compiled == 2


@pytest.mark.parametrize("way", ["writable", "link", "second name", "fifo", "directory"])
def test_entries_of_others_are_not_believed(root: Root, way: str, tmp_path: Path) -> None:
    root.get()
    entry = root.entry()
    if way == "writable":
        entry.chmod(0o622)
    elif way == "link":
        entry.rename(tmp_path / "elsewhere")
        entry.symlink_to(tmp_path / "elsewhere")
    elif way == "second name":
        os.link(entry, tmp_path / "second")
    else:
        entry.unlink()
        (os.mkfifo if way == "fifo" else os.mkdir)(entry)
    root.get()
    assert root.compiled == 2


@pytest.mark.parametrize("way", ["writable", "link", "file"])
def test_directory_of_others(root: Root, way: str, tmp_path: Path) -> None:
    """It is left alone, and everything works without it."""
    if way == "file":
        root.cache.write_text("mine")
    elif way == "link":
        (tmp_path / "other").mkdir(mode=0o700)
        root.cache.symlink_to(tmp_path / "other")
    else:
        root.cache.mkdir()
        root.cache.chmod(0o777)
    root.get()
    root.get()
    assert root.compiled == 2
    assert way == "file" or not list(root.cache.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_directory_of_another_user(root: Root) -> None:
    root.get()
    os.chown(root.cache, 65534, 65534)
    root.get()
    assert root.compiled == 2


def test_bounded(root: Root) -> None:
    for number in range(filter_cache.ENTRIES):
        root.cache.mkdir(mode=0o700, exist_ok=True)
        path = root.cache / f"{number:064}"
        path.touch()
        os.utime(path, (number, number))
    root.get()
    names = sorted(path.name for path in root.cache.iterdir())
    assert len(names) < filter_cache.ENTRIES
    assert f"{filter_cache.ENTRIES - 1:064}" in names
    assert f"{0:064}" not in names
    root.get()
    assert root.compiled == 1


def test_full_disk(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(filter_cache.store, "write_file", full)
    assert root.get().code
    assert root.compiled == 1
