"""uid_map and gid_map: order, setgroups, and the programs that write them for others."""

from __future__ import annotations

import os

import pytest

from ocirun.errors import HostError
from ocirun.launch import idmaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Written:
    """What would have been written, and which write fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, error: int = 0, euid: int = 1000) -> None:
        self.files: list[tuple[str, str]] = []
        self.programs: list[list[str]] = []
        self.error = error
        monkeypatch.setattr(idmaps, "_write", self._write)
        monkeypatch.setattr(os, "geteuid", lambda: euid)
        monkeypatch.setattr(os, "getegid", lambda: 1000)

    def _write(self, pid: int, name: str, text: str) -> None:
        assert pid == 77
        self.files.append((name, text))
        if self.error:
            raise OSError(self.error, "no")


def test_order(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Written(monkeypatch, euid=0)
    idmaps.write(77, "0 1 2\n", "0 3 4\n", "allow")
    assert written.files == [("gid_map", "0 3 4\n"), ("uid_map", "0 1 2\n")]


@pytest.mark.parametrize(
    ("gid_map", "denied"),
    [("0 1000 1\n", True), ("0 1001 1\n", False), ("0 1000 2\n", False), ("0 1000 1\n1 5 1\n", False)],
)
def test_setgroups_is_given_up_for_the_own_id_only(monkeypatch: pytest.MonkeyPatch, gid_map: str, denied: bool) -> None:
    written = Written(monkeypatch)
    idmaps.write(77, "0 1000 1\n", gid_map, "deny")
    assert (written.files[0] == ("setgroups", "deny")) is denied
    assert [name for name, _ in written.files][-2:] == ["gid_map", "uid_map"]


@pytest.mark.parametrize(("error", "euid"), [(22, 1000), (1, 0), (13, 1000)])
def test_refusals(monkeypatch: pytest.MonkeyPatch, error: int, euid: int) -> None:
    Written(monkeypatch, error=error, euid=euid)
    with pytest.raises(HostError) as caught:
        idmaps.write(77, "0 1 2\n", "0 3 4\n", "allow")
    assert caught.value.errno == error


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
    Written(monkeypatch, error=1)
    program = Program(monkeypatch)
    idmaps.write(77, "0 1000 1\n1 100000 9\n", "0 1000 1\n", "deny")
    assert [argv for argv, _ in program.started] == [
        ["/usr/bin/newgidmap", "77", "0", "1000", "1"],
        ["/usr/bin/newuidmap", "77", "0", "1000", "1", "1", "100000", "9"],
    ]
    assert all(env == {"PATH": "/usr/bin:/bin"} for _, env in program.started), "nothing of the caller's"


def test_program_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    Written(monkeypatch, error=1)
    program = Program(monkeypatch, owner=1000)
    with pytest.raises(HostError, match="does not belong to root"):
        idmaps.write(77, "0 1000 1\n", "0 1000 1\n", "deny")
    assert not program.started


def test_program_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    Written(monkeypatch, error=1)
    Program(monkeypatch, code=1)
    with pytest.raises(HostError, match="newgidmap ended with status 1") as caught:
        idmaps.write(77, "0 1000 1\n", "0 1000 1\n", "deny")
    assert "subuid" in caught.value.remedy
