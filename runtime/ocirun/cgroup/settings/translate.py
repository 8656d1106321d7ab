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
from . import device_rules
from . import v1 as v1_blocks
from . import v2 as v2_blocks
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
    if kind == "none":
        return none(resources, pointer=pointer)
    made = v2 if kind == V2 else v1
    return made(resources, pointer=pointer, available=available, devices=devices)


def v2(
    resources: Mapping[str, Any] | None,
    *,
    pointer: str = POINTER,
    available: Available,
    devices: bool = True,
) -> tuple[list[Setting], list[Problem]]:
    """Translate for cgroup v2."""
    resources = resources or {}
    result = Translation(available, pointer)
    if devices:
        device_rules.v2(resources.get("devices") or (), result)
    result.fill(resources, v2_blocks.BLOCKS)
    if resources.get("unified"):
        v2_blocks.unified(resources["unified"], result)
    return result.result()


def v1(
    resources: Mapping[str, Any] | None,
    *,
    pointer: str = POINTER,
    available: Available,
    devices: bool = True,
) -> tuple[list[Setting], list[Problem]]:
    """Translate for cgroup v1."""
    resources = resources or {}
    result = Translation(available, pointer)
    if devices:
        device_rules.v1(resources.get("devices") or (), result)
    result.fill(resources, v1_blocks.BLOCKS)
    if resources.get("unified"):
        result.problem("unified", "is for cgroup v2, and the container's groups are on v1", expected="absent")
    return result.result()


def none(resources: Mapping[str, Any] | None, *, pointer: str = POINTER) -> tuple[list[Setting], list[Problem]]:
    """Translate for a container without a cgroup: every limit is refused."""
    resources = resources or {}
    result = Translation(_nothing, pointer)
    if resources.get("devices"):
        result.warn("devices", "is not enforced, since the container has no cgroup")
    rest = {key: block for key, block in resources.items() if key not in ("devices", "unified")}
    try:
        v1(rest, pointer=pointer, available=_nothing, devices=False)
    except ConfigError as error:
        result.problems += error.problems
    if resources.get("unified"):
        result.problem("unified", "cannot be applied, since the container has no cgroup")
    for problem in result.problems:
        problem.expected = problem.expected or "absent, or a cgroupsPath that the caller may make"
    return result.result()


def _nothing(*_: str) -> bool:
    return False
