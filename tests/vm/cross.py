"""What of the checkout is compiled, for a guest that is another machine."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

from . import arch

COMPILER = f"{arch.THIS.tuple}-gcc"
PROGRAMS = {COMPILER: f"gcc-{arch.THIS.tuple.replace('_', '-')}"}


def compile_checkout(checkout: str, image: str) -> dict[str, str]:
    """Compile the C parts and fetch the compiled packages, for the image in a directory.

    What the guest has in other places than this machine: path there -> path here.  Raises CalledProcessError.
    """
    environment = {**os.environ, "CC": COMPILER}
    python = f"{checkout}/.venv/bin/python"
    subprocess.run(
        [python, f"{checkout}/csrc/build.py", "--in-tree", "--root", f"{image}/system"], env=environment, check=True
    )
    (program,) = glob.glob(f"{checkout}/build/*-{arch.THIS.tuple}/ocirun")
    (packages,) = glob.glob(f"{checkout}/.venv/lib/python3*/site-packages")
    copies = f"{checkout}/build/{arch.THIS.debian}-packages"
    _install(python, copies, "\n".join(_compiled(packages)))
    return {f"{checkout}/build/bin/ocirun": program, packages: copies}


# Python packages with compiled parts that tests in the guest import.
_COMPILED = ("cffi", "hypothesis", "rpds_py")


def _compiled(packages: str) -> list[str]:
    """Those of them that are in a directory of packages, with their versions: "cffi==1.15"."""
    found = (
        os.path.basename(path) for name in _COMPILED for path in sorted(glob.glob(f"{packages}/{name}-*.dist-info"))
    )
    return [name.removesuffix(".dist-info").replace("-", "==") for name in found]


def _install(python: str, directory: str, wanted: str) -> None:
    """Put packages for the guest into a directory, unless they are there."""
    stamp = f"{directory}/wanted"
    if _is(stamp, wanted):
        return
    shutil.rmtree(directory, ignore_errors=True)
    version = ".".join(map(str, sys.version_info[:2]))
    platforms = [f"--platform={name}_{arch.THIS.machine}" for name in ("manylinux2014", "manylinux_2_28")]
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--target", directory]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", *platforms]
    subprocess.run([*command, *wanted.split()], check=True)
    with open(stamp, "w", encoding="ascii") as file:
        file.write(wanted)


def _is(path: str, text: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read() == text
    except FileNotFoundError:
        return False
