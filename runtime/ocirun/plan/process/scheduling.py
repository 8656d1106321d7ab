"""When and where the container's process runs, as numbers: scheduler, I/O priority, personality, CPUs, memory nodes.

Pure functions from parts of ``process`` and ``linux`` in config.json.  Each
raises ConfigError, with the pointer of the value, where the kernel would only
say EINVAL.  Sources: sched(7), sched_setattr(2), ioprio_set(2),
personality(2), and kernel/sched/syscalls.c of Linux 6.18.
"""

from __future__ import annotations

from ...errors import ConfigError, Problem
from .. import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# DL_SCALE: the kernel keeps 10 bits of a nanosecond less, so a shorter runtime would be zero.
_DEADLINE_RUNTIME_MIN = 1024
_DEADLINE_MAX = 2**63 - 1
# More CPUs than any kernel can be configured for (NR_CPUS is at most 8192); stops lists like 0-4294967295.
CPU_MAX = 65535


class Scheduler:
    """The fields of struct sched_attr; times in nanoseconds."""

    __slots__ = ("deadline", "flags", "nice", "period", "policy", "priority", "runtime")

    def __init__(
        self,
        policy: int,
        *,
        flags: int = 0,
        nice: int = 0,
        priority: int = 0,
        runtime: int = 0,
        deadline: int = 0,
        period: int = 0,
    ) -> None:
        self.policy = policy
        self.flags = flags
        self.nice = nice
        self.priority = priority
        self.runtime = runtime
        self.deadline = deadline
        self.period = period

    def fields(self) -> tuple[int, int, int, int, int, int, int]:
        """Return (policy, flags, nice, priority, runtime, deadline, period), the order of struct sched_attr."""
        return self.policy, self.flags, self.nice, self.priority, self.runtime, self.deadline, self.period

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scheduler) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        return f"Scheduler{self.fields()}"


def scheduler(block: Mapping[str, Any] | None, *, pointer: str = "/process/scheduler") -> Scheduler | None:
    """Return ``process.scheduler`` for sched_setattr(2), or None where absent."""
    if block is None:
        return None
    name = block.get("policy", "")
    policy = c.SCHEDULERS.get(name, -1)
    if policy < 0:
        raise ConfigError([Problem(f"{pointer}/policy", f"{name!a} is not a scheduling policy", found=name)])
    problems: list[Problem] = []
    flags = 0
    for index, flag in enumerate(block.get("flags") or ()):
        bit = c.SCHEDULER_FLAGS.get(flag)
        if bit is None:
            problems.append(Problem(f"{pointer}/flags/{index}", f"{flag!a} is not a scheduler flag", found=flag))
        else:
            flags |= bit
    result = Scheduler(
        policy,
        flags=flags,
        **{key: block.get(key) or 0 for key in ("nice", "priority", "runtime", "deadline", "period")},
    )
    if policy == c.SCHED_ISO:
        problems.append(Problem(f"{pointer}/policy", "SCHED_ISO is a reserved number; no Linux kernel implements it"))
    problems += _priorities(result, name, pointer)
    problems += _times(result, name, pointer)
    if problems:
        raise ConfigError(problems)
    return result


def _priorities(wanted: Scheduler, name: str, pointer: str) -> list[Problem]:
    problems = []
    if not -20 <= wanted.nice <= 19:
        problems.append(Problem(f"{pointer}/nice", f"{wanted.nice} is outside -20 .. 19", found=str(wanted.nice)))
    where, found = f"{pointer}/priority", str(wanted.priority)
    if wanted.policy in (c.SCHED_FIFO, c.SCHED_RR):
        if not 1 <= wanted.priority <= 99:
            problems.append(Problem(where, f"{name} needs a priority from 1 to 99", found=found))
    elif wanted.priority:
        problems.append(Problem(where, f"only SCHED_FIFO and SCHED_RR have a priority, not {name}", found=found))
    return problems


def _times(wanted: Scheduler, name: str, pointer: str) -> list[Problem]:
    times = (("runtime", wanted.runtime), ("deadline", wanted.deadline), ("period", wanted.period))
    if wanted.policy != c.SCHED_DEADLINE:
        return [
            Problem(f"{pointer}/{key}", f"only SCHED_DEADLINE has a {key}, not {name}", found=str(value))
            for key, value in times
            if value
        ]
    problems = [
        Problem(f"{pointer}/{key}", f"{value} is outside 0 .. 2**63 - 1 nanoseconds", found=str(value))
        for key, value in times
        if not 0 <= value <= _DEADLINE_MAX
    ]
    if problems:
        return problems
    if wanted.runtime < _DEADLINE_RUNTIME_MIN:
        message = f"SCHED_DEADLINE needs a runtime of at least {_DEADLINE_RUNTIME_MIN} nanoseconds"
        problems.append(Problem(f"{pointer}/runtime", message, found=str(wanted.runtime)))
    if not wanted.deadline:
        problems.append(Problem(f"{pointer}/deadline", "SCHED_DEADLINE needs a deadline"))
    elif wanted.runtime > wanted.deadline:
        message = f"the runtime {wanted.runtime} is longer than the deadline {wanted.deadline}"
        problems.append(Problem(f"{pointer}/runtime", message))
    # A period of 0 means "as long as the deadline".
    if wanted.period and wanted.deadline > wanted.period:
        message = f"the deadline {wanted.deadline} is longer than the period {wanted.period}"
        problems.append(Problem(f"{pointer}/deadline", message))
    return problems


def io_priority(block: Mapping[str, Any] | None, *, pointer: str = "/process/ioPriority") -> tuple[int, int] | None:
    """Return ``process.ioPriority`` as (which, ioprio) for ioprio_set(2), or None where absent.

    `which` is IOPRIO_WHO_PGRP: the runtime-spec speaks of the process group.
    """
    if block is None:
        return None
    name, level = block.get("class", ""), block.get("priority", 0)
    number = c.IOPRIO_CLASSES.get(name)
    problems = []
    if number is None:
        problems.append(Problem(f"{pointer}/class", f"{name!a} is not an I/O scheduling class", found=name))
    if not 0 <= level <= 7:
        problems.append(Problem(f"{pointer}/priority", f"{level} is outside 0 .. 7", found=str(level)))
    if number is None or problems:
        raise ConfigError(problems)
    return c.IOPRIO_WHO_PGRP, number << c.IOPRIO_CLASS_SHIFT | level


def personality(block: Mapping[str, Any] | None, *, pointer: str = "/linux/personality") -> int | None:
    """Return ``linux.personality`` as the word for personality(2), or None where absent.

    The runtime-spec defines no value for ``flags``, so any entry is a problem.
    """
    if block is None:
        return None
    name = block.get("domain", "")
    persona = c.PERSONALITIES.get(name)
    problems = []
    if persona is None:
        problems.append(Problem(f"{pointer}/domain", f"{name!a} is not an execution domain", found=name))
    for index, flag in enumerate(block.get("flags") or ()):
        problems.append(Problem(f"{pointer}/flags/{index}", f"{flag!a}: no personality flags are defined", found=flag))
    if problems:
        raise ConfigError(problems)
    return persona


def memory_policy(block: Mapping[str, Any] | None, *, pointer: str = "/linux/memoryPolicy") -> tuple[int, int] | None:
    """Return ``linux.memoryPolicy`` as (mode and flags, mask of nodes) for set_mempolicy(2), or None where absent.

    Which modes take nodes and flags is for the rules of the config (rules/seldom.py).
    """
    if block is None:
        return None
    mode = c.MEMORY_POLICIES.get(block.get("mode", ""))
    if mode is None:
        message = f"{block.get('mode', '')!a} is not a memory policy"
        raise ConfigError([Problem(f"{pointer}/mode", message, expected=", ".join(c.MEMORY_POLICIES))])
    for index, flag in enumerate(block.get("flags") or ()):
        if flag not in c.MEMORY_POLICY_FLAGS:
            message = f"{flag!a} is not a flag of a memory policy"
            raise ConfigError([Problem(f"{pointer}/flags/{index}", message, found=flag)])
        mode |= c.MEMORY_POLICY_FLAGS[flag]
    nodes = block.get("nodes") or ""
    return mode, cpu_list(nodes, pointer=f"{pointer}/nodes", limit=c.NODE_MAX) if nodes else 0


def bit_set(mask: int) -> list[int]:
    """Return a mask as the bytes of a bit set of whole 64-bit words; none for 0."""
    return list(mask.to_bytes((mask.bit_length() + 63) // 64 * 8, "little"))


def cpu_list(text: str, *, pointer: str, limit: int = CPU_MAX) -> int:
    """Return a list of CPUs or memory nodes such as ``0-3,7`` as a mask, bit N for number N.

    limit   the highest number allowed
    Raises ConfigError for anything but decimal numbers, ranges and commas, and for an empty list.
    """
    mask = 0
    for part in text.strip(" \t\n").split(","):
        span = part.strip(" \t")
        first, dash, last = span.partition("-")
        low, high = _cpu_number(first), _cpu_number(last if dash else first)
        if low < 0 or high < 0:
            message = f"{text[:60]!a} is not a list of numbers and ranges"
            raise ConfigError([Problem(pointer, message, expected="such as 0-3,7", found=text)])
        if low > high:
            raise ConfigError([Problem(pointer, f"the range {span} runs backwards", found=text)])
        if high > limit:
            raise ConfigError([Problem(pointer, f"{high} is above {limit}, the highest possible number", found=text)])
        mask |= (1 << high + 1) - (1 << low)
    return mask


def _cpu_number(text: str) -> int:
    # int() alone would take signs, underscores and the digits of other scripts.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1
