"""ps, update, events and features on the command line, without a container."""

from __future__ import annotations

import json
import os

import pytest

from ocirun import container as api
from ocirun.cli.main import main
from ocirun.errors import ContainerNotFoundError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

EVENTS = [{"type": "stats", "id": "c1", "data": {"pids": {}}}, {"type": "oom", "id": "c1"}]


class Container:
    """A stand-in that notes updates; answers are class attributes."""

    id = "c1"
    processes: list[int] = []  # noqa: RUF012
    updates: list[tuple[object, str]] = []  # noqa: RUF012
    lines: list[str] = []  # noqa: RUF012
    warnings: list[str] = []  # noqa: RUF012
    interval = 0.0
    failure: Exception | None = None

    @classmethod
    def load(cls, container_id: str, *, root: str) -> Container:
        if container_id != "c1":
            raise ContainerNotFoundError("container does not exist")
        return cls()

    def pids(self) -> list[int]:
        return self.processes

    def update(self, resources: object, *, source: str, schemata: list[str]) -> list[str]:
        self.updates.append((resources, source))
        self.lines[:] = schemata
        if self.failure is not None:
            raise self.failure
        return self.warnings

    def stats(self) -> dict[str, Any]:
        return {"pids": {}}

    def watch(self, interval: float) -> Iterator[dict[str, Any]]:
        Container.interval = interval
        yield from EVENTS


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "Container", Container)
    monkeypatch.setattr(Container, "processes", [1, 22])
    monkeypatch.setattr(Container, "updates", [])


def updated(*words: str) -> object:
    assert main(["update", *words, "c1"]) == 0
    [(document, source)] = Container.updates
    assert source == "update"
    return document


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {}),
        (("--memory", "64m"), {"memory": {"limit": 64 << 20}}),
        (("--memory=-1", "--memory-swap", "-1"), {"memory": {"limit": -1, "swap": -1}}),
        (("--memory-reservation", "16M"), {"memory": {"reservation": 16 << 20}}),
        (("--cpu-quota", "-1", "--cpu-period=1000"), {"cpu": {"quota": -1, "period": 1000}}),
        (("--cpu-burst", "0", "--cpu-idle", "0"), {"cpu": {"burst": 0, "idle": 0}}),
        (("--cpu-share", "7", "--cpuset-cpus", "0-1", "--cpuset-mems=0"), {"cpu": {"shares": 7, "cpus": "0-1", "mems": "0"}}),
        (("--cpu-rt-period", "9", "--cpu-rt-runtime", "8"), {"cpu": {"realtimePeriod": 9, "realtimeRuntime": 8}}),
        (("--pids-limit", "-1", "--blkio-weight", "10"), {"pids": {"limit": -1}, "blockIO": {"weight": 10}}),
        (("--memory", "", "--cpuset-cpus", "", "--pids-limit="), {}),
    ],
)  # fmt: skip
def test_update_options(words: tuple[str, ...], expected: object) -> None:
    assert updated(*words) == expected


@pytest.mark.parametrize(
    "words",
    [
        ("--memory", "x"),
        ("--cpu-period", "-1"),
        ("--cpu-quota", "1.5"),
        ("--pids-limit", "many"),
        ("--cpu-share", "1k"),
    ],
)
def test_update_of_bad_values(words: tuple[str, ...], capfd: Any) -> None:
    assert main(["update", *words, "c1"]) == 1
    assert f"option {words[0]}: " in capfd.readouterr().err
    assert Container.updates == []


@pytest.mark.parametrize("name", ["--kernel-memory", "--kernel-memory-tcp"])
def test_update_of_kernel_memory_is_ignored(name: str, capfd: Any) -> None:
    assert updated(name, "10m") == {}
    assert f"{name} is ignored" in capfd.readouterr().err


def test_update_of_intel_rdt(capfd: Any) -> None:
    assert updated("--l3-cache-schema", "L3:0=f;1=3", "--mem-bw-schema=MB:0=20") == {}
    assert Container.lines == ["L3:0=f;1=3", "MB:0=20"]
    Container.updates.clear()
    for name, line in (
        ("--l3-cache-schema", "MB:0=1"),
        ("--l3-cache-schema", "L3:0=1\nMB:0=1"),
        ("--mem-bw-schema", "L3:0=f"),
    ):
        assert main(["update", name, line, "--memory", "5", "c1"]) == 1
        assert f"option {name}: " in capfd.readouterr().err
    assert Container.updates == []


@pytest.mark.parametrize("form", [("--resources", "-"), ("--resources=-",), ("-r", "-")])
def test_update_from_standard_input(form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"pids":')
    os.write(writer, b'{"limit":5}}\n')
    os.close(writer)
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        assert main(["update", *form, "c1"]) == 0
        os.fstat(0)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)
    assert Container.updates == [(b'{"pids":{"limit":5}}\n', "standard input")]


def test_update_from_a_file(tmp_path: Path, capfd: Any) -> None:
    file = tmp_path / "limits.json"
    file.write_bytes(b"{}")
    assert main(["update", "-r", str(file), "--memory", "5", "c1"]) == 0
    assert Container.updates == [(b"{}", str(file))]
    assert "--memory is ignored, since --resources is given" in capfd.readouterr().err


def test_update_from_no_file(tmp_path: Path, capfd: Any) -> None:
    for path in (tmp_path / "missing", tmp_path, "a\0b"):
        assert main(["update", "-r", str(path), "c1"]) == 1
    assert len(capfd.readouterr().err.splitlines()) == 3


def test_update_warns_and_fails(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(Container, "warnings", ["something"])
    updated()
    assert "something" in capfd.readouterr().err
    monkeypatch.setattr(Container, "failure", StateError("container not running"))
    assert main(["update", "c1"]) == 1
    assert "container not running" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["ps", "update", "events"])
def test_unknown_container(name: str, capfd: Any) -> None:
    # Before anything else, since engines look for these words.
    assert main([name, "unknown"]) == 1
    assert "container does not exist" in capfd.readouterr().err


def test_ps_json(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    assert main(["ps", "--format", "json", "c1"]) == 0
    assert capfd.readouterr().out == "[1,22]\n"
    monkeypatch.setattr(Container, "processes", [])
    assert main(["ps", "-f=json", "c1"]) == 0
    assert capfd.readouterr().out == "[]\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), ["-ef"]), (("-o", "pid"), ["-o", "pid"]), (("--format", "json"), ["--format", "json"]), (("--", "x"), ["--", "x"])],
)  # fmt: skip
def test_ps_arguments(words: tuple[str, ...], expected: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    seen = []

    def run_ps(arguments: list[str]) -> str:
        seen.append(arguments)
        return "PID CMD\n1 init\n3 x\n"

    monkeypatch.setattr("ocirun.cli.commands.ps.run_ps", run_ps)
    assert main(["ps", "c1", *words]) == 0
    assert (seen, capfd.readouterr().out) == ([expected], "PID CMD\n1 init\n")


def test_events(capfd: Any) -> None:
    assert main(["events", "c1"]) == 0
    assert [json.loads(line) for line in capfd.readouterr().out.splitlines()] == EVENTS
    assert Container.interval == 5.0
    assert main(["events", "--interval", "1m30s", "c1"]) == 0
    assert Container.interval == 90.0


def test_events_stats(capfd: Any) -> None:
    assert main(["events", "--stats", "c1"]) == 0
    assert capfd.readouterr().out == '{"type":"stats","id":"c1","data":{"pids":{}}}\n'


@pytest.mark.parametrize("text", ["5", "0s", "-5s", "soon"])
def test_events_bad_interval(text: str, capfd: Any) -> None:
    assert main(["events", f"--interval={text}", "c1"]) == 1
    assert "is not a duration" in capfd.readouterr().err
