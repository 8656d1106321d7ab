"""What a user reads when the runtime refuses or fails, and the status that podman ends with."""

from __future__ import annotations

import shutil

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..machine import Result
    from .engine import Podman

FAILING = {
    "mount option": (["--tmpfs=/x:size=lots"], 126, ["/options/0", "Bad value for 'size'"]),
    "file on directory": (["-v", "/etc/hostname:/etc"], 126, ["/mounts/", "not a directory"]),
    "volume in proc": (["-v", "/etc:/proc/x"], 126, ["/destination", "inside /proc"]),
    "sysctl": (["--sysctl=net.ipv4.nosuch=1"], 127, ["/linux/sysctl/net.ipv4.nosuch", "no such file or directory"]),
    "rlimit": (["--ulimit=nofile=9999999999:9999999999"], 126, ["/process/rlimits/", "operation not permitted"]),
    "namespace": (["--ipc=ns:/etc/passwd"], 126, ["/path: /etc/passwd is not a namespace"]),
    "tiny memory": (["--memory=4k"], 126, ["memory limit"]),
}


def beside(podman: Podman, name: str) -> str:
    """runc, to compare with, unless it is the one under test."""
    path = shutil.which(name)
    return path if path and podman.runtime.ours else ""


@pytest.mark.parametrize("what", FAILING)
def test_failing_step(podman: Podman, what: str) -> None:
    """What failed is told with its place in config.json; podman ends with the same status as with runc."""
    options, code, texts = FAILING[what]
    result = podman.run(*options, "--", "true").ends(code)
    if podman.runtime.ours:
        result.ends(code, *texts)
        assert "Traceback" not in result.err
    if runc := beside(podman, "runc"):
        podman("--runtime", runc, "run", "--rm", *options, "localhost/bb:latest", "true", check=False).ends(code)


def test_failing_exec(podman: Podman) -> None:
    runtimes = {"c1": podman.path, "c2": beside(podman, "runc") or podman.path}
    for name, path in runtimes.items():
        podman("--runtime", path, "run", "-d", f"--name={name}", "localhost/bb:latest", "sleep", "1000")

    def run(name: str, *words: str) -> Result:
        return podman("exec", *words[:-1], name, *words[-1].split(), check=False)

    for words, code, text in (
        (["nosuchcmd"], 127, "executable file not found in $PATH"),
        (["/no/such"], 127, "no such file or directory"),
        (["/etc/passwd"], 126, "permission denied"),
        (["/etc"], 126, "permission denied"),
        (["-w", "/nosuch", "true"], 127, "chdir to cwd"),
        (["-w", "/etc/passwd", "true"], 255, "not a directory"),
    ):
        for name in runtimes:
            run(name, *words).ends(code, text)


def test_failing_update(podman: Podman) -> None:
    """The limits stay as they were, and the file that refused is named."""
    podman.keep("-d", "--name=c1", "--memory=64m", "--", "sleep", "1000").ok()
    result = podman("update", "--memory=1k", "c1", check=False).ends(125)
    if podman.runtime.ours:
        assert "/memory/limit" in result.err
        assert "memory.limit_in_bytes: device or resource busy" in result.err
    limit = podman("exec", "c1", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    assert limit.words == [str(64 << 20)]
