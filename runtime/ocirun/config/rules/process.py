"""Rules on ``process``: its arguments, limits, capabilities and scheduling."""

from __future__ import annotations

from ..patterns import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

#: Largest CPU number that a mask of the kernel can hold (CONFIG_NR_CPUS is at most 8192).
LAST_CPU = 8191

SETS = ("effective", "bounding", "inheritable", "permitted", "ambient")

#: capabilities(7), in the order of their numbers; the last one is of Linux 5.9.
CAPABILITIES = """
    CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
    CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW
    CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
    CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD
    CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
    CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE
""".split()  # noqa: SIM905  as a literal these would be 41 lines


def check(data: dict[str, Any], report: Report) -> None:
    """Add what is wrong in ``process``, if there is one."""
    process = data.get("process")
    if not isinstance(process, dict):
        return
    if report.sound("/process/args") and process["args"][0] == "":
        report.add("/process/args/0", "names no program", expected="a program", found="an empty string")
    for key in ("apparmorProfile", "selinuxLabel"):
        if process.get(key) and report.sound(f"/process/{key}") and "\n" in process[key]:
            report.wrong(f"/process/{key}", "one line", process[key])
    if process.get("rlimits") and report.sound("/process/rlimits"):
        _rlimits(process["rlimits"], report)
    if process.get("capabilities") and report.sound("/process/capabilities"):
        _capabilities(process["capabilities"], report)
    if process.get("scheduler") and report.sound("/process/scheduler"):
        _scheduler(process["scheduler"], report)
    if process.get("ioPriority") and report.sound("/process/ioPriority"):
        _io_priority(process["ioPriority"], report)
    if process.get("execCPUAffinity") and report.sound("/process/execCPUAffinity"):
        _affinity(process["execCPUAffinity"], report)


def _rlimits(rlimits: list[dict[str, Any]], report: Report) -> None:
    first: dict[str, int] = {}
    for index, rlimit in enumerate(rlimits):
        pointer = f"/process/rlimits/{index}"
        name = rlimit["type"]
        if name in first:
            text = f"{name} is set by entry {first[name]} already"
            report.add(f"{pointer}/type", text, expected="each type once", found=name)
        else:
            first[name] = index
        if rlimit["soft"] > rlimit["hard"]:
            report.add(
                f"{pointer}/soft",
                f"is above the hard limit of {name}, {rlimit['hard']}",
                expected=f"at most {rlimit['hard']}",
                found=str(rlimit["soft"]),
            )


def _capabilities(sets: dict[str, Any], report: Report) -> None:
    known = frozenset(CAPABILITIES)
    for name in SETS:
        for index, word in enumerate(sets.get(name, ())):
            if word not in known:
                # config.md: an unknown capability must be warned about and should not be an error.
                from ..._base.near import did_you_mean

                near = did_you_mean(word, CAPABILITIES)
                report.warn(
                    f"/process/capabilities/{name}/{index}",
                    f"{word!a} is not a capability and is ignored" + (f"; {near}" if near else ""),
                    expected="a name such as CAP_NET_RAW",
                    found=word,
                )


def _scheduler(scheduler: dict[str, Any], report: Report) -> None:
    """Check by sched(7) and sched_setattr(2) which attribute goes with which policy, and its range."""
    policy = scheduler["policy"]
    place = "/process/scheduler"
    nice = scheduler.get("nice", 0)
    if policy in ("SCHED_OTHER", "SCHED_BATCH"):
        if not -20 <= nice <= 19:
            report.wrong(f"{place}/nice", "an integer from -20 to 19", nice)
    elif nice:
        report.add(f"{place}/nice", f"has no meaning for {policy}", expected="SCHED_OTHER or SCHED_BATCH")
    priority = scheduler.get("priority", 0)
    if policy in ("SCHED_FIFO", "SCHED_RR"):
        if not 1 <= priority <= 99:
            report.wrong(f"{place}/priority", f"an integer from 1 to 99 for {policy}", priority)
    elif priority:
        report.add(f"{place}/priority", f"has no meaning for {policy}", expected="SCHED_FIFO or SCHED_RR")
    if policy == "SCHED_DEADLINE":
        _deadline(scheduler, report)
        return
    for key in ("runtime", "deadline", "period"):
        if scheduler.get(key):
            report.add(f"{place}/{key}", f"has no meaning for {policy}", expected="SCHED_DEADLINE")


def _deadline(scheduler: dict[str, Any], report: Report) -> None:
    """Check that 1024 ns <= runtime <= deadline <= period < 2**63, as the kernel wants,
    with a period of 0 for the deadline.
    """
    least = 1024
    for key in ("runtime", "deadline", "period"):
        value = scheduler.get(key, 0)
        if key == "period" and value == 0:
            continue
        if not least <= value < 1 << 63:
            report.wrong(f"/process/scheduler/{key}", f"from {least} to {(1 << 63) - 1} nanoseconds", value)
            return
        least = value


def _io_priority(priority: dict[str, Any], report: Report) -> None:
    """Check the priority: IOPRIO_CLASS_IDLE has one level;
    in the others the 0 of a missing one would be the highest.
    """
    if "priority" not in priority and priority["class"] != "IOPRIO_CLASS_IDLE":
        text = f"is required for {priority['class']}"
        report.add("/process/ioPriority/priority", text, expected="an integer from 0 to 7")


def _affinity(affinity: dict[str, Any], report: Report) -> None:
    for key in ("initial", "final"):
        value = affinity.get(key)
        if value:
            fault = numbers(value, most=LAST_CPU)
            if fault:
                report.wrong(f"/process/execCPUAffinity/{key}", fault, value)
