"""The command line in an interpreter started as the launcher starts it, with its imports written down."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LAUNCHER = CHECKOUT / "build" / "bin" / "ocirun"

# The launcher's bootstrap in short; os.write at the end, as the command line leaves with os._exit.
_BOOT = """\
import os,sys
fd=int(sys.argv[1])
sys.path+=sys.argv[2:4]
del sys.argv[1:4]
before=set(sys.modules)
from ocirun.cli.main import main
try:
 status=main()
except SystemExit as e:
 status=e.code
os.write(fd,("\\n".join(sorted(set(sys.modules)-before))).encode())
os._exit(status or 0)
"""


def start_argv(fd: int, *words: str) -> list[str]:
    """The command that runs ocirun and writes the names of the imported modules to `fd`."""
    import _cffi_backend

    paths = [str(CHECKOUT / "runtime"), os.path.dirname(_cffi_backend.__file__)]
    return [sys.executable, "-I", "-S", "-B", "-c", _BOOT, str(fd), *paths, *words]


def imports(*words: str, status: int | None = 0, where: Path, **how: object) -> set[str]:
    """Every module that a command imports.

    status   the exit status that is expected, None for any
    where    directory for its output
    """
    report, out = where / "modules", where / "output"
    with open(report, "wb") as file, open(out, "wb") as output:
        result = subprocess.run(
            start_argv(file.fileno(), *words),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(file.fileno(),),
            check=False,
            timeout=30,
            **how,  # type: ignore[call-overload]
        )
    assert status is None or result.returncode == status, out.read_text(errors="replace")
    return set(report.read_text().split())


@functools.cache
def start_up() -> frozenset[str]:
    """Modules that the interpreter itself has loaded before the first line of ours."""
    code = "import os,sys;print('\\n'.join(sys.modules))"
    output = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return frozenset(output.split())
