"""Fixtures of the command line's tests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli.fake import Fake, renderer
from ocirun.cli.main import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNTIME = os.path.join(os.path.dirname(TESTS), "runtime")

BOOT = """\
import sys
sys.path += sys.argv[1:3]
del sys.argv[1:3]
from cli.fake import Fake, renderer
fake = Fake()
sys.modules["ocirun.container"] = sys.modules["ocirun.containers"] = fake.module()
sys.modules["ocirun.plan.render"] = renderer()
from ocirun.cli.main import main
"""


class Result:
    """Exit status and both outputs of one call."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The container layer's stand-in, in place."""
    fake = Fake()
    for name in ("ocirun.container", "ocirun.containers"):
        monkeypatch.setitem(sys.modules, name, fake.module())
    monkeypatch.setitem(sys.modules, "ocirun.plan.render", renderer())
    monkeypatch.setattr("ocirun.plan.render", renderer(), raising=False)
    return fake


@pytest.fixture
def call(fake: Fake, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Calls the command line in this process."""

    def run(*words: str) -> Result:
        capfd.readouterr()
        status = main(list(words))
        captured = capfd.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@pytest.fixture
def spawn() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a process as the launcher would; `code` goes between the set-up and the end."""

    def run(*words: str | bytes, code: str = "sys.exit(main())", **more: object) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-I", "-S", "-B", "-c", BOOT + code, RUNTIME, TESTS, *words]
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        return subprocess.run(command, check=False, timeout=30, **more)  # type: ignore[call-overload,no-any-return]

    return run
