"""``linux.resources.blockIO`` for cgroup v1: weights and throttles.  Pure.

Sources: Documentation/block/bfq-iosched.rst (weights; the older blkio.weight
of CFQ left the kernel in 5.0, but some vendors' kernels have it) and
Documentation/admin-guide/cgroup-v1/blkio-controller.rst (throttles).
"""

from __future__ import annotations

from .io_devices import WEIGHT, device, rates

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .translation import Translation

_WEIGHT_FILES = ("blkio.bfq.weight", "blkio.weight")
_THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device"),
)


def block_io(block: Mapping[str, Any], result: Translation) -> None:
    """Translate all of the block.  A weight of 0 is unset, a rate of 0 lifts the limit."""
    _weight(result, _WEIGHT_FILES, block.get("weight") or 0, "", "blockIO/weight")
    _weight(result, ("blkio.leaf_weight",), block.get("leafWeight") or 0, "", "blockIO/leafWeight")
    for index, entry in enumerate(block.get("weightDevice") or ()):
        at = f"blockIO/weightDevice/{index}"
        name = device(entry, result, at)
        weight, leaf = entry.get("weight") or 0, entry.get("leafWeight") or 0
        if name and not weight and not leaf:
            result.problem(at, "sets neither weight nor leafWeight", expected="at least one of the two")
        elif name:
            files = tuple(f"{file}_device" for file in _WEIGHT_FILES)
            _weight(result, files, weight, f"{name} ", f"{at}/weight")
            _weight(result, ("blkio.leaf_weight_device",), leaf, f"{name} ", f"{at}/leafWeight")
    for key, file in _THROTTLES:
        for name, (rate, at) in rates(block, key, result).items():
            result.add("blkio", file, f"{name} {rate}", at, lifts=not rate)


def _weight(result: Translation, files: tuple[str, ...], weight: int, prefix: str, at: str) -> None:
    """Write the weight to the first of the files that exists."""
    if not weight or result.outside(at, weight, *WEIGHT):
        return
    if not result.available("blkio", ""):
        result.missing("blkio", at)
        return
    for file in files:
        if result.available("blkio", file):
            result.add("blkio", file, f"{prefix}{weight}", at)
            return
    result.problem(at, f"this kernel has no {files[0]}", expected="absent", found=weight)
