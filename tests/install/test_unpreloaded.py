"""The first command has the preloaded interpreter made, where only its caller can write; `--version` says what there is."""

from __future__ import annotations

import os
import re
import resource
import shutil
import struct
import subprocess

import pytest
from waiting import eventually

from ocirun.preload import missing

from . import pythons
from .fresh import IDLE, LATER, Fresh
from .test_launcher import _build
from .test_preload import TABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Installed

pytestmark = [
    pytest.mark.skipif(not _build()._library(), reason="this interpreter has no shared library"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]


def test_second_command_after_pip_install(own: Installed, tmp_path: Path) -> None:
    """And nothing is left of it when pip has removed the package."""
    python = pythons.environment(own.python, tmp_path / "env") / "python"
    pythons.install(python, own.wheels)
    (file,) = tmp_path.glob("env/lib/python3*/site-packages/ocirun/_preload.*")
    assert file.stat().st_size == 0
    fresh = Fresh(tmp_path / "env")
    said, program, started = fresh.call(tmp_path)
    assert (said, program) == ("no (not made yet)", "_start")
    assert started > 0
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)
    assert fresh.names() == fresh.before
    pythons.run([str(python), "-m", "pip", "--disable-pip-version-check", "uninstall", "-q", "-y", "ocirun"])
    assert not fresh.package.exists()


def test_any_command_does_it(fresh: Fresh, tmp_path: Path) -> None:
    """Engines call no other; what the command says and its status are its own."""
    words = [str(fresh.program), "--root", str(tmp_path / "root"), "state", "nobody"]
    plain = pythons.run(words, env={missing.SWITCH: "no"}, fails=True)
    result = pythons.run(words, fails=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.split("msg=")[-1] == plain.stderr.split("msg=")[-1]
    _wait(fresh)
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)


def _wait(fresh: Fresh) -> None:
    eventually(lambda: fresh.file.stat().st_size >= 4096 and not fresh.makers(), "it is made", IDLE)


def test_made_anew_when_a_module_has_changed(fresh: Fresh, tmp_path: Path) -> None:
    fresh.call(tmp_path)
    first = fresh.file.stat().st_ino
    (module,) = fresh.package.parent.glob("jeepney/low_level.py")
    os.utime(module)
    shown = str(module).replace("version", "ver?ion")
    assert fresh.call(tmp_path) == (f"no (stale: {shown} has changed; {LATER})", "_start", 0)
    fresh.age()
    said, program, started = fresh.call(tmp_path)
    assert (said, program) == (f"no (stale: {shown} has changed)", "_start")
    assert started > 0
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)
    assert fresh.file.stat().st_ino != first
    assert fresh.names() == fresh.before


@pytest.mark.parametrize(
    ("errno", "said"),
    [("EMFILE", "it cannot be told whether {} has changed"), ("EIO", "it cannot be told whether {} has changed"),
     ("ENOENT", "stale: {} has changed; " + LATER), ("ENOTDIR", "stale: {} has changed; " + LATER)],
)  # fmt: skip
def test_what_cannot_be_told_of_a_file_is_no_change(fresh: Fresh, tmp_path: Path, errno: str, said: str) -> None:
    fresh.call(tmp_path)
    fault = ["strace", "-o", os.devnull, "-e", f"inject=newfstatat:error={errno}:when=20"]
    found = fresh.line(pythons.run([*fault, str(fresh.program), "--version"]))
    before, after = (re.escape(part) for part in said.split("{}"))
    assert re.fullmatch(rf"no \({before}/\S+{after}\)", found), found
    assert fresh.makers() == []


@pytest.mark.parametrize("errno", ["EIO", "EMFILE", "ENOMEM"])
def test_what_cannot_be_loaded_is_told(fresh: Fresh, errno: str) -> None:
    """A disk that fails under the interpreter: a line, and no traceback."""
    for pack in fresh.package.glob("_pack.*"):  # without it modules are looked for in directories
        pack.unlink()
    fault = ["strace", "-f", "-o", os.devnull, "-e", f"inject=getdents64:error={errno}:when=1+"]
    result = pythons.run([*fault, str(fresh.program), "--version"], env={missing.SWITCH: "no"}, fails=True)
    assert result.stderr.startswith("ocirun: ocirun is being replaced, or is damaged: [Errno "), result.stderr
    assert result.stderr.count("\n") == 1


def test_modules_of_all_packages_are_looked_at(fresh: Fresh, tmp_path: Path) -> None:
    fresh.call(tmp_path)
    with fresh.file.open("rb") as file:
        file.seek(TABLE)
        table = file.read(0x20000)
    for name in ("_pack.", "_native.", "_start."):
        assert f"{fresh.package}/{name}".encode() in table
    for pattern in ("jeepney/*.py", "jeepney/io/blocking.py", "_cffi_backend*.so"):
        found = list(fresh.package.parent.glob(pattern))
        assert found
        # jeepney.auth and the like are imported by others of it; what is not in memory need not be there.
        assert any(os.fsencode(path) + b"\0" in table for path in found), pattern


def _other_owner(fresh: Fresh) -> str:
    os.chown(fresh.package, 65534, 65534)
    return f"{fresh.package} belongs to user 65534, and this is user {os.geteuid()}"


def _other_owner_above(fresh: Fresh) -> str:
    os.chown(fresh.home, 65534, 65534)
    return f"{fresh.home} belongs to user 65534, and this is user {os.geteuid()}"


def _open_to_others(fresh: Fresh) -> str:
    fresh.package.chmod(0o1777)
    return f"{fresh.package} can be written by others"


def _open_to_a_group(fresh: Fresh) -> str:
    fresh.package.chmod(0o775)
    return f"{fresh.package} can be written by others"


def _open_above(fresh: Fresh) -> str:
    fresh.home.chmod(0o777)
    return f"{fresh.home} can be written by others"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
@pytest.mark.parametrize("change", [_other_owner, _other_owner_above, _open_to_others, _open_to_a_group, _open_above])
def test_where_others_can_write(fresh: Fresh, tmp_path: Path, change: Callable[[Fresh], str]) -> None:
    why = change(fresh).replace("version", "ver?ion")
    assert fresh.call(tmp_path) == (f"no (not made yet; {why})", "_start", 0)
    assert fresh.names() == fresh.before
    assert fresh.file.stat().st_size == 0


def test_below_a_sticky_directory(fresh: Fresh, tmp_path: Path) -> None:
    """As /tmp is: others can make files there, but not replace ours."""
    fresh.home.chmod(0o1777)
    fresh.call(tmp_path)
    assert fresh.says() == "yes"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts")
@pytest.mark.parametrize("options", ["ro", "size=32m"])
def test_a_place_that_cannot_take_it(fresh: Fresh, tmp_path: Path, options: str) -> None:
    (tmp_path / "place").mkdir()
    mounts = (
        'mount -t tmpfs tmpfs "$1" && cp -a "$2/." "$1" && mount -o "remount,$3" "$1" && exec "$1/bin/ocirun" --version'
    )
    place = str(tmp_path / "place")
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", mounts, "sh", place, str(fresh.home), options]
    said = fresh.line(pythons.run(words))
    what = "cannot be written" if options == "ro" else "has less than 64 MiB left"
    assert re.fullmatch(rf"no \(not made yet; {place}/lib/\S+/ocirun {what}\)", said)


def test_switched_off_for_one_command(fresh: Fresh, tmp_path: Path) -> None:
    off = {missing.SWITCH: "no", "PATH": "/usr/bin:/bin"}
    assert fresh.call(tmp_path, env=off) == ("no (not made yet; OCIRUN_PRELOAD=no)", "_start", 0)
    fresh.call(tmp_path)
    assert fresh.call(tmp_path, env=off) == ("yes", "_preload", 0)  # it is about making, not about using


def test_without_a_starter(fresh: Fresh, tmp_path: Path) -> None:
    """As for an interpreter without a shared library, or below a directory that cannot be executed from."""
    (starter,) = fresh.package.glob("_start.*")
    starter.chmod(0o600)
    assert fresh.says() == "no (the starter cannot be executed: permission denied)"
    assert fresh.file.stat().st_size == 0


def test_removed_until_it_is_asked_for(fresh: Fresh, tmp_path: Path) -> None:
    fresh.call(tmp_path)
    assert pythons.run([str(fresh.program), "preload", "--remove"]).stdout == f"removed {fresh.file}\n"
    fresh.age()
    assert fresh.call(tmp_path) == ("no (removed; `ocirun preload` makes it anew)", "_start", 0)
    assert fresh.names() == fresh.before
    pythons.run([str(fresh.program), "preload"])
    assert fresh.call(tmp_path) == ("yes", "_preload", 0)


def test_another_processor_and_damage(fresh: Fresh, tmp_path: Path) -> None:
    """A directory that two machines share is not written by them in turn."""
    fresh.call(tmp_path)
    for offset, form, value, why in ((56, "<I", 1, "the processor differs"), (0, "<Q", 0, "damaged")):
        with fresh.file.open("r+b") as file:
            file.seek(TABLE + offset)
            file.write(struct.pack(form, value))
        assert fresh.call(tmp_path) == (f"no ({why}; {LATER})", "_start", 0)
        fresh.age()
        assert fresh.call(tmp_path)[0] == f"no ({why})"
        assert fresh.says() == "yes"


def test_what_making_it_cannot_mend(fresh: Fresh, tmp_path: Path) -> None:
    fresh.call(tmp_path)
    fresh.age()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (16 << 20, resource.RLIM_INFINITY))

    words = [fresh.program, "--version"]
    small = subprocess.run(words, capture_output=True, text=True, check=True, preexec_fn=limit)
    assert fresh.line(small) == "no (a limit on memory leaves no room for it)"
    fresh.file.chmod(0o600)
    shown = str(fresh.file).replace("version", "ver?ion")
    assert fresh.call(tmp_path) == (f"no ({shown} cannot be executed: permission denied)", "_start", 0)
