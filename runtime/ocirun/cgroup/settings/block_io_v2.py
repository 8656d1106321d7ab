"""``linux.resources.blockIO`` for cgroup v2: weights and throttles.  Pure.

Sources: Documentation/admin-guide/cgroup-v2.rst, "IO Interface Files", and
Documentation/block/bfq-iosched.rst.
"""

from __future__ import annotations

from .io_devices import WEIGHT, device, rates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .translation import Translation

_THROTTLES = (
    ("throttleReadBpsDevice", "rbps"),
    ("throttleWriteBpsDevice", "wbps"),
    ("throttleReadIOPSDevice", "riops"),
    ("throttleWriteIOPSDevice", "wiops"),
)


def block_io(block: Mapping[str, Any], result: Translation) -> None:
    """Translate all of the block.  A weight of 0 is unset, a rate of 0 lifts the limit."""
    _weight(result, block.get("weight") or 0, "", "blockIO/weight")
    _no_leaf(result, block, "blockIO")
    for index, entry in enumerate(block.get("weightDevice") or ()):
        at = f"blockIO/weightDevice/{index}"
        name = device(entry, result, at)
        if name and not entry.get("weight") and not entry.get("leafWeight"):
            result.problem(at, "sets neither weight nor leafWeight", expected="at least one of the two")
        elif name:
            _weight(result, entry.get("weight") or 0, f"{name} ", f"{at}/weight")
            _no_leaf(result, entry, at)
    for key, word in _THROTTLES:
        for name, (rate, at) in rates(block, key, result).items():
            result.add("io", "io.max", f"{name} {word}={rate or 'max'}", at, lifts=not rate)


def _weight(result: Translation, weight: int, prefix: str, at: str) -> None:
    """Add the weight as BFQ takes it, or stretched to the range of io.weight."""
    if not weight or result.outside(at, weight, *WEIGHT):
        return
    if not result.available("io", ""):
        result.missing("io", at)
    elif result.available("io", "io.bfq.weight"):
        result.add("io", "io.bfq.weight", f"{prefix}{weight}", at)
    elif result.available("io", "io.weight"):
        result.add("io", "io.weight", f"{prefix}{1 + (weight - 10) * 9999 // 990}", at)
    else:
        result.problem(at, "this kernel has neither io.bfq.weight nor io.weight", expected="absent", found=weight)


def _no_leaf(result: Translation, entry: Mapping[str, Any], at: str) -> None:
    if entry.get("leafWeight"):
        what = "has no counterpart on cgroup v2, which this host has"
        result.problem(f"{at}/leafWeight", what, expected="absent", found=entry["leafWeight"])
