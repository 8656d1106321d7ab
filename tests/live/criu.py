"""A CRIU that works on this kernel: the system's, else one of a newer Debian in a directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

SUITE = "trixie"
_WRAPPER = """\
#!/bin/sh
here=$(dirname "$0")
exec "$here"/usr/lib*/ld-linux-*.so.* --library-path "$(echo "$here"/usr/lib/*-linux-gnu)" "$here"/usr/sbin/criu "$@"
"""


@cache
def program() -> tuple[str, str]:
    """(its path, "") or ("", why there is none)."""
    own = shutil.which("criu")
    if own and _works(own):
        return own, ""
    top = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ocirun-criu")
    path = f"{top}/{SUITE}/criu"
    if not os.path.exists(path):
        if shutil.which("mmdebstrap") is None:
            return "", "no criu here works with this kernel, and there is no mmdebstrap to get another"
        reason = _fetch(f"{top}/{SUITE}")
        if reason:
            return "", reason
    return (path, "") if _works(path) else ("", f"neither criu of this system nor that of {SUITE} works here")


def _works(path: str) -> bool:
    return subprocess.run([path, "check"], capture_output=True, check=False).returncode == 0


def _fetch(directory: str) -> str:
    """Unpack the package and what it needs, without installing anything; why that failed, or ""."""
    fresh = f"{directory}.{os.getpid()}"
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    # The session of live tests has a network of its own, which leads nowhere.
    outside = ["nsenter", f"--net=/proc/{os.getppid()}/ns/net"]
    command = [*outside, "mmdebstrap", "--variant=extract", "--include=criu", SUITE, fresh]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        return f"mmdebstrap cannot get criu: {done.stderr.splitlines()[-1:]}"
    with open(f"{fresh}/criu", "w", encoding="ascii") as file:
        file.write(_WRAPPER)
    os.chmod(f"{fresh}/criu", 0o755)
    try:
        os.rename(fresh, directory)
    except OSError:  # another run was quicker
        shutil.rmtree(fresh, ignore_errors=True)
    return ""
