"""docker build, by the old builder and by BuildKit, which calls the runtime itself."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

DOCKERFILE = """FROM bb
RUN echo built > /file
USER app
RUN id -un > /tmp/who
USER root
RUN test "$(cat /tmp/who)" = app && ip addr | grep -q eth0
COPY extra /extra
CMD ["cat", "/file", "/extra"]
"""


@pytest.fixture(params=["0", "1"], ids=["old", "buildkit"])
def builder(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment that chooses the builder."""
    return {"DOCKER_BUILDKIT": request.param}


def test_build(docker: Docker, builder: dict[str, str]) -> None:
    store = docker.machine.store
    docker.machine.write(f"{store}/context/Dockerfile", DOCKERFILE)
    docker.machine.write(f"{store}/context/extra", "extra\n")
    docker("build", "--no-cache", "-t", "built", f"{store}/context", env=builder)
    docker("run", "--rm", "built").says("built\nextra")
    docker("rmi", "built")


def test_failing_step(docker: Docker, builder: dict[str, str]) -> None:
    store = docker.machine.store
    docker.machine.write(f"{store}/context/Dockerfile", "FROM bb\nRUN echo why >&2; exit 9\n")
    result = docker("build", "--no-cache", f"{store}/context", env=builder, check=False)
    assert result.code == (9 if builder["DOCKER_BUILDKIT"] == "0" else 1)
    assert "why" in result.out + result.err


def test_program_that_cannot_start(docker: Docker, builder: dict[str, str]) -> None:
    store = docker.machine.store
    docker.machine.write(f"{store}/context/Dockerfile", 'FROM bb\nRUN ["nosuchcmd"]\n')
    result = docker("build", "--no-cache", f"{store}/context", env=builder, check=False)
    assert result.code != 0
    assert "executable file not found in $PATH" in result.out + result.err
