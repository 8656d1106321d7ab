"""``--debug``: what is told of a plan."""

from __future__ import annotations

import json

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


@pytest.mark.parametrize("form", ["text", "json"])
def test_debug_tells_the_steps(live: Case, form: str) -> None:
    """The plan's operations, each with its number and place; no value of the environment."""
    bundle = live.bundle(["/bin/true"])
    bundle.process["env"].append("KEY=secret-1")
    bundle.save()
    log = f"{live.dir}/log"
    live.command(*("--debug", "--log", log, "--log-format", form, "create", "--bundle", bundle.path, bundle.id)).ok()
    live.command(*("--debug", "--log", log, "--log-format", form, "exec", "-e", "A=secret-2", bundle.id, "true")).ok()
    with open(log, encoding="utf-8") as file:
        lines = file.read().splitlines()
    plan = json.loads(live.command("explain", "--json", "--bundle", bundle.path).ok().out)["ops"]
    assert len(lines) > len(plan) + 30
    assert not [line for line in lines if "secret" in line]
    if form == "json":
        steps = [json.loads(line) for line in lines]
        assert {step["level"] for step in steps} == {"debug"}
        mount = next(step for step in steps if step.get("pointer") == "/mounts/0" and step["operation"] == "attach")
        assert mount["msg"] == f"operation {mount['index']} (init): /mounts/0: attach the mount"
    else:
        assert all(" level=debug msg=" in line for line in lines)
        assert any("(init): /mounts/0: attach the mount" in line for line in lines)
    live.delete(bundle, "--force")
