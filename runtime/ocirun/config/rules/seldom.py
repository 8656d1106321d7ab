"""Rules on the parts of ``linux`` that few configs have: intelRdt, memoryPolicy, personality."""

from __future__ import annotations

from ..patterns import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..report import Report

#: Largest memory node of a kernel, MAX_NUMNODES - 1 with the largest CONFIG_NODES_SHIFT, 10.
LAST_NODE = 1023


def check(linux: dict[str, Any], report: Report) -> None:
    """Add what is wrong with these parts."""
    for key, rule in (("intelRdt", _intel_rdt), ("memoryPolicy", _memory_policy), ("personality", _personality)):
        if linux.get(key) and report.sound(f"/linux/{key}"):
            rule(linux[key], report)


def _intel_rdt(rdt: dict[str, Any], report: Report) -> None:
    """Check by config-linux.md, "IntelRdt"; a group is a directory of resctrl, so its name is one path component."""
    place = "/linux/intelRdt"
    group = rdt.get("closID", "")
    if group in (".", "..") or ("/" in group and group != "/"):
        report.wrong(f"{place}/closID", 'the name of a group, or "/" for the root group', group)
    cache = rdt.get("l3CacheSchema", "")
    if cache and not cache.startswith("L3:"):
        report.warn(f"{place}/l3CacheSchema", "should start with L3:", expected="an L3: line", found=cache)
    bandwidth = rdt.get("memBwSchema", "")
    if bandwidth and (not bandwidth.startswith("MB:") or "\n" in bandwidth):
        report.wrong(f"{place}/memBwSchema", "one line that starts with MB:", bandwidth)
    for index, line in enumerate(rdt.get("schemata", ())):
        if "\n" in line:
            report.wrong(f"{place}/schemata/{index}", "one line", line)


def _memory_policy(policy: dict[str, Any], report: Report) -> None:
    """Check by set_mempolicy(2) which modes take nodes, and which flags go together."""
    place = "/linux/memoryPolicy"
    mode, nodes, flags = policy["mode"], policy.get("nodes", ""), policy.get("flags", ())
    if mode in ("MPOL_DEFAULT", "MPOL_LOCAL"):
        if nodes:
            report.add(f"{place}/nodes", f"has no meaning for {mode}", expected="no nodes", found=nodes)
    elif nodes:
        fault = numbers(nodes, most=LAST_NODE)
        if fault:
            report.wrong(f"{place}/nodes", fault, nodes)
    elif mode != "MPOL_PREFERRED":
        report.add(f"{place}/nodes", f"is required for {mode}", expected="a list of nodes")
    if not nodes and mode in ("MPOL_LOCAL", "MPOL_PREFERRED"):
        for index, flag in enumerate(flags):
            if flag in ("MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"):
                text = f"{flag} has no meaning without nodes"
                report.add(f"{place}/flags/{index}", text, expected="linux.memoryPolicy.nodes", found=flag)
    if "MPOL_F_STATIC_NODES" in flags and "MPOL_F_RELATIVE_NODES" in flags:
        text = "holds MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES, which exclude each other"
        report.add(f"{place}/flags", text, expected="one of the two")
    if "MPOL_F_NUMA_BALANCING" in flags and mode not in ("MPOL_BIND", "MPOL_PREFERRED_MANY"):
        text = f"holds MPOL_F_NUMA_BALANCING, which {mode} does not take"
        report.add(f"{place}/flags", text, expected="MPOL_BIND or MPOL_PREFERRED_MANY")


def _personality(personality: dict[str, Any], report: Report) -> None:
    flags = personality.get("flags", ())
    if flags:
        text = "must be empty: the spec defines no flag"
        report.add("/linux/personality/flags", text, expected="no flags", found=flags[0])
