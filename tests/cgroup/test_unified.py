"""Facts about a v2 hierarchy, read from a directory that looks like one."""

from __future__ import annotations

import os

import pytest

from ocirun.host import unified
from ocirun.host.cgroups import Layout, Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def group(path: Path, *, have: str = "", on: str = "", procs: str = "", kind: str = "domain") -> None:
    """Files of a group; a kind of "" makes it the root of the hierarchy."""
    path.mkdir(exist_ok=True)
    (path / "cgroup.controllers").write_text(have)
    (path / "cgroup.subtree_control").write_text(on)
    (path / "cgroup.procs").write_text(procs)
    if kind:
        (path / "cgroup.type").write_text(f"{kind}\n")


def test_all_groups_are_missing(tmp_path: Path) -> None:
    group(tmp_path, have="cpu memory pids", on="memory", procs="1\n", kind="")
    found = unified.reach(str(tmp_path), "a/b/c")
    assert found.controllers == ["cpu", "memory", "pids"]
    assert found.enable == [
        (str(tmp_path), ["cpu", "pids"]),
        (f"{tmp_path}/a", ["cpu", "memory", "pids"]),
        (f"{tmp_path}/a/b", ["cpu", "memory", "pids"]),
    ]


def test_all_is_on_already(tmp_path: Path) -> None:
    group(tmp_path, have="cpu memory", on="cpu memory", kind="")
    found = unified.reach(str(tmp_path), "a")
    assert (found.controllers, found.enable) == (["cpu", "memory"], [])


@pytest.mark.parametrize("how", [{"procs": "77\n"}, {"kind": "threaded"}, {"kind": "domain threaded"}])
def test_a_group_above_that_cannot_switch_on_more(tmp_path: Path, how: dict[str, str]) -> None:
    group(tmp_path, have="cpu memory", on="cpu memory", kind="")
    group(tmp_path / "a", have="cpu memory", on="memory", **how)
    found = unified.reach(str(tmp_path), "a/b")
    assert (found.controllers, found.enable) == (["memory"], [])


def test_an_existing_group_is_not_asked_itself(tmp_path: Path) -> None:
    group(tmp_path, have="cpu", on="cpu", kind="")
    group(tmp_path / "a", have="cpu", procs="1\n")
    assert unified.reach(str(tmp_path), "a").controllers == ["cpu"]


def test_no_hierarchy_there(tmp_path: Path) -> None:
    found = unified.reach(f"{tmp_path}/none", "a")
    assert (found.controllers, found.enable) == ([], [])


def test_files_of_a_controller(tmp_path: Path) -> None:
    for name in ("off", "on"):
        (tmp_path / name).mkdir()
        for file in ("cpu.pressure", "cpu.stat", "cgroup.procs"):
            (tmp_path / name / file).write_text("")
    assert unified.file_names(str(tmp_path), "cpu") == frozenset()
    (tmp_path / "on" / "cpu.max").write_text("")
    assert unified.file_names(str(tmp_path), "cpu") == {"cpu.pressure", "cpu.stat", "cpu.max"}
    layout = Layout({}, {"": "/"}, Mount(str(tmp_path)))
    assert layout.has_file("cpu", "cpu.max")
    assert not layout.has_file("cpu", "cpu.idle")
    # No group has it, so nobody knows.
    assert layout.has_file("memory", "memory.peak")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_joining_needs_the_group_above_both(open_directory: Path) -> None:
    tmp_path = open_directory
    for name in ("", "user", "user/me", "user/session"):
        group(tmp_path / name, kind="domain" if name else "")
    for name in ("user", "user/me"):
        os.chown(tmp_path / name, 1000, -1)
    os.chown(tmp_path / "user/me/cgroup.procs", 1000, -1)

    def joins(own: str, below: str) -> bool:
        layout = Layout({}, {"": own}, Mount(str(tmp_path)))
        child = os.fork()
        if not child:
            os.setgid(1000)
            os.setuid(1000)
            os._exit(0 if layout.may_join(below) else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert joins("/user/me/run", "user/me/box")
    assert not joins("/user/session", "user/me/box")
    os.chown(tmp_path / "user/cgroup.procs", 1000, -1)
    assert joins("/user/session", "user/me/box")
    assert not joins("/elsewhere", "user/me/box")
