"""The section Undo of docs/engines/docker.md."""

from __future__ import annotations

import signal

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .daemon import Docker


@pytest.fixture
def registered(docker: Docker) -> Iterator[Docker]:
    """The daemon; afterwards the runtime under test is its default again."""
    if docker.runtime.name == "runc":
        pytest.skip("runc is what is left")
    yield docker
    docker.configure()
    docker.signal(signal.SIGHUP)
    docker.until(lambda: default(docker) == docker.runtime.name, "the default runtime is back")


def default(docker: Docker) -> str:
    return docker("info", "-f", "{{.DefaultRuntime}}").out.strip()


def reload(docker: Docker, text: str) -> None:
    """Have a daemon.json read; its log says when that is done."""
    docker.machine.write("/etc/docker/daemon.json", text)
    before = said(docker)
    docker.signal(signal.SIGHUP)
    docker.until(lambda: said(docker) > before, "it has read daemon.json")


def said(docker: Docker) -> int:
    with open(f"{docker.machine.store}/dockerd.log", encoding="utf-8", errors="replace") as file:
        return file.read().count("Reloaded configuration")


def test_reload_with_runc_named(registered: Docker) -> None:
    """And then the line can go: new containers are runc's, without a restart."""
    docker = registered
    for text in ('{"default-runtime": "runc"}', "{}"):
        reload(docker, text)
        assert default(docker) == "runc"
        docker.keep("--name=c1", "--", "echo", "hi").says("hi")
        assert docker.inspect("c1", ".HostConfig.Runtime") == "runc"
        docker("rm", "c1")


def test_lines_taken_out_is_not_enough(registered: Docker) -> None:
    """A reload keeps the default that it does not find in the file: every run fails then, or goes on with ocirun."""
    docker = registered
    reload(docker, "{}")
    assert default(docker) == docker.runtime.name
    reload(docker, '{"default-runtime": "runc"}')
    assert default(docker) == "runc"
    docker.run("echo", "hi").says("hi")


def test_restart(registered: Docker) -> None:
    """With the lines taken out."""
    docker = registered
    docker.stop()
    kept, docker.settings = docker.settings, {}
    try:
        docker.start()
        assert default(docker) == "runc"
        docker.run("echo", "hi").says("hi")
    finally:
        docker.settings = kept
