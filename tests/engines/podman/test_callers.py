"""Callers of the API inside containers of podman: what docs/callers.md says of each, with the remedies that errors name."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from ..calling import WITH_LIMITS, WITHOUT_LIMITS, prepared, program, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .engine import Podman

SECCOMP = ("--security-opt", "seccomp=unconfined")
PATHS = ("--security-opt", "unmask=ALL")


@pytest.fixture
def call(podman: Podman, busybox: str) -> Iterator[Callable[..., str]]:
    """Runs the program in a container with these options; what it says."""
    if podman.runtime.root or not podman.runtime.ours:
        pytest.skip("needs ocirun's interpreter of this system")
    where = Path(tempfile.mkdtemp(prefix="ocirun-engines-", dir="/var/tmp"))
    binds = words(prepared(busybox, podman.runtime, where))

    def run(mode: str, *options: str) -> str:
        return podman.run(*binds, *options, "--", *program(podman.runtime, where, mode)).ok().out.strip()

    yield run
    shutil.rmtree(where)


def test_without_privilege(call: Callable[..., str]) -> None:
    """Each of the two obstacles is named with the option that takes it away; without both it works."""
    assert call("whole").startswith("UnsupportedError ")
    filtered = call("leave out")
    assert filtered.startswith("StepError sethostname 1 ") and "`--security-opt seccomp=unconfined`" in filtered
    masked = call("leave out", *SECCOMP)
    assert masked.startswith("StepError fsmount 1 ") and "`--security-opt unmask=ALL`" in masked
    assert call("leave out", *SECCOMP, *PATHS) == WITHOUT_LIMITS


def test_an_ordinary_user(call: Callable[..., str]) -> None:
    # Python may lie below a home that the image closes.
    options = ("--user", "1000:1000", "--tmpfs", "/root:mode=0755", "--tmpfs", "/tmp:mode=1777")
    assert call("leave out", *options, *SECCOMP, *PATHS) == WITHOUT_LIMITS


def test_privileged(call: Callable[..., str]) -> None:
    assert call("whole", "--privileged") == WITH_LIMITS
