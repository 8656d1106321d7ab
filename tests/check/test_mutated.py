"""Configs changed at random: `check` and `explain` say what is wrong, and never that something is wrong with them.

``OCIRUN_MUTANTS`` is how many are tried, 250 without it; ``OCIRUN_SEED`` where the random numbers start.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from config.samples import docker, full, minimal
from config.test_schema import VALUES, places

from check.test_audit import base
from ocirun.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

MUTANTS = int(os.environ.get("OCIRUN_MUTANTS", "250"))
SEED = int(os.environ.get("OCIRUN_SEED", "1"))

DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP] if len(json.dumps(DEEP)) % 3 else {"a": DEEP}

#: Besides those of the walk's tests: what no table has a row for.
ODD: list[Any] = [
    *VALUES, DEEP, "x" * 5000, "/" + "a/" * 3000, "%s{}%n\u202e\n\x1b[2J", "é" * 300, 10**400, -(10**30), [[[]]],
    ["x"] * 300, [{}] * 300, [None] * 300, {str(number): number for number in range(300)}, {"~/": {"~1": 1}},
]  # fmt: skip


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The two commands switch it off, as they end soon."""
    yield
    gc.enable()


def mutant(dice: random.Random) -> Any:
    config: Any = copy.deepcopy(dice.choice([minimal(), docker(), full(), base()]))
    if dice.random() < 0.02:
        return dice.choice(ODD)
    for _ in range(dice.choice((1, 1, 2, 3, 8, 40))):
        spots = places(config)
        if not spots or len(spots) > 5000:
            break
        container, key = dice.choice(spots)
        value = copy.deepcopy(dice.choice(ODD))
        match dice.randrange(6):
            case 0:
                del container[key]
            case 1 if isinstance(container, list):
                container.insert(key, value)
            case 1:
                container[dice.choice(["x", "", "weight", "path", "linux", "a/b~", "Args"])] = value
            case 2 if isinstance(container[key], list) and len(container[key]) < 50:
                # The same again and again: lists that are long, repeat themselves, and have many faults.
                container[key] = container[key] * dice.choice((2, 300))
            case 3 if len(spots) < 1000:
                container[key] = copy.deepcopy(dice.choice(spots)[0])
            case _:
                container[key] = value
    return config


def look(capfd: Capture, words: list[str]) -> str:
    """What a command says; it must end in order."""
    capfd.readouterr()
    status = main(["--cgroup-manager", "disabled", "--root", "/nonexistent/ocirun", *words])
    captured = capfd.readouterr()
    said = captured.out + captured.err
    assert status in (0, 1), said
    assert status == 0 or said, "nothing is said"
    for word in ("internal error", "Traceback", "of ocirun itself"):
        assert word not in captured.err, captured.err
    return said


def test_mutants(tmp_path: Path, capfd: Capture) -> None:
    dice = random.Random(SEED)
    (tmp_path / "rootfs").mkdir()
    file = tmp_path / "config.json"
    tried = {"refused": 0, "taken": 0}
    for _ in range(MUTANTS):
        config = mutant(dice)
        file.write_text(json.dumps(config))
        kept = json.dumps(config)[:3000]
        try:
            found = json.loads(look(capfd, ["check", "--json", str(file)]))
            look(capfd, ["check", str(file)])
            shown = look(capfd, ["explain", "--bundle", str(tmp_path)])
        except BaseException:
            print(f"the config: {kept}")
            raise
        # The two agree on what is wrong everywhere; only `check` looks at files, and at values of mount options.
        errors = [one for one in found["findings"] if (one["severity"], one["source"]) == ("error", "config")]
        planned = shown.startswith("  op")
        assert not errors or not planned, kept
        assert found["errors"] or planned, kept
        tried["taken" if planned else "refused"] += 1
    assert min(tried.values()) > MUTANTS // 50, tried


@pytest.mark.parametrize(
    "change",
    [
        {"mounts": "x"},
        {"mounts": ["x"] * 300},
        {"mounts": {"a": 1}},
        {"hooks": {"prestart": "x", "poststop": {"a": 1}}},
        {"linux": {"namespaces": "x", "resources": [], "seccomp": "x", "devices": {"a": 1}}},
    ],
)
def test_more_faults_than_are_listed(tmp_path: Path, capfd: Capture, change: dict[str, Any]) -> None:
    config = base()
    # The walk gives up here, before it comes to the rest.
    config["process"]["rlimits"] = [5] * 300
    config.update(change)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    found = json.loads(look(capfd, ["check", "--json", str(file)]))
    assert found["errors"] == 201
    assert "more than 200 problems" in found["findings"][200]["message"]


def test_the_second_opinion_is_asked_for(tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` alone imports no jsonschema, which takes twenty times as long as all the rest."""
    from ocirun.audit import schema

    monkeypatch.setattr(schema, "structure", lambda data: [])
    (tmp_path / "rootfs").mkdir()
    config = base()
    config["process"]["cwd"] = 5
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert "second opinion" not in look(capfd, ["check", str(file)])
    assert "second opinion" in look(capfd, ["check", "--thorough", str(file)])
