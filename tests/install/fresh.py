"""An installation that nobody has called yet, and the process that makes its preloaded interpreter."""

from __future__ import annotations

import os
import shutil
import time

from waiting import eventually

from ocirun.preload import missing

from . import pythons
from .test_launcher import _build

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

AGO = missing.AGAIN + 60
LATER = "not made again within 10 minutes"
# Seconds: it is made while nobody else wants the processor.
IDLE = 600.0


class Fresh:
    """An installation that nobody has called yet.

    program   the script ``ocirun``
    package   its directory
    file      the preloaded interpreter, or what is in its place
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program = home / "bin" / "ocirun"
        (self.package,) = home.glob("lib/python3*/site-packages/ocirun")
        self.file = self.package / _build().PRELOAD_NAME
        self.stage = self.package / _build().STAGE_NAME
        self.file.unlink()
        self.file.touch()
        self.before = self.names()

    def names(self) -> set[str]:
        """The files of the package."""
        return {path.name for path in self.package.iterdir()}

    def says(self, **options: object) -> str:
        """What one call says about itself; nothing else may be said, and no word that Docker looks for."""
        result = pythons.run([str(self.program), "--version"], **options)  # type: ignore[arg-type]
        return self.line(result)

    @staticmethod
    def line(result: subprocess.CompletedProcess[str]) -> str:
        """The last line of `--version`."""
        assert result.stderr == ""
        *before, last = result.stdout.splitlines()
        assert [line for line in (*before, last) if "version" in line] == before[:1]
        return last.removeprefix("preloaded: ")

    def call(self, where: Path, **options: object) -> tuple[str, str, int]:
        """What one call says, the program that it becomes, and how many processes come of it; all of them have ended."""
        log = where / "trace"
        trace = ["strace", "-f", "-e", "trace=execve,clone,clone3,?fork,?vfork", "-o", str(log)]
        said = self.line(pythons.run([*trace, str(self.program), "--version"], **options))  # type: ignore[arg-type]
        text = log.read_text()
        first = text.split(maxsplit=1)[0]
        own = [line for line in text.splitlines() if line.startswith(first) and "execve(" in line]
        program = own[-1].split('"')[1].rpartition("/")[2].partition(".")[0]
        return said, program, len({line.split(maxsplit=1)[0] for line in text.splitlines()}) - 1

    def makers(self, word: str = "") -> list[int]:
        """The processes that make its preloaded interpreter, with a word in their command line."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read()
            except OSError:  # it has ended
                continue
            if os.fsencode(self.package) in words and os.fsencode(word) in words:
                found.append(int(name))
        return found

    def age(self) -> None:
        """Let the time pass in which nothing is made again."""
        os.utime(self.file, (time.time() - AGO,) * 2)


class Blocked:
    """In place of the program that begins to make it: one that notes that it was called, waits, and fails."""

    def __init__(self, fresh: Fresh, where: Path) -> None:
        self.log, self.gate = where / "log", where / "gate"
        os.mkfifo(self.gate)
        content = fresh.stage.read_bytes()
        fresh.stage.write_text(
            f"#!/bin/sh\necho called >>'{self.log}'\nread x <'{self.gate}'\necho refused >&2\nexit 3\n"
        )
        self.restore = lambda: fresh.stage.write_bytes(content)
        self.fresh = fresh

    def wait(self) -> int:
        """The maker, once it has come that far."""
        eventually(self.log.exists, "somebody makes it", IDLE)
        # Those that have found it locked, and go, are counted until they are gone.
        eventually(lambda: len(self.fresh.makers("--background")) <= 1, "one maker is left", IDLE)
        (maker,) = self.fresh.makers("--background")
        return maker

    def release(self) -> None:
        """Let it go on, and end."""
        with open(self.gate, "w", encoding="ascii") as file:
            file.write("\n")
        eventually(lambda: not self.fresh.makers(), "the maker ends", IDLE)


def read(pid: int, name: str) -> bytes:
    """A file of a process in /proc."""
    with open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()


def copied(home: Path, where: Path) -> Fresh:
    """A copy of an environment with ocirun."""
    skipped = shutil.ignore_patterns("pip", "setuptools", "__pycache__")
    shutil.copytree(home, where, symlinks=True, ignore=skipped)
    return Fresh(where)
