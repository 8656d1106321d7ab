"""The tree: a Debian with newer engines, unpacked beside the checkout's caches and never written to afterwards.

One directory for each key below ``$OCIRUN_ENGINES_CACHE`` (default
``~/.cache/ocirun-engines``).  The key is a hash of what the tree is made of,
but not of package versions: remove the directory to have new ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

# Debian's testing of today by its name: the oldest suite with Docker 28 and containerd 2 (trixie and its backports
# have 26 and 1.7).  It changes less than unstable, from where packages come after some days without a grave bug, and
# the name goes on to mean this suite when it is the stable one.
SUITE = "forky"
ENGINES = (
    "buildah", "containerd", "crun", "docker.io", "docker-buildx", "docker-cli", "docker-compose", "docker-registry",
    "podman", "runc",
)  # fmt: skip
# What they call, and what the tests call.
HELPERS = (
    "aardvark-dns", "busybox-static", "conmon", "containernetworking-plugins", "criu", "iproute2", "iptables", "mount",
    "netavark", "nftables", "passt", "procps", "tmux", "uidmap",
)  # fmt: skip
# ocirun is installed with the packages of that Debian, and compiled there.
OURS = (
    "gcc", "libc6-dev", "libseccomp2", "python3-cffi", "python3-dev", "python3-hatchling", "python3-jeepney",
    "python3-jsonschema", "python3-venv",
)  # fmt: skip
_OPTIONS = (
    "--variant=essential",
    "--mode=root",
    "--components=main",
    *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "doc", "locale")),
    "--dpkgopt=force-unsafe-io",
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    # A machine's clock may be ahead of the archive's signature.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    f"--include={','.join((*ENGINES, *HELPERS, *OURS))}",
)


class NoTreeError(Exception):
    """The tree cannot be made; the text says why."""


def directory() -> str:
    """Where trees are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("OCIRUN_ENGINES_CACHE") or f"{base}/ocirun-engines"


def ready() -> str:
    """The root of the tree, made first if need be, which takes about a minute.

    Raises NoTreeError.
    """
    if shutil.which("mmdebstrap") is None:
        raise NoTreeError("a tree with newer engines is made by mmdebstrap, which is not installed")
    top = directory()
    os.makedirs(top, exist_ok=True)
    key = hashlib.sha256("\0".join((SUITE, *_OPTIONS)).encode()).hexdigest()[:16]
    path = f"{top}/{key}"
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(f"{path}/ok"):
            shutil.rmtree(path, ignore_errors=True)
            os.mkdir(path)
            print(f"engines: making a tree of {SUITE} in {path}, about a minute", file=sys.stderr, flush=True)
            _make(f"{path}/root")
            with open(f"{path}/ok", "wb"):
                pass
    return f"{path}/root"


def mirrors() -> list[str]:
    """Where this machine has Debian's archive from; empty where it is no Debian, or has not asked yet."""
    asked = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(set(asked.stdout.split()))


def _make(path: str) -> None:
    # Without a mirror mmdebstrap takes its own default, which is right for all who are not told otherwise.
    done = subprocess.run(
        ["mmdebstrap", *_OPTIONS, SUITE, path, *mirrors()[:1]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        shutil.rmtree(os.path.dirname(path), ignore_errors=True)
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith(("E:", "W:"))]
        raise NoTreeError(f"mmdebstrap cannot make a tree of {SUITE}: {' '.join(lines[:2])}")
