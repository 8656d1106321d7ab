"""The runtime as users have it, preloaded, and as pip installs it."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..runtime import Runtime
    from .daemon import Docker


def executed(docker: Docker) -> str:
    """The last program that a call of the runtime becomes."""
    path = f"{docker.machine.store}/calls"
    docker.machine.run("strace", "-f", "-e", "trace=execve", "-o", path, docker.path, "--version").ok()
    with open(path, encoding="utf-8") as file:
        programs = [line.split('"')[1] for line in file if "execve(" in line]
    return programs[-1].rpartition("/")[2].partition(".")[0]


def test_all_other_tests_are_of_a_preloaded_one(docker: Docker) -> None:
    if docker.runtime.ours:
        assert executed(docker) == "_preload"


def test_first_container_after_installation(docker: Docker, plain: Runtime) -> None:
    """It has the preloaded interpreter made; the engine does not notice, but that later ones start sooner."""
    if not plain.ours:
        pytest.skip("of ocirun only")
    plain.forget()
    docker.run("echo", "hi").says("hi")
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    docker("exec", "c1", "sh", "-c", "exit 42", check=False).ends(42)
    docker.until(lambda: executed(docker) == "_preload", "it is preloaded")


def test_plain(docker: Docker, plain: Runtime) -> None:
    if not plain.ours:
        pytest.skip("of ocirun only")
    assert executed(docker) == "_start"
    docker.run("echo", "hi").says("hi")
    docker.run("nosuchcmd").ends(127, "executable file not found in $PATH")
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    docker("exec", "c1", "sh", "-c", "exit 42", check=False).ends(42)
