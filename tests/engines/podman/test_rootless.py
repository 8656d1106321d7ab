"""podman of an ordinary user: the runtime is root of a user namespace only."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..machine import Result
    from .engine import Podman


@pytest.fixture
def ada(podman: Podman, busybox: str) -> Iterator[Callable[..., Result]]:
    """Runs podman as the user ada, who has the image."""
    with open(busybox, "rb") as file:
        podman.as_ada("podman", "import", "-", "localhost/bb:latest", stdin=file.read())

    def run(*words: str, check: bool = True, stdin: bytes = b"") -> Result:
        return podman.as_ada("podman", *words, check=check, stdin=stdin)

    yield run
    run("rm", "-a", "-f", "-t", "0")
    run("system", "migrate")  # ends the process that keeps the user namespace


def test_run(ada: Callable[..., Result]) -> None:
    for network in ("none", "host"):
        ada("run", "--rm", f"--network={network}", "localhost/bb:latest", "id", "-u").says("0")
    seen = ada("run", "--rm", "--network=none", "localhost/bb:latest", "cat", "/proc/self/uid_map").words
    assert seen[:3] == ["0", "1001", "1"]
    ada("run", "--rm", "--network=none", "localhost/bb:latest", "sh", "-c", "exit 42", check=False).ends(42)
    ada("run", "--rm", "--network=none", "localhost/bb:latest", "nosuchcmd", check=False).ends(
        127, "not found in $PATH"
    )
    ada("run", "--rm", "--network=none", "--user=1000", "localhost/bb:latest", "id", "-u").says("1000")


def test_life(ada: Callable[..., Result]) -> None:
    ada("run", "-d", "--name=c1", "--network=none", "-v", "/home/ada:/home:ro", "localhost/bb:latest", "sleep", "1000")
    ada("exec", "c1", "echo", "e").says("e")
    ada("exec", "c1", "sh", "-c", "exit 7", check=False).ends(7)
    assert "sleep 1000" in ada("top", "c1").out
    ada("exec", "c1", "touch", "/home/x", check=False).ends(1)
    ada("stop", "-t", "1", "c1")
    ada("start", "c1")
    ada("kill", "c1")
    ada("rm", "-f", "-t", "0", "c1")


def test_keep_id(ada: Callable[..., Result]) -> None:
    ada("run", "--rm", "--network=none", "--userns=keep-id", "localhost/bb:latest", "id", "-u").says("1001")
