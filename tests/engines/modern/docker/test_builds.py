"""BuildKit of a newer dockerd, which starts the runtime by a command of its own, and what else a build may ask for."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...docker.daemon import Docker

DOCKERFILE = """FROM bb AS first
RUN --mount=type=cache,target=/cache echo kept > /cache/file
RUN --mount=type=cache,target=/cache cp /cache/file /file
RUN --mount=type=tmpfs,target=/t grep " /t tmpfs " /proc/mounts
RUN --mount=type=secret,id=word,target=/run/word,mode=0444,uid=1000 test "$(cat /run/word)" = hush
RUN --network=none test "$(ls /sys/class/net)" = lo
RUN --network=host true
FROM bb
RUN --mount=type=bind,from=first,target=/first cp /first/file / && ! touch /first/x
RUN <<END
test ! -e /first/file
id -u
END
USER app
RUN cd && touch mine
CMD ["cat", "/file"]
"""
SERVER = """FROM bb
RUN --mount=type=bind,target=/context (while true; do sleep 1; done) & sleep 1000
"""


@pytest.fixture(scope="module")
def noted(daemon: Docker) -> Iterator[str]:
    """The daemon, started again with a command for BuildKit that notes its arguments; the path of the notes."""
    machine = daemon.machine
    log = f"{machine.store}/buildkit-runc.log"
    path = machine.write(
        "/usr/local/bin/for-buildkit", f'#!/bin/sh\necho "$*" >> {log}\nexec {daemon.path} "$@"\n', 0o755
    )
    machine.environment["DOCKER_BUILDKIT_RUNC_COMMAND"] = path
    daemon.stop()
    before = dict(daemon.settings)
    daemon.configure(builder={"entitlements": {"network-host": True}})
    daemon.start()
    yield log
    del machine.environment["DOCKER_BUILDKIT_RUNC_COMMAND"]
    daemon.stop()
    daemon.settings.clear()
    daemon.configure(**before)
    daemon.start()


def test_build(docker: Docker, noted: str) -> None:
    store = docker.machine.store
    docker.machine.write(f"{store}/rich/Dockerfile", DOCKERFILE)
    docker.machine.write(f"{store}/word", "hush")
    words = ["--no-cache", "--allow=network.host", f"--secret=id=word,src={store}/word", "-t", "built", f"{store}/rich"]
    docker("buildx", "build", *words)
    docker("run", "--rm", "built").says("kept")
    docker("rmi", "built")
    assert any(" run --bundle " in line for line in docker.machine.run("cat", noted).ok().out.splitlines())


def test_cancelled_build(docker: Docker, noted: str) -> None:
    """Nothing of a step is left when the user gives up."""
    store = docker.machine.store
    docker.machine.write(f"{store}/endless/Dockerfile", SERVER)
    build = docker.machine.spawn("docker", "build", "--no-cache", f"{store}/endless")
    docker.until(lambda: "sleep 1000" in docker.machine.processes().values(), "the step runs")
    (pid,) = [pid for pid, args in docker.machine.processes().items() if args.startswith("docker build")]
    docker.machine.run("kill", "-INT", str(pid)).ok()
    assert build.wait(30) != 0
    docker.until(lambda: "sleep 1000" not in docker.machine.processes().values(), "the step has ended")
