"""buildah, which drives the runtime by itself: from scratch, run, and builds of a Dockerfile."""

from __future__ import annotations

import pytest

from ..terminal import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..machine import Result
    from .engine import Podman

DOCKERFILE = """FROM localhost/bb:latest
RUN echo built > /file
USER app
RUN id -un > /tmp/who
USER root
RUN test "$(cat /tmp/who)" = app
CMD ["cat", "/file"]
"""


@pytest.fixture
def buildah(podman: Podman) -> Iterator[Callable[..., Result]]:
    """Runs buildah with the runtime under test; afterwards its containers are removed."""

    def run(*words: str, check: bool = True, stdin: bytes = b"") -> Result:
        environment = {"BUILDAH_RUNTIME": f"/usr/local/bin/{podman.runtime.name}"}
        result = podman.machine.run("buildah", *words, stdin=stdin, env=environment)
        return result.ok() if check else result

    yield run
    if names := run("containers", "-q").words:
        run("rm", *names)


def test_from_scratch(podman: Podman, buildah: Callable[..., Result]) -> None:
    name = buildah("from", "scratch").out.strip()
    buildah("copy", name, "/bin/busybox", "/bin/busybox")
    buildah("run", name, "--", "/bin/busybox", "echo", "hi").says("hi")
    buildah("run", name, "--", "/bin/busybox", "sh", "-c", "exit 42", check=False).ends(42)
    buildah("config", "--cmd", '["/bin/busybox","echo","made"]', name)
    buildah("commit", name, "localhost/made:1")
    podman("run", "--rm", "localhost/made:1").says("made")
    podman("rmi", "localhost/made:1")


def test_run(podman: Podman, buildah: Callable[..., Result]) -> None:
    name = buildah("from", "--pull-never", "localhost/bb:latest").out.strip()
    buildah("run", "--network=none", name, "ls", "/sys/class/net").says("lo")
    buildah("run", "--isolation=rootless", name, "echo", "hi").says("hi")
    buildah("run", "--user=app", name, "id", "-un").says("app")
    missing = buildah("run", name, "nosuchcmd", check=False)
    assert missing.code != 0
    assert "executable file not found in $PATH" in missing.err
    terminal = Terminal(
        podman.machine,
        "buildah",
        "--log-level=error",
        "run",
        "-t",
        f"--runtime=/usr/local/bin/{podman.runtime.name}",
        name,
        "sh",
        rows=33,
        columns=99,
    )
    terminal.expect("#")
    terminal.follows(33, 99)
    terminal.type("exit 4\n")
    assert terminal.wait() == 4


@pytest.mark.parametrize("command", ["bud", "podman"])
def test_dockerfile(podman: Podman, buildah: Callable[..., Result], command: str) -> None:
    store = podman.machine.store
    podman.machine.write(f"{store}/context/Dockerfile", DOCKERFILE)
    words = ["--pull-never", "-t", "localhost/built:1", f"{store}/context"]
    if command == "bud":
        buildah("bud", *words)
    else:
        podman("build", "--pull=never", *words[1:])
    podman("run", "--rm", "localhost/built:1").says("built")
    podman("rmi", "localhost/built:1")


def test_failing_step(podman: Podman, buildah: Callable[..., Result]) -> None:
    podman.machine.write(f"{podman.machine.store}/context/Dockerfile", "FROM localhost/bb:latest\nRUN exit 9\n")
    result = buildah("bud", "--pull-never", f"{podman.machine.store}/context", check=False)
    assert result.code != 0
    assert "exit status 9" in result.err
