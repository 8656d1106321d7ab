"""Parameters of the API: the same ones everywhere, and what is wrong with one is said by its name."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import os
import re
from pathlib import Path

import pytest

import ocirun
from ocirun import aio
from ocirun.runs.terms import Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .conftest import Make

ROOT = Path(__file__).resolve().parents[2]
COMMON = {"config", "memory", "pids", "cpus", "open_files", "file_size", "cgroup_manager", "root"}
TERMS = set(inspect.signature(Terms).parameters)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.mark.parametrize("function", [ocirun.run, ocirun.Container.create], ids=lambda one: one.__qualname__)
def test_all_have_the_same(function: Any) -> None:
    assert set(inspect.signature(function).parameters) >= COMMON


@pytest.mark.parametrize("function", [ocirun.Prepared, aio.run], ids=lambda one: one.__qualname__)
def test_these_take_those_of_a_run(function: Any) -> None:
    found = inspect.signature(function).parameters
    assert set(found) >= {"config", "cgroup_manager", "root", "own"}


@pytest.mark.parametrize(
    "function",
    [
        *(ocirun.run, ocirun.Container.create, ocirun.Container.load, ocirun.Prepared, aio.run, ocirun.delete),
        *(ocirun.list_ids, ocirun.list_states, ocirun.explain, ocirun.cleanup),
    ],
    ids=lambda one: one.__qualname__,
)
def test_the_root_may_be_left_out(function: Any) -> None:
    assert inspect.signature(function).parameters["root"].default == ""


def test_an_error_of_the_plan_names_no_file_that_is_not_there(tmp_path: Path) -> None:
    config = {"ociVersion": "1.3.0", "process": {"args": ["x"], "cwd": "/"}, "root": {"path": str(tmp_path)}}
    config["mounts"] = [{"destination": "/x", "options": ["bind"]}]
    config["linux"] = {"namespaces": [{"type": "mount"}]}
    with pytest.raises(ocirun.ConfigError, match=r"^config: /mounts/0/source: "):
        ocirun.explain(config=config, root=str(tmp_path))


def test_documented_names_are_there() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    named = set(re.findall(r"(?<![\w/.-])ocirun\.([A-Za-z_]+)(?=[(`.])", text))
    assert {"aio", "hostfacts", "run", "sandbox", "Pool"} <= named
    for name in named:
        assert hasattr(ocirun, name), name
        assert name in dir(ocirun)


WRONG: list[tuple[str, Any]] = [
    *[("args", value) for value in ("ls", b"ls", [b"ls"], 5, {"ls": 1})],
    *[("env", value) for value in ({"A": b"x"}, {b"A": "x"}, {"A": 1}, {"A=": "x"}, ["A=b"])],
    *[(name, value) for name in ("memory", "pids") for value in (0, -1, 1.5, "1", True)],
    *[("cpus", value) for value in (0, -1, math.inf, math.nan, "1")],
    *[("timeout", value) for value in (-1, math.nan, "1", True)],
    *[("cpu_time", value) for value in (-1, math.nan, "1", True)],
    *[("stdin", value) for value in ("text", None, 1 << 20, True, ocirun.PIPE, ocirun.STDOUT, [])],
    *[("stdout", value) for value in ("text", 1 << 20, True, ocirun.STDOUT)],
    *[("stderr", value) for value in ("text", 1 << 20, True)],
    *[("output_limit", value) for value in (-1, "1")],
    *[("on_output_limit", value) for value in ("x", 1, None)],
    *[("on_output", value) for value in ("x", 1)],
    *[("text", value) for value in ("no such", "hex", "idna", "punycode", 1, b"utf-8", None)],
    *[("check", value) for value in (1, None)],
    *[("open_files", value) for value in (0, 2, -1, "1", True)],
    *[("file_size", value) for value in (-1, "1", True)],
    *[("cgroup_manager", value) for value in ("x", 5)],
    *[("config", value) for value in (5, [])],
]


def each(bundle: str, root: str) -> dict[str, Callable[..., object]]:
    """Ways to run, by name."""

    def prepared(**own: Any) -> object:
        made = {name: own.pop(name) for name in ("config", "cgroup_manager") if name in own}
        return ocirun.Prepared(bundle, root=root, **made).run(**own)

    return {
        "run": lambda **own: ocirun.run(bundle, root=root, **own),
        "aio": lambda **own: asyncio.run(aio.run(bundle, root=root, **own)),
        "Prepared": prepared,
    }


@needs_root
@pytest.mark.parametrize("how", ["run", "aio", "Prepared"])
def test_wrong_parameters(bundle: str, root: str, how: str) -> None:
    for name, value in WRONG:
        with pytest.raises(ocirun.UsageError) as caught:
            each(bundle, root)[how](**{name: value})
        assert caught.value.message.startswith(name), (name, value, caught.value)
    assert not os.path.exists(root) or not os.listdir(root)


@needs_root
def test_wrong_parameters_of_a_container(make: Make, bundle: str, root: str) -> None:
    one = make("/bin/sleep", "600")
    one.start()
    for name, value in (
        ("args", "ls"),
        ("env", {"A": b""}),
        ("timeout", -1),
        ("user", 5),
        ("user", (-1, 0)),
        ("stdin", "x"),
    ):
        with pytest.raises(ocirun.UsageError) as caught:
            one.run(**{"args": ["/bin/true"], name: value})
        assert caught.value.message.startswith(name)
    for timeout in (-1, math.nan):
        with pytest.raises(ocirun.UsageError, match="timeout"):
            one.wait(timeout)
        with pytest.raises(ocirun.UsageError, match="timeout"):
            asyncio.run(aio.wait(one, timeout))
    for name, value in (("memory", 0), ("cpus", math.nan), ("config", 5), ("cgroup_manager", "x")):
        with pytest.raises(ocirun.UsageError) as caught:
            ocirun.Container.create("wrong", root=root, options=ocirun.CreateOptions(bundle=bundle), **{name: value})
        assert caught.value.message.startswith(name)
    assert ocirun.list_ids(root) == [one.id]


@needs_root
def test_create_with_a_config(bundle: str, root: str) -> None:
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["process"]["args"] = ["/bin/sleep", "600"]
    null = os.open("/dev/null", os.O_RDWR)
    options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null))
    try:
        with ocirun.Container.create("mine", root=root, options=options, config=config, pids=9) as one:
            one.start()
            assert one.status() == "running"
            saved = json.loads(Path(root, "mine", "config.json").read_bytes())
            assert saved["linux"]["resources"]["pids"]["limit"] == 9
            assert saved["process"]["args"] == ["/bin/sleep", "600"]
            named = ocirun.CreateOptions(bundle=bundle, config="config.json")
            with pytest.raises(ocirun.UsageError, match="config: is there twice"):
                ocirun.Container.create("other", root=root, options=named, config=config)
            plan = ocirun.explain(bundle, config=config)
            assert any(op.name == "find_program" and op.args["args"] == ["/bin/sleep", "600"] for op in plan.ops)
        assert ocirun.list_ids(root) == []
        # Deleted in the block, and another one has its id: that is not ours to delete.
        with ocirun.Container.create("mine", root=root, options=options, config=config) as one:
            one.delete()
            other = ocirun.Container.create("mine", root=root, options=options, config=config)
        assert ocirun.list_ids(root) == ["mine"]
        other.delete()
        with other:
            pass
    finally:
        os.close(null)
        ocirun.delete("mine", root=root, force=True)


@needs_root
def test_without_a_cgroup(bundle: str, root: str) -> None:
    config = json.loads(Path(bundle, "config.json").read_bytes())
    config["linux"].pop("resources")
    for run in each(bundle, root).values():
        outcome = run(config=config, cgroup_manager="disabled", args=["/bin/true"])
        assert isinstance(outcome, ocirun.Outcome) and outcome.ok and outcome.memory_peak is None
    with pytest.raises(ocirun.ConfigError, match="memory"):
        ocirun.run(bundle, config=config, root=root, cgroup_manager="disabled", memory=1 << 20)


@needs_root
@pytest.mark.parametrize("timeout", [math.inf, None, 1e300])
def test_no_limit_of_time(bundle: str, root: str, timeout: float | None) -> None:
    assert ocirun.run(bundle, args=["/bin/true"], root=root, timeout=timeout).ok
