"""Every valid config becomes a plan that keeps the rules, or a clear refusal."""

from __future__ import annotations

import json
import posixpath

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ocirun.config import load
from ocirun.errors import ConfigError, UnsupportedError
from ocirun.plan import encode, render
from ocirun.plan.builder import clean
from ocirun.plan.ops import INIT, INIT_OPS

from . import configs, rules
from .decoder import Decoded
from .samples import BUNDLE, MADE, NAMES, config, plan, sample

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.errors import OcirunError
    from ocirun.plan.ops import Plan


def same_after_decoding(made: Plan) -> None:
    """What the helper reads is what the plan says."""
    decoded = Decoded(encode.encode(made, MADE))
    expected = []
    for index, op in enumerate(made.ops):
        if op.actor != INIT:
            continue
        expected.append(
            (index, op.name, [_plain(made, kind, op.args.get(name)) for name, kind in INIT_OPS[op.name][1]])
        )
    assert decoded.ops == expected
    assert decoded.inherited == made.inherited
    assert decoded.keep_fds == decoded.fd_base == max(made.keep, default=2) + 1


def _plain(made: Plan, kind: str, value: Any) -> Any:
    if kind == "slot":
        return None if value is None else made.slots.index(value)
    if kind == "int":
        return int(value or 0) & (2**64 - 1)
    if kind == "timed":
        return value[0] or None, value[1]
    if kind in ("bytes", "gids", "vector"):
        return None if value is None else list(value)
    if kind == "made":
        return list(MADE[value])
    return [tuple(pair) for pair in value] if kind == "options" else value


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("request_", [{}, {"detach": False}, {"no_pivot": True, "keep_fds": 2}], ids=str)
def test_samples(name: str, request_: dict[str, Any]) -> None:
    made = sample(name, **request_)
    rules.check(made)
    same_after_decoding(made)


@given(data=configs.configs(), request_=configs.requests, facts=configs.facts)
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
def test_any_config(data: dict[str, Any], request_: dict[str, Any], facts: dict[str, Any]) -> None:
    try:
        checked: Any = load.from_bytes(json.dumps(data).encode(), bundle=BUNDLE, path="config.json").data
    except ConfigError:
        event("not valid")
        return
    error: OcirunError | None = None
    try:
        made = plan(checked, facts=facts, **request_)
    except (ConfigError, UnsupportedError) as caught:
        error = caught
    if error:
        assert error.pointer.startswith("/"), error
        assert "\n" not in error.line()
        event("refused")
        return
    event("built")
    rules.check(made)
    same_after_decoding(made)
    assert json.loads(render.json(made))
    assert len(render.plan_text(made).splitlines()) > len(made.ops)
    assert made == plan(checked, facts=facts, **request_)


def test_without_process() -> None:
    data = config("hello")
    del data["process"]
    with pytest.raises(ConfigError) as caught:
        plan(data, detach=False)
    assert caught.value.pointer == "/process"
    # Only `start` needs it: until then there is a container without a program.
    made = plan(data)
    same_after_decoding(made)
    names = [op.name for op in made.ops]
    assert "wait_start" in names
    assert "execute" not in names
    assert "find_program" not in names


@pytest.mark.parametrize(
    ("facts", "request_", "kept"),
    [
        ({}, {}, []),
        ({"inherited": (3, 4, 5)}, {}, []),
        ({"inherited": (3, 4, 5)}, {"keep_fds": 2}, [3, 4]),
        ({"inherited": (4, 6)}, {"keep_fds": 2}, [4]),
        ({"inherited": (3, 4, 5), "listen_fds": 1}, {"keep_fds": 1}, [3, 4]),
    ],
)
def test_kept_descriptors(facts: dict[str, Any], request_: dict[str, Any], kept: list[int]) -> None:
    made = plan(config("hello"), facts=facts, **request_)
    assert made.keep == kept
    assert encode.fd_base(made) == (kept[-1] + 1 if kept else 3)


def test_detached_or_not() -> None:
    away, here = sample("hello"), sample("hello", detach=False)
    assert "make_start_fifo" in rules.names(away)
    assert "make_start_fifo" not in rules.names(here)
    starts = [next(op for op in made.ops if op.name == "wait_start").args["slot"] for made in (away, here)]
    assert starts == ["start", "sync"]


def test_host_batches() -> None:
    """Each host operation runs before spawn or at a barrier, once."""
    for name in NAMES:
        made = sample(name)
        first, batches = encode.host_batches(made)
        found = sorted([*first, *(index for batch in batches.values() for index in batch)])
        assert found == [index for index, op in enumerate(made.ops) if op.actor == "host"]
        assert first == list(range(len(first)))
        assert made.ops[first[-1]].name == "spawn"
        for barrier, batch in batches.items():
            assert not batch or batch[0] == barrier + 1


@pytest.mark.parametrize(
    ("version", "written"), [("1.0.2-dev", []), ("1.2.1", []), ("1.3.0", ["0"]), ("1.10.0", ["0"])]
)
def test_pids_limit_of_zero(version: str, written: list[str]) -> None:
    """A limit since version 1.3 of the specification, and none before."""
    data = config("limits")
    data["ociVersion"] = version
    data["linux"]["resources"] = {"pids": {"limit": 0}}
    made = plan(data)
    assert [op.args["value"] for op in made.ops if op.args.get("file") == "pids.max"] == written


@given(path=st.text(alphabet="/.a", max_size=12))
def test_clean_paths(path: str) -> None:
    """As normpath(3) of Python, which knows of POSIX's two slashes at the start."""
    assert clean(path) == posixpath.normpath("/" + path.lstrip("/"))
