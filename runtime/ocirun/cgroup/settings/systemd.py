"""Limits as properties of a systemd unit.  Pure.

systemd writes the files of a cgroup from the properties of its unit, now and
after each ``daemon-reload``.  So a limit must be in both, and the properties are
made from the settings of cgroup files that `translate` has made: one
arithmetic, one check.  Files that have no property are left alone by systemd,
as the cgroup is delegated.  Source: systemd.resource-control(5), and
org.freedesktop.systemd1(5) for the types.
"""

from __future__ import annotations

from ..._base.jsonio import pointer_token
from ...errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ..systemd.unit import Manager, Unit
    from .translation import Setting

    Property = tuple[str, str, Any]

INFINITY = (1 << 64) - 1
_SECOND = 1_000_000
_PERIOD = 100_000
# systemd keeps a quota as a share of a second, and rounds it down to 10 ms of it.
_QUOTA_STEP = 10_000
_SUFFIXES = "KMGTPE"
_ANNOTATION = "org.systemd.property."
# What the runtime itself decides; a second value would undo it.
_OWN = {
    "PIDs": "the runtime puts the container's process into the unit",
    "Slice": "it is the first part of linux.cgroupsPath",
    "Delegate": "the runtime needs the cgroup for itself",
}
# (property, first version that has it)
_AMOUNTS = {
    "memory.max": ("MemoryMax", 0),
    "memory.high": ("MemoryHigh", 0),
    "memory.low": ("MemoryLow", 0),
    "memory.min": ("MemoryMin", 240),
    "memory.swap.max": ("MemorySwapMax", 0),
    "memory.zswap.max": ("MemoryZSwapMax", 253),
    "memory.limit_in_bytes": ("MemoryLimit", 0),
    "cpu.weight": ("CPUWeight", 0),
    "cpu.shares": ("CPUShares", 0),
    "blkio.weight": ("BlockIOWeight", 0),
    "blkio.bfq.weight": ("BlockIOWeight", 0),
}
_MASKS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
_RATES = {
    "rbps": "IOReadBandwidthMax",
    "wbps": "IOWriteBandwidthMax",
    "riops": "IOReadIOPSMax",
    "wiops": "IOWriteIOPSMax",
}
_V1_RATES = {
    "blkio.throttle.read_bps_device": "BlockIOReadBandwidth",
    "blkio.throttle.write_bps_device": "BlockIOWriteBandwidth",
}


def unit_properties(
    unit: Unit, manager: Manager, *, container_id: str, unified: bool, annotations: Mapping[str, str]
) -> list[Property]:
    """Return the properties of the unit itself: (name, D-Bus signature, value).

    unified       the host has cgroup v2
    annotations   of config.json; ``org.systemd.property.NAME`` adds a property, or changes one of ours
    Raises ConfigError for an annotation that names no property or has no value.
    """
    block = "IOAccounting" if unified else "BlockIOAccounting"
    made: dict[str, Property] = {}
    for name, signature, value in (
        ("Description", "s", f"ocirun container {container_id}"),
        ("DefaultDependencies", "b", False),
        *((name, "b", True) for name in ("CPUAccounting", "MemoryAccounting", "TasksAccounting", block)),
    ):
        made[name] = (name, signature, value)
    if unit.is_slice:
        made["Wants"] = ("Wants", "as", [unit.slice])
    else:
        made["Slice"] = ("Slice", "s", unit.slice)
        made["Delegate"] = ("Delegate", "b", True)
        if manager.version >= 236:
            # A unit whose program was killed for want of memory would stay, as failed, and keep its name.
            made["CollectMode"] = ("CollectMode", "s", "inactive-or-failed")
    for name, signature, value in annotated(annotations):
        made[name] = (name, signature, value)
    return list(made.values())


def annotated(annotations: Mapping[str, str]) -> list[Property]:
    """Return the properties that annotations ask for, by the rules of runc.

    The value is GVariant text.  A name in ``Sec`` takes seconds and stands for the property in ``USec``.
    """
    found: list[Property] = []
    problems: list[Problem] = []
    for key, text in annotations.items():
        if not key.startswith(_ANNOTATION):
            continue
        try:
            found.append(_annotation(key[len(_ANNOTATION) :], text))
        except ValueError as error:
            pointer = f"/annotations/{pointer_token(key)}"
            problems.append(Problem(pointer, str(error), found=text[:80]))
    if problems:
        raise ConfigError(problems)
    return found


def _annotation(name: str, text: str) -> Property:
    from ..systemd import gvariant

    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        raise ValueError("does not name a property of systemd: at least three letters, and nothing but letters")
    if name in _OWN:
        raise ValueError(f"the property {name} cannot be set: {_OWN[name]}")
    if len(text) > 65536:
        raise ValueError("is longer than 65536 letters")
    try:
        signature, value = gvariant.parse(text)
    except ValueError as error:
        raise ValueError(f"the value is not GVariant text: it {error}") from None
    # A lower-case letter before it, so that "Sec" alone, or the end of an acronym, is not meant.
    if name.endswith("Sec") and name[-4:-3].islower():
        if signature not in tuple("ynqiuxtd"):
            raise ValueError(f"the value of {name} is not a number of seconds")
        # Neither is it NaN.
        if not 0 <= value < 1 << 44:
            raise ValueError(f"{text} is not a number of seconds that systemd can count")
        return name[:-3] + "USec", "t", int(value * _SECOND)
    return name, signature, value


def properties(settings: Iterable[Setting], *, version: int, period: int = 0) -> list[Property]:
    """Return the properties that say what these settings of cgroup files say.

    version   of systemd; a property that it does not have yet is left out, and the file alone is written
    period    of the CPU quota in microseconds, where a v1 quota comes without one; 0 for the default
    """
    made: dict[str, Property] = {}
    files = {setting.file: setting.value for setting in settings}
    for file, value in files.items():
        if file in _AMOUNTS:
            name, since = _AMOUNTS[file]
            amount = _amount(value)
            if version >= since and amount is not None:
                made[name] = (name, "t", amount)
        elif file in _MASKS and version >= 244:
            mask = cpu_mask(value)
            if mask:
                made[_MASKS[file]] = (_MASKS[file], "ay", mask)
    tasks = _amount(files.get("pids.max", ""))
    if tasks is not None:
        # 0 is not a value for systemd; with a process in the group, 1 is the same.
        made["TasksMax"] = ("TasksMax", "t", max(1, tasks))
    if "io.weight" in files:
        words = files["io.weight"].split()
        if words and _is_number(words[-1]) and len(words) < 3 and words[0] in ("default", words[-1]):
            made["IOWeight"] = ("IOWeight", "t", int(words[-1]))
    idle = files.get("cpu.idle")
    if idle is not None and version >= 252:
        weight = 0 if idle == "1" else made.get("CPUWeight", ("", "", 100))[2]
        made["CPUWeight"] = ("CPUWeight", "t", weight)
    for one in (*_quota(files, version, period), *_rates(settings)):
        made[one[0]] = one
    return list(made.values())


def _amount(value: str) -> int | None:
    """Return a number as the files of cgroups take it, K to E for powers of 1024;
    None for what `unified` has otherwise.

    The property is left out then: the file alone is written, and the kernel has the word.
    """
    if value in ("max", "-1"):
        return INFINITY
    power = _SUFFIXES.find(value[-1:].upper()) + 1 if value else 0
    digits = value[:-1] if power else value
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        return None
    return min(int(digits) << 10 * power, INFINITY)


def _quota(files: Mapping[str, str], version: int, period: int) -> list[Property]:
    quota = ""
    if "cpu.max" in files:
        words = [*files["cpu.max"].split(), "", ""][:2]
        quota, period = words[0], _amount(words[1]) or period
    else:
        quota = files.get("cpu.cfs_quota_us", "")
        period = int(files.get("cpu.cfs_period_us", period))
    made: list[Property] = []
    if period and version >= 242:
        made.append(("CPUQuotaPeriodUSec", "t", period))
    share = _amount(quota)
    if share is not None:
        if share != INFINITY:
            share = -(-share * _SECOND // (period or _PERIOD))
            share = -(-share // _QUOTA_STEP) * _QUOTA_STEP
        made.append(("CPUQuotaPerSecUSec", "t", share))
    return made


def _rates(settings: Iterable[Setting]) -> list[Property]:
    """Return throttles, by device; systemd looks the device up by the link that udev makes for each."""
    found: dict[str, list[tuple[str, int]]] = {}
    for setting in settings:
        device, _, rest = setting.value.partition(" ")
        path = f"/dev/block/{device}"
        if setting.file == "io.max":
            for word in rest.split():
                key, _, rate = word.partition("=")
                amount = _amount(rate)
                if key in _RATES and amount is not None:
                    found.setdefault(_RATES[key], []).append((path, amount))
        elif setting.file in _V1_RATES:
            # 0 lifts the limit.
            found.setdefault(_V1_RATES[setting.file], []).append((path, int(rest) or INFINITY))
    return [(name, "a(st)", rates) for name, rates in found.items()]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def cpu_mask(text: str) -> list[int]:
    """Return a list such as ``0-3,7`` as the bytes of a bit mask; empty for an empty or an unusual one."""
    mask = 0
    for part in text.replace("\n", ",").split(","):
        first, dash, last = part.strip().partition("-")
        if not part.strip():
            continue
        if not _is_number(first) or (dash and not _is_number(last)) or int(last or first) > 65535:
            return []
        for number in range(int(first), int(last or first) + 1):
            mask |= 1 << number
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))
