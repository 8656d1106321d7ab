"""Many containers at once: nothing fails, nothing is left.

By default a few; with ``--engine-load`` as many as on a busy server, with runc beside it.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

SMALL = {"runs": 16, "execs": 16, "kept": 6}
FULL = {"runs": 200, "execs": 100, "kept": 50}
AT_ONCE = 8
LIMIT = 550


@pytest.fixture
def load(request: pytest.FixtureRequest) -> dict[str, int]:
    """How many of each."""
    return FULL if request.config.getoption("--engine-load") else SMALL


@pytest.fixture
def runtimes(request: pytest.FixtureRequest, docker: Docker) -> list[str]:
    """The runtime under test, and with --engine-load runc for comparison."""
    beside = [docker.peer] if request.config.getoption("--engine-load") and docker.peer else []
    return [docker.runtime.name, *beside]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Teller:
    """Prints a line of measurements."""
    return Teller(capsys)


class Teller:
    """Prints past pytest's capture."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, what: str, seconds: dict[str, float]) -> None:
        times = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
        with self._capsys.disabled():
            print(f"\n  {what}: {times}")


def descriptors(docker: Docker) -> int:
    """How many file descriptors dockerd and its containerd have open."""
    wanted = ("dockerd", "containerd --config")
    pids = [pid for pid, args in docker.machine.processes().items() if args.startswith(wanted)]
    return sum(len(os.listdir(f"/proc/{docker.machine.pid}/root/proc/{pid}/fd")) for pid in pids)


def test_runs(docker: Docker, load: dict[str, int], runtimes: list[str], tell: Teller) -> None:
    """Many `docker run --rm`, eight at once."""
    before = descriptors(docker)
    seconds = {}
    for name in runtimes:
        one = f"docker run --rm --runtime={name} bb echo n{{}}"
        script = f"seq {load['runs']} | xargs -P {AT_ONCE} -I'{{}}' {one}"
        done = docker.machine.run("sh", "-c", script, limit=LIMIT)
        assert sorted(done.words) == sorted(f"n{number}" for number in range(1, load["runs"] + 1)), done
        seconds[name] = done.seconds
    # The engine closes what it has open when it likes; one for each container would be a leak.
    most = before + load["runs"] - 1
    docker.until(lambda: descriptors(docker) <= most, "dockerd and containerd have closed their descriptors")
    tell(f"{load['runs']} docker run --rm, {AT_ONCE} at once", seconds)


def test_execs(docker: Docker, load: dict[str, int], runtimes: list[str], tell: Teller) -> None:
    """Many `docker exec` in one container, all at once."""
    seconds = {}
    for name in runtimes:
        docker.keep("-d", f"--name={name}", f"--runtime={name}", "--", "sleep", "1000").ok()
        script = f"for i in $(seq {load['execs']}); do docker exec {name} echo n$i & done; wait"
        done = docker.machine.run("sh", "-c", script, limit=LIMIT)
        assert sorted(done.words) == sorted(f"n{number}" for number in range(1, load["execs"] + 1)), done
        seconds[name] = done.seconds
        assert len(docker("top", name).out.splitlines()) == 2
        docker("rm", "-f", name)
    tell(f"{load['execs']} docker exec at once", seconds)


def test_daemon_restart(docker: Docker, load: dict[str, int], runtimes: list[str], tell: Teller) -> None:
    """Many containers run on while the daemon is restarted, and obey the new one."""
    docker.stop()
    docker.configure(**{"live-restore": True})
    docker.start()
    seconds = {}
    for name in runtimes:
        script = f"seq {load['kept']} | xargs -P {AT_ONCE} -I'{{}}' docker run -d --runtime={name} bb sleep 1000"
        started = docker.machine.run("sh", "-c", script, limit=LIMIT).ok()
        docker.stop()
        docker.start()
        names = docker("ps", "-q").words
        assert len(names) == load["kept"]
        docker("exec", names[0], "true")
        removed = docker("rm", "-f", *names, limit=LIMIT)
        seconds[name] = started.seconds + removed.seconds
    tell(f"{load['kept']} containers started, {AT_ONCE} at once, and removed by the next daemon", seconds)
