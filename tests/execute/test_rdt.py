"""Groups of resctrl in a directory tree that plays the file system: what is made, compared, written, removed."""

from __future__ import annotations

import os

import pytest
from state.test_record import made as a_record

from ocirun.errors import HostError, StateDamagedError
from ocirun.execute import rdt
from ocirun.host import resctrl
from ocirun.state import record, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

THERE = "    L3:0=7ff;1=01f\n    MB:0=100;1= 20\n"


class Session:
    """As much of a session as the operations use."""

    def __init__(self, directory: int) -> None:
        self.record = a_record()
        self.directory = directory
        self.undo: list[Any] = []


class Tree:
    """A directory that behaves like resctrl: new directories have files, removed ones may."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.failure = 0
        top.mkdir()
        self.fill(top)
        (top / "info").mkdir()

    def fill(self, path: Path) -> None:
        (path / "schemata").write_text(THERE)
        (path / "tasks").write_text("")
        (path / "mon_groups").mkdir()

    def mkdir(self, path: str, mode: int) -> None:
        if self.failure:
            raise OSError(self.failure, "")
        os.mkdir(path, mode)
        self.fill(type(self.top)(path))

    def rmdir(self, path: str) -> None:
        for name in ("schemata", "tasks"):
            os.unlink(f"{path}/{name}")
        os.rmdir(f"{path}/mon_groups")
        os.rmdir(path)


class Calls:
    """The module os as rdt sees it."""

    def __init__(self, tree: Tree) -> None:
        self.mkdir, self.rmdir = tree.mkdir, tree.rmdir

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    found = Tree(tmp_path / "res ctrl")
    monkeypatch.setattr(rdt, "os", Calls(found))
    monkeypatch.setattr(resctrl, "mount_point", lambda: str(found.top))
    return found


@pytest.fixture
def session(tmp_path: Path) -> Any:
    directory = store.reserve(str(tmp_path / "root"), "c1")
    yield Session(directory)
    os.close(directory)


def text(path: Path | str, name: str = "schemata") -> str:
    with open(f"{path}/{name}", encoding="utf-8") as file:
        return file.read()


def test_new_group(tree: Tree, session: Any) -> None:
    path = f"{tree.top}/c1"
    rdt.make_group(session, path, ["L3:0=f", "MB:0=20"], existing=False)
    assert text(path).startswith("L3:0=f\nMB:0=20\n")
    # Known to whoever cleans up, also if we are killed now.
    assert record.load(session.directory, "c1").rdt == [path]
    assert record.load_spare(session.directory, "c1").rdt == [path]  # type: ignore[union-attr]
    rdt.join(path, 77)
    assert text(path, "tasks") == "77\n"
    session.undo.pop()()
    assert not os.path.exists(path)
    # A second time there is nothing to do.
    rdt.remove([path])


def test_group_without_lines_is_not_written(tree: Tree, session: Any) -> None:
    rdt.make_group(session, f"{tree.top}/c1", [], existing=False)
    assert text(f"{tree.top}/c1") == THERE


@pytest.mark.parametrize("lines", [[], ["L3:0=7ff"], ["L3:1=1f;0=7FF", "MB:1=20"], [" L3 :0=07ff"]])
def test_group_that_is_there_and_fits(tree: Tree, session: Any, lines: list[str]) -> None:
    rdt.make_group(session, str(tree.top), lines, existing=not lines)
    assert text(tree.top) == THERE
    # Not ours: neither recorded nor taken back.
    assert (session.record.rdt, session.undo) == ([], [])


@pytest.mark.parametrize("line", ["L3:0=7fe", "L3:2=1", "MB:0=10", "MB:0=64", "L2:0=1", "L3:", "L3:0=x", "nonsense"])
def test_group_that_is_there_and_differs(tree: Tree, session: Any, line: str) -> None:
    with pytest.raises(HostError, match="has other values: ") as caught:
        rdt.make_group(session, str(tree.top), ["L3:0=7ff", line], existing=False)
    assert line in caught.value.message
    assert text(tree.top) == THERE


def test_group_that_must_be_there(tree: Tree, session: Any) -> None:
    with pytest.raises(HostError, match="does not exist"):
        rdt.make_group(session, f"{tree.top}/gold", [], existing=True)
    assert not os.path.exists(f"{tree.top}/gold")


def test_no_classes_left(tree: Tree, session: Any) -> None:
    tree.failure = 28
    with pytest.raises(HostError) as caught:
        rdt.make_group(session, f"{tree.top}/c1", [], existing=False)
    assert "all classes of service" in caught.value.remedy
    assert session.record.rdt == []


def test_group_that_comes_between(tree: Tree, session: Any) -> None:
    tree.failure = 17
    os.mkdir(f"{tree.top}/other")
    with pytest.raises(HostError):
        # The comparison finds no schemata: what matters is that the group is not taken for ours.
        rdt.make_group(session, f"{tree.top}/c1", ["L3:0=1"], existing=False)
    assert (session.record.rdt, session.undo) == ([], [])


def test_the_kernels_own_words(tree: Tree) -> None:
    (tree.top / "info" / "last_cmd_status").write_text("Mask f out of range\n")
    with pytest.raises(HostError) as caught:
        rdt.write(f"{tree.top}/gone", ["L3:0=f"])
    assert caught.value.remedy == "resctrl says: Mask f out of range"
    (tree.top / "info" / "last_cmd_status").write_text("ok\n")
    with pytest.raises(HostError) as caught:
        rdt.join(f"{tree.top}/gone", 5)
    assert caught.value.remedy == ""


def test_only_what_is_below_resctrl_is_removed(tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    rdt.remove([str(outside), f"{tree.top}/../outside", str(tree.top)])
    assert outside.exists() and tree.top.exists()
    os.mkdir(f"{tree.top}/left")
    monkeypatch.setattr(resctrl, "mount_point", lambda: "")
    rdt.remove([f"{tree.top}/left"])
    assert os.path.exists(f"{tree.top}/left")


def saved(session: Any, config: bytes) -> None:
    store.write_file(session.directory, "config.json", config)


def test_change_and_back(tree: Tree, session: Any) -> None:
    saved(session, b'{"ociVersion": "1.0.2", "root": {"path": "r"}, "linux": {"intelRdt": {"closID": "/"}}}')
    with rdt.Change(session.record, session.directory, ["L3:0=1"]):
        assert text(tree.top).startswith("L3:0=1\n")
    (tree.top / "schemata").write_text(THERE)
    with pytest.raises(StateDamagedError), rdt.Change(session.record, session.directory, ["MB:0=30;1=30"]):
        raise StateDamagedError("something else failed")
    assert text(tree.top).startswith("MB:0=100;1= 20\n")


def test_change_without_a_group(tree: Tree, session: Any) -> None:
    saved(session, b'{"ociVersion": "1.0.2", "root": {"path": "r"}, "linux": {}}')
    with pytest.raises(HostError, match="no resctrl group"):
        rdt.Change(session.record, session.directory, ["L3:0=1"])


def test_where_it_is_mounted(tmp_path: Path) -> None:
    lines = [
        "21 1 8:1 / / rw - ext4 /dev/sda rw",
        "30 21 0:5 /part /part rw - resctrl resctrl rw",
        r"31 21 0:5 / /sys/fs/res\040ctrl rw shared:1 - resctrl resctrl rw",
    ]
    file = tmp_path / "mountinfo"
    file.write_text("\n".join(lines) + "\n")
    assert resctrl.mount_point(str(file)) == "/sys/fs/res ctrl"
    file.write_text(lines[0] + "\n")
    assert resctrl.mount_point(str(file)) == ""
