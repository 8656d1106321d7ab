"""NUMA memory policies, as the kernel shows them inside; a machine with one node has them, too."""

from __future__ import annotations

import pytest

from . import execs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

# What /proc/PID/numa_maps says of the stack.
STACK = "grep stack /proc/self/numa_maps"
POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"mode": "MPOL_DEFAULT"}, "default"),
    ({"mode": "MPOL_LOCAL"}, "local"),
    ({"mode": "MPOL_PREFERRED"}, "local"),
    ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
    ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
    ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
    ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "bind=relative:0"),
    ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0-0"}, "prefer (many):0"),
]


@pytest.mark.parametrize(("policy", "shown"), POLICIES, ids=lambda value: str(value)[:40])
def test_policies(live: Case, policy: dict[str, Any], shown: str) -> None:
    bundle = live.shell(STACK)
    bundle.linux["memoryPolicy"] = policy
    assert f" {shown} " in live.output(bundle)


def test_exec_has_it_too(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0"}
    live.launch(bundle)
    assert " interleave:0 " in execs.shell(live, bundle, STACK)


def test_without_one_the_callers_stays(live: Case) -> None:
    assert " default " in live.output(live.shell(STACK))


def test_node_that_is_not_there(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1023"}
    live.refused(bundle, "/linux/memoryPolicy", "set_mempolicy", "the nodes must exist")


@pytest.mark.parametrize(
    ("policy", "pointer"),
    [
        ({}, "/mode"),
        ({"nodes": "0"}, "/mode"),
        ({"mode": "MPOL_BIND"}, "/nodes"),
        ({"mode": "MPOL_BIND", "nodes": ""}, "/nodes"),
        ({"mode": "MPOL_BIND", "nodes": "9876543210"}, "/nodes"),
        ({"mode": "MPOL_DEFAULT", "nodes": "0"}, "/nodes"),
        ({"mode": "MPOL_LOCAL", "flags": ["MPOL_F_STATIC_NODES"]}, "/flags/0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}, "/flags"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}, "/flags"),
        ({"mode": "MPOL_SOMETHING"}, "/mode"),
    ],
    ids=str,
)
def test_what_is_refused(live: Case, policy: dict[str, Any], pointer: str) -> None:
    bundle = live.bundle()
    bundle.linux["memoryPolicy"] = policy
    live.refused(bundle, f"/linux/memoryPolicy{pointer}", verbs=("create",))
