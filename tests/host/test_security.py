"""Which security modules a host has, by trees of files that look like one."""

from __future__ import annotations

import pytest

from ocirun.host import security

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def host(top: Path, **files: str) -> str:
    """A tree with these files; ``__`` stands for a slash."""
    for name, text in files.items():
        path = top / name.replace("__", "/").replace("thread_self", "thread-self")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return str(top)


def test_apparmor(tmp_path: Path) -> None:
    top = host(tmp_path, sys__module__apparmor__parameters__enabled="Y\n")
    assert security.apparmor_file(top) == "attr/exec"
    host(tmp_path, proc__thread_self__attr__apparmor__exec="")
    assert security.apparmor_file(top) == "attr/apparmor/exec"


@pytest.mark.parametrize("text", ["N\n", "", "\0"])
def test_apparmor_that_is_off(tmp_path: Path, text: str) -> None:
    top = host(tmp_path, proc__thread_self__attr__apparmor__exec="")
    assert security.apparmor_file(top) == ""
    host(tmp_path, sys__module__apparmor__parameters__enabled=text)
    assert security.apparmor_file(top) == ""


@pytest.mark.parametrize(
    ("current", "on"),
    [("system_u:system_r:init_t:s0\0", True), ("kernel\0", False), ("kernel\n", False), ("", False)],
)
def test_selinux(tmp_path: Path, current: str, on: bool) -> None:
    top = host(tmp_path, proc__thread_self__attr__current=current)
    assert security.selinux(top) is False
    host(tmp_path, sys__fs__selinux__enforce="0")
    assert security.selinux(top) is on
