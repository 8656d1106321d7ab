"""The plan of a container that comes back: CRIU in its cgroups, its root a mount, its mount points there."""

from __future__ import annotations

import pytest

from ocirun.cgroup import choose
from ocirun.errors import UnsupportedError
from ocirun.plan import render
from ocirun.plan.builder import Facts, Request
from ocirun.plan.ops import HOST_OPS, INIT, INIT_OPS
from ocirun.plan.restore_plan import build_restore

from . import samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Plan

KEEP = {"socket": 9, "pipe:[17]": 7}


def restoring(name: str = "mounts", *, external: list[tuple[str, str]] | None = None, **changes: Any) -> Plan:
    data = {**samples.config(name), **changes}
    where = samples.layout()
    group = choose.new_driver(
        where, cgroups_path=data["linux"].get("cgroupsPath") or "", container_id="x", rootless=False
    )
    request = Request(container_id="x", bundle=samples.BUNDLE, directory="/run/x", detach=False, pid_file="/pid")
    facts = Facts(layout=where, environ=("A=1",))
    return build_restore(data, facts, request, group, program="/usr/sbin/criu", keep=KEEP, external=external or [])


def test_order() -> None:
    plan = restoring()
    names = [op.name for op in plan.ops]
    at = names.index
    assert names[0] == "reserve_state"
    assert at("make_cgroup") < at("spawn") < at("guard") < at("join_cgroup") < at("unshare") < at("propagate")
    assert at("attach") < at("find_program") < at("ready") < at("wait_start") < at("execute")
    assert at("execute") < at("restore_processes") < at("record_state") < at("write_pid_file")
    assert plan.ops[at("find_program")].args["args"] == ["/usr/sbin/criu", "swrk", "9"]
    assert plan.keep == [7, 9]
    for op in plan.ops:
        known = {name for name, _ in INIT_OPS[op.name][1]} if op.actor == INIT else set(HOST_OPS[op.name])
        assert set(op.args) <= known
        assert render.phrase(op)
    # Nothing of the process itself: all that is in the images.
    assert not {"set_ids", "set_capabilities", "hold_seccomp", "pivot", "no_new_privs"} & set(names)


@pytest.mark.parametrize("word", ["src-nofollow", "dest-nofollow", "copy-symlink"])
def test_links_are_refused(word: str) -> None:
    mounts = [{"destination": "/a", "source": "/b", "options": ["bind", f"ro,{word}"]}]
    with pytest.raises(UnsupportedError, match="CRIU follows links") as caught:
        restoring(mounts=mounts)
    assert caught.value.pointer == "/mounts/0/options/1"


def test_mount_points() -> None:
    """Those in the root itself; what is below another mount comes with that one."""
    mounts = [
        {"destination": "/proc", "type": "proc"},
        {"destination": "/dev", "type": "tmpfs"},
        {"destination": "/dev/pts", "type": "devpts"},
        {"destination": "/etc/hosts", "source": "hosts", "options": ["rbind,ro"]},
        {"destination": "/data/in", "source": "/srv", "options": ["bind"]},
    ]
    plan = restoring(mounts=mounts, external=[("/data/in", "/other")])
    opened = [(op.pointer, op.args["path"]) for op in plan.ops if op.name == "open_path"]
    assert opened == [
        ("/mounts/0", "/proc"),
        ("/mounts/1", "/dev"),
        ("/mounts/3", "/etc/hosts"),
        ("/mounts/4", "/data/in"),
    ]
    # A file where the source is one: the mount point is made like it.
    like = [op.args["path"] for op in plan.ops if op.name == "clone_tree"]
    assert like == [f"{samples.BUNDLE}/hosts", "/other"]


def test_hooks() -> None:
    plan = restoring("hooks")
    kinds = [op.args["kind"] for op in plan.ops if op.name == "host_hook"]
    assert kinds == ["prestart", "createRuntime", "poststart", "poststop"]
    assert not [op for op in plan.ops if op.name == "run_hook"]


def test_what_cannot_come_back_is_refused() -> None:
    data = samples.config("hello")
    with pytest.raises(UnsupportedError, match="resctrl"):
        restoring("hello", linux={**data["linux"], "intelRdt": {"closID": "x"}})
    with pytest.raises(UnsupportedError, match="cannot be saved") as caught:
        restoring("hello", annotations={"org.ocirun.root.upper": "size=1M"})
    assert caught.value.pointer == "/annotations/org.ocirun.root.upper"
