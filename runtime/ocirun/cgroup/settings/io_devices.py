"""What the blocks of ``blockIO`` have in common on cgroup v1 and v2: devices and their rates.  Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .translation import Translation

WEIGHT = (10, 1000)
# The kernel's dev_t: 12 bits and 20 bits.
_MAJOR_MAX = (1 << 12) - 1
_MINOR_MAX = (1 << 20) - 1
_UINT64_MAX = (1 << 64) - 1


def rates(block: Mapping[str, Any], key: str, result: Translation) -> dict[str, tuple[int, str]]:
    """Return MAJOR:MINOR -> (rate, place below the resources) of one array;
    of two entries for a device the last counts.
    """
    found: dict[str, tuple[int, str]] = {}
    for index, entry in enumerate(block.get(key) or ()):
        at = f"blockIO/{key}/{index}"
        name, rate = device(entry, result, at), entry.get("rate") or 0
        if name and not result.outside(f"{at}/rate", rate, 0, _UINT64_MAX):
            found[name] = (rate, at)
    return found


def device(entry: Mapping[str, Any], result: Translation, at: str) -> str:
    """Return MAJOR:MINOR of an entry, or "" and a problem."""
    major, minor = entry.get("major") or 0, entry.get("minor") or 0
    if result.outside(f"{at}/major", major, 0, _MAJOR_MAX) or result.outside(f"{at}/minor", minor, 0, _MINOR_MAX):
        return ""
    return f"{major}:{minor}"
