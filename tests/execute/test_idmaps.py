"""uid_map and gid_map: one write each, setgroups, and the programs that write them for others."""

from __future__ import annotations

import os

import pytest

from ocirun.errors import HostError
from ocirun.execute.ids import idmaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

NEWUIDMAP, NEWGIDMAP = "/usr/bin/newuidmap", "/usr/bin/newgidmap"


class Written:
    """What would have been written, and which write fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, error: int = 0, setgroups: bytes = b"allow") -> None:
        self.files: list[tuple[str, str]] = []
        self.error = error
        monkeypatch.setattr(idmaps, "_write", self._write)
        monkeypatch.setattr(idmaps, "_read", lambda pid, name: setgroups)

    def _write(self, pid: int, name: str, text: str) -> None:
        assert pid == 77
        self.files.append((name, text))
        if self.error:
            raise OSError(self.error, "no")


def test_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(monkeypatch)
    idmaps.write(77, "gid_map", "0 3 4\n5 6 7\n")
    idmaps.write(77, "uid_map", "0 1 2\n")
    assert written.files == [("gid_map", "0 3 4\n5 6 7\n"), ("uid_map", "0 1 2\n")]


@pytest.mark.parametrize(("now", "first"), [(b"allow", [("setgroups", "deny")]), (b"deny", [])])
def test_setgroups_is_given_up_first(monkeypatch: pytest.MonkeyPatch, now: bytes, first: list[tuple[str, str]]) -> None:
    # Written again the kernel says EPERM, once a user namespace above has given it up.
    written = Written(monkeypatch, setgroups=now)
    idmaps.write(77, "gid_map", "0 1000 1\n", deny=True)
    assert written.files == [*first, ("gid_map", "0 1000 1\n")]


@pytest.mark.parametrize(("error", "remedy"), [(22, ""), (1, "own gid only"), (13, "")])
def test_refusals(monkeypatch: pytest.MonkeyPatch, error: int, remedy: str) -> None:
    Written(monkeypatch, error=error)
    with pytest.raises(HostError) as caught:
        idmaps.write(77, "gid_map", "0 1 2\n")
    assert (caught.value.errno, caught.value.pointer) == (error, "/linux/gidMappings")
    assert remedy in caught.value.remedy


class Program:
    """newuidmap and newgidmap, without starting them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, owner: int = 0, code: int = 0) -> None:
        self.started: list[tuple[list[str], dict[str, str]]] = []
        real = os.stat
        fields: Any = os.stat_result((0o104755, 1, 1, 1, owner, 0, 1, 0, 0, 0))
        monkeypatch.setattr(
            os, "stat", lambda path, **how: fields if str(path).startswith("/usr/bin/new") else real(path, **how)
        )
        monkeypatch.setattr(os, "posix_spawn", self._start)
        monkeypatch.setattr(os, "waitpid", lambda pid, flags: (pid, code << 8))

    def _start(self, path: str, argv: list[str], env: dict[str, str], **_: object) -> int:
        assert path == argv[0]
        self.started.append((argv, env))
        return 5


def test_programs_of_shadow_utils(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(monkeypatch)
    program = Program(monkeypatch)
    idmaps.write(77, "gid_map", "0 1000 1\n", NEWGIDMAP)
    idmaps.write(77, "uid_map", "0 1000 1\n1 100000 9\n", NEWUIDMAP)
    assert [argv for argv, _ in program.started] == [
        [NEWGIDMAP, "77", "0", "1000", "1"],
        [NEWUIDMAP, "77", "0", "1000", "1", "1", "100000", "9"],
    ]
    assert all(env == {"PATH": "/usr/bin:/bin"} for _, env in program.started), "nothing of the caller's"
    assert written.files == []


def test_program_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(monkeypatch, owner=1000)
    with pytest.raises(HostError, match="does not belong to root"):
        idmaps.write(77, "gid_map", "0 1000 1\n", NEWGIDMAP)
    assert not program.started


@pytest.mark.skipif(os.geteuid() != 0, reason="the program must belong to root")
def test_program_that_refuses(tmp_path: Path) -> None:
    path = tmp_path / "newgidmap"
    path.write_text("#!/bin/sh\necho newgidmap: not allowed >&2; exit 3\n")
    path.chmod(0o755)
    with pytest.raises(HostError, match=r"newgidmap ended with status 3: newgidmap: not allowed") as caught:
        idmaps.write(77, "gid_map", "0 1000 1\n", str(path))
    assert "/etc/subgid" in caught.value.remedy
    assert caught.value.pointer == "/linux/gidMappings"
