"""The installed program, whatever surrounds it."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

import pytest

from . import pythons, traps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Installed

COMMANDS = [["--version"], ["--help"], ["--root", "/nonexistent/root", "state", "nobody"], ["no-such-command"]]


def version(program: Path | str, **options: object) -> str:
    result = pythons.run([str(program), "--version"], **options)  # type: ignore[arg-type]
    assert result.stderr == ""
    assert re.match(r"ocirun version [0-9.]+\n", result.stdout)
    return result.stdout


def test_version(installed: Installed) -> None:
    assert stat.S_IMODE(installed.program.stat().st_mode) == 0o755
    assert version(installed.program) == version(installed.program, env={}, cwd="/")


def test_as_a_module(installed: Installed) -> None:
    result = pythons.run([str(installed.home / "bin" / "python"), "-P", "-m", "ocirun", "--version"])
    *lines, last = result.stdout.splitlines()
    assert lines == version(installed.program).splitlines()[:-1]
    assert last == "preloaded: no (python -m ocirun)"


def test_through_links(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "runtime").symlink_to(installed.program)
    (tmp_path / "b").symlink_to("a/runtime")
    (tmp_path / "c").symlink_to(tmp_path / "a")
    for way in ("a/runtime", "b", "c/runtime"):
        version(tmp_path / way)
    version("./b", cwd=tmp_path)
    version("b", env={"PATH": str(tmp_path)})


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[-2] if len(words) > 1 else words[0])
def test_traps_do_not_fire(installed: Installed, tmp_path: Path, command: list[str]) -> None:
    calm = pythons.run([str(installed.program), *command], env={}, cwd="/", fails=True)
    lair = traps.lay(tmp_path)
    for env in (traps.hostile(lair), {}):
        result = pythons.run([str(installed.program), *command], env=env, cwd=lair, fails=True)
        assert (result.returncode, result.stdout) == (calm.returncode, calm.stdout)
        assert _without_time(result.stderr) == _without_time(calm.stderr)


def test_traps_beside_the_program(installed: Installed, tmp_path: Path) -> None:
    for name in ("bin", "lib"):
        shutil.copytree(installed.home / name, tmp_path / name, symlinks=True)
    assert pythons.run([str(tmp_path / "bin" / "ocirun"), "--version"]).stderr == ""
    shutil.move(tmp_path / "bin" / "ocirun", tmp_path / "bin" / "runtime")  # a trap is named so too
    traps.lay(tmp_path / "bin")
    (tmp_path / "bin" / "pyvenv.cfg").write_text(f"home = {tmp_path}\ninclude-system-site-packages = true\n")
    (tmp_path / "bin" / "python311._pth").write_text(f"{tmp_path}\n")
    assert pythons.run([str(tmp_path / "bin" / "runtime"), "--version"]).stderr == ""


def test_current_directory_gone(own: Installed, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd '{gone}' && rmdir '{gone}' && exec '{own.program}' --version"
    assert pythons.run(["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}).stdout.startswith("ocirun version ")


def test_nothing_is_written(own: Installed) -> None:
    for cache in own.site.glob("ocirun/**/__pycache__"):
        shutil.rmtree(cache)
    before = traps.snapshot(own.home)
    for umask in (0o000, 0o777):
        pythons.run(["sh", "-c", f"umask {umask:o}; exec '{own.program}' --version"])
    assert traps.snapshot(own.home) == before
    pythons.install(own.home / "bin" / "python", own.wheels, "--force-reinstall", "--no-deps")
    own.stay_plain()


def test_one_directory_is_searched(own: Installed, tmp_path: Path) -> None:
    """Besides the standard library, modules come from a single directory."""
    strace = shutil.which("strace")
    if not strace:
        pytest.skip("strace is not installed")
    log = tmp_path / "trace"
    pythons.run([strace, "-f", "-e", "trace=file", "-o", str(log), str(own.program), "--version"], cwd=tmp_path)
    trace = log.read_text()
    listed = set(re.findall(r'openat\(AT_FDCWD, "([^"]+)", [^)]*O_DIRECTORY', trace))
    outside = {path for path in listed if not re.search(r"/lib/python3\.\d+(/(encodings|lib-dynload).*)?$", path)}
    assert not {path for path in outside if path != str(own.site) and not path.startswith(f"{own.site}/ocirun")}
    assert str(tmp_path) not in trace
    assert ".pth" not in trace


LAYOUTS = ["--user", "--prefix", "--target"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts(installed: Installed, tmp_path: Path, layout: str) -> None:
    """Installed outside of an environment, with what pip has beside it."""
    # pip of the environment, run by the base interpreter: not every machine has one there.
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed.site), "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    env |= {"HOME": str(tmp_path), "PYTHONUSERBASE": str(tmp_path / "base"), "PYTHONDONTWRITEBYTECODE": "1"}
    options = [layout] if layout == "--user" else [layout, str(tmp_path / "base")]
    pythons.install(Path(installed.python), installed.wheels, "--ignore-installed", *options, env=env)
    (program,) = (path for path in tmp_path.glob("base/**/bin/ocirun"))
    off = {"OCIRUN_PRELOAD": "no"}
    version(program, env=off)
    link = tmp_path / "elsewhere"
    link.symlink_to(program)
    version(link, env=off)


def test_without_a_home_of_its_own(own: Installed, tmp_path: Path) -> None:
    """With no interpreter beside it, the one it was compiled for is used."""
    for name in ("bin", "lib"):
        shutil.copytree(own.home / name, tmp_path / name, symlinks=True)
    for path in tmp_path.glob("bin/python*"):
        path.unlink()
    version(tmp_path / "bin" / "ocirun", env={})


def test_cffi_elsewhere(own: Installed, tmp_path: Path) -> None:
    """pip does not install again what it finds in the interpreter's own directories."""
    for name in ("bin", "lib"):
        shutil.copytree(own.home / name, tmp_path / name, symlinks=True)
    (site,) = tmp_path.glob("lib/python3*/site-packages")
    for path in site.glob("_cffi_backend*"):
        path.unlink()
    result = pythons.run([str(tmp_path / "bin" / "ocirun"), "--version"], env={}, fails=True)
    # Found below the interpreter's prefix, or a line that says what is missing.
    assert result.returncode == 0 or result.stderr.startswith("ocirun: the package cffi is not installed for python3.")


def test_damaged_installations(own: Installed, tmp_path: Path) -> None:
    for name in ("bin", "lib"):
        shutil.copytree(own.home / name, tmp_path / name, symlinks=True)
    (site,) = tmp_path.glob("lib/python3*/site-packages")
    program = str(tmp_path / "bin" / "ocirun")
    for path in [site / "ocirun" / "errors.py", *site.glob("ocirun/_pack.*")]:
        path.unlink()
    result = pythons.run([program, "--version"], fails=True)
    assert re.fullmatch(
        r"ocirun: ocirun is being replaced, or is damaged: [^\n]+ \(call again; [^\n]+\)\n", result.stderr
    )
    for path in site.glob("ocirun/_native*"):
        path.unlink()
    result = pythons.run([program, "--version"], fails=True)
    assert re.fullmatch(
        r"ocirun: the package ocirun for python3\.\d+t? is being replaced \(call again\), [^\n]+\n", result.stderr
    )
    assert result.returncode == 1


def _without_time(text: str) -> str:
    return re.sub(r'"?time"?[=:]\s*"[^"]*"', "time", text)
