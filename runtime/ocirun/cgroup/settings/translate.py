"""``linux.resources`` as writes to cgroup files.  Pure: all arithmetic and every refusal is here and in the
modules it calls, and nothing is opened.

In all blocks, what is absent or null leaves the kernel's value alone, and so
does a zero where zero is no limit that the kernel knows (memory.limit,
cpu.shares, cpu.quota, cpu.period, blockIO.weight, ...), since engines send
zeros for "unset".  Zero counts in pids.limit, memory.swappiness, cpu.burst,
cpu.idle, the throttles and hugepageLimits.
"""

from __future__ import annotations

from ...errors import ConfigError
from . import device_rules, v1, v2
from .translation import POINTER, V2, Translation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ...errors import Problem
    from .translation import Available, Setting


def translate(
    kind: str,
    resources: Mapping[str, Any] | None,
    *,
    pointer: str = POINTER,
    available: Available,
    devices: bool = True,
) -> tuple[list[Setting], list[Problem]]:
    """Return settings, in the order to write them, and warnings, for a driver of this `kind`.

    devices  write the device rules; False for an update, which leaves them, and where they cannot be enforced
    Raises ConfigError with every problem.  Without any resources there still
    are device rules: the list of devices that every container may use.
    """
    resources = resources or {}
    if kind == "none":
        return _none(resources, pointer)
    result = Translation(available, pointer)
    version, rules = (v2, device_rules.v2) if kind == V2 else (v1, device_rules.v1)
    if devices:
        rules(resources.get("devices") or (), result)
    result.fill(resources, version.BLOCKS)
    if resources.get("unified"):
        version.unified(resources["unified"], result)
    return result.result()


def _none(resources: Mapping[str, Any], pointer: str) -> tuple[list[Setting], list[Problem]]:
    """Translate for a container without a cgroup: every limit is refused."""
    result = Translation(_nothing, pointer)
    if resources.get("devices"):
        result.warn("devices", "is not enforced, since the container has no cgroup")
    rest = {key: block for key, block in resources.items() if key not in ("devices", "unified")}
    try:
        translate("v1", rest, pointer=pointer, available=_nothing, devices=False)
    except ConfigError as error:
        result.problems += error.problems
    if resources.get("unified"):
        result.problem("unified", "cannot be applied, since the container has no cgroup")
    for problem in result.problems:
        problem.expected = problem.expected or "absent, or a cgroupsPath that the caller may make"
    return result.result()


def _nothing(*_: str) -> bool:
    return False
