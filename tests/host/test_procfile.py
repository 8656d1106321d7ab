"""Small files of /proc, and the name of a user."""

from __future__ import annotations

import errno
import os
import pwd

import pytest

from ocirun._base import procfile
from ocirun.errors import HostError
from ocirun.host import user_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def test_read(tmp_path: Path) -> None:
    assert procfile.read("/proc/self/comm").endswith(b"\n")
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10000)
    assert len(procfile.read(str(file))) == 4096
    assert len(procfile.read(str(file), 1 << 20)) == 10000
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        procfile.read("/proc/none")
    with pytest.raises(IsADirectoryError):
        procfile.read(str(tmp_path))
    assert os.listdir("/proc/self/fd") == before


def test_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xffb")
    assert procfile.text(str(tmp_path / "file")) == "a\ufffdb"
    assert procfile.text(str(tmp_path / "file"), 1) == "a"
    assert procfile.text(str(tmp_path)) == procfile.text(str(tmp_path / "none")) == ""


def test_user_name(monkeypatch: pytest.MonkeyPatch) -> None:
    own = pwd.getpwuid(0).pw_name  # not "root" everywhere
    assert user_names.user_name(0) == own
    assert user_names.user_name(4000000000) == "#4000000000"
    # Other sources than /etc/passwd are asked where that has no such user, or cannot be read.
    entry = pwd.struct_passwd(("ada", "x", 4000000000, 1, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    assert user_names.user_name(4000000000) == "ada"
    assert user_names.user_name(0) == own

    def refuse(path: str, size: int = 0) -> bytes:
        raise PermissionError(errno.EACCES, path)

    monkeypatch.setattr(procfile, "read", refuse)
    assert user_names.user_name(0) == "ada"


def test_odd_lines_of_passwd(monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\n# x:y:0\nshort:x:7\n+::::::\n\xff:x:7:7::/:/bin/sh\n"
    monkeypatch.setattr(procfile, "read", lambda path, size=0: text)
    assert user_names.user_name(7) == "\udcff"


def test_what_is_longer_than_is_read_is_an_error(tmp_path: Path) -> None:
    """Half of a file would be taken for the whole: for fewer ids, or fewer processes."""
    file = tmp_path / "subuid"
    file.write_text("x" * 8192)
    assert len(procfile.text(str(file), 8192)) == 8192
    file.write_text("x" * 8193)
    with pytest.raises(HostError, match="is longer than 8192 bytes"):
        procfile.text(str(file), 8192)
