"""The rings of the tests: which tests run where nothing is installed, which start containers, engines, machines."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent

#: Ring -> folders and files below tests/. Of two entries that lead to a file, the longer one counts.
RINGS = {
    # Pure and unprivileged: needs Python and its packages, but neither root nor a compiler. About a minute.
    "fast": (
        "bench", "cgroup", "cli", "commands", "config", "docs", "host", "lint", "plan", "samples", "state",
        "test_capsule.py", "test_errors.py", "test_rings.py", "test_surroundings.py", "test_waiting.py",
    ),
    # Needs the compiled module or a compiler; nearly all of it starts containers, as root.
    "live": (
        "api", "budget", "check", "conformance", "docs/test_api.py", "docs/test_rootless.py", "doctor", "examples", "execute", "executor",
        "image", "install", "live",
        "cgroup/test_owner_live.py", "cgroup/test_v1_live.py", "cgroup/test_v1_processes_live.py",
        "cgroup/test_v2_live.py", "cli/test_practice.py", "docs/test_bundles.py", "docs/test_doctor.py", "docs/test_tour.py", "docs/test_tutorials.py", "commands/test_features.py", "commands/test_gathered.py",
        "samples/test_samples.py",
        "docs/test_sandbox.py", "docs/test_seccomp.py", "docs/test_callers.py",
    ),
    # Starts Docker, containerd, podman, buildah.
    "engines": ("engines",),
    # Needs QEMU for a guest with systemd and cgroup v2, or a compiler for arm64.
    "vm": ("vm", "engines/systemd", "executor/test_arm64.py"),
    # Builds Kubernetes with Go, a quarter of an hour the first time, and takes as long as all others.
    "kubernetes": ("engines/kubernetes",),
}  # fmt: skip
#: Rings that run only when they are named.
APART = ("kubernetes",)
ALL = "all"


class NoRingError(Exception):
    """A test file that no entry of `RINGS` leads to."""


def ring(path: Path) -> str:
    """The ring of a file below tests/.

    Raises NoRingError.
    """
    parts = path.relative_to(TESTS).parts
    entries = {entry: name for name, below in RINGS.items() for entry in below}
    for length in range(len(parts), 0, -1):
        if found := entries.get("/".join(parts[:length])):
            return found
    raise NoRingError(f"tests/{'/'.join(parts)} belongs to no ring: add its folder to RINGS in tests/rings.py")


def belongs(path: Path, wanted: str) -> bool:
    """Decide if a file or folder below tests/ has anything of a ring; for ALL, of any but those apart.

    Raises NoRingError.
    """
    if path == TESTS:
        return True
    if wanted == ALL:
        return not any(path.is_relative_to(TESTS / entry) for name in APART for entry in RINGS[name])
    below = f"{path.relative_to(TESTS)}/"
    entries = RINGS[wanted]
    if path.is_dir():
        return any(entry.startswith(below) or below.startswith(f"{entry}/") for entry in entries)
    return ring(path) == wanted
