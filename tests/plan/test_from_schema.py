"""What fits the schema is accepted, or refused for a reason that has a name; what does not fit leaves nothing behind."""

from __future__ import annotations

import json

from config import from_schema, reasons
from config.test_schema import VALIDATOR
from hypothesis import HealthCheck, event, given, settings

from ocirun.cgroup import choose
from ocirun.config import load
from ocirun.errors import ConfigError, UnsupportedError
from ocirun.host.cgroups import Layout, Mount
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A host that has all.
CONTROLLERS = [
    "cpu",
    "cpuset",
    "memory",
    "pids",
    "devices",
    "freezer",
    "blkio",
    "hugetlb",
    "net_cls",
    "net_prio",
    "rdma",
]
MOUNTS = {
    name: Mount(f"/nowhere/{name}", "/", (name,), device=f"0:{number}", controllers=(name,))
    for number, name in enumerate(CONTROLLERS)
}
LAYOUT = Layout(MOUNTS, dict.fromkeys(MOUNTS, "/"))


def problems(config: dict[str, Any]) -> list[str]:
    """Pointers of what `create` would refuse on that host, up to the first thing that it does."""
    try:
        data: Any = load.from_bytes(json.dumps(config).encode(), bundle="/b", path="config.json").data
        path = (data.get("linux") or {}).get("cgroupsPath") or ""
        group = choose.new_driver(LAYOUT, cgroups_path=path, container_id="c", rootless=False)
        request = Request(container_id="c", bundle="/b", directory="/r/c", console_socket="/s")
        build(data, Facts(layout=LAYOUT), request, group)
    except ConfigError as error:
        return [problem.pointer for problem in error.problems if not problem.warning]
    except UnsupportedError as error:
        return [error.pointer]
    return []


def test_the_config_that_is_varied_is_good() -> None:
    assert problems(from_schema.base()) == []


@given(from_schema.configs())
@settings(max_examples=400, derandomize=True, suppress_health_check=list(HealthCheck))
def test_what_the_schema_allows(config: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(config)
    refused = problems(config)
    event("refused" if refused else "accepted")
    for pointer in refused:
        reason = reasons.known(config, pointer)
        assert reason, f"{pointer} is refused for no known reason"
        event(reason)
