"""Rules of the specification that other runtimes do not keep, one test each; docs/spec-differences.md tells them.


Network devices with a template, and resctrl groups with other values, are in test_netdevices and test_rdt.
"""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

HOOK = {"path": "/bin/true"}
ALLOW: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}
LIMIT = {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}


def put(bundle: Bundle, pointer: str, value: Any) -> None:
    """Set the value at a pointer, whose parents are there."""
    *parents, last = pointer[1:].split("/")
    target: Any = bundle.config
    for name in parents:
        target = target.setdefault(name, {})
    target[last] = value


@pytest.mark.parametrize(
    ("place", "value", "pointer"),
    [
        ("/process/rlimits", [LIMIT, {**LIMIT, "soft": 5}], "/process/rlimits/1/type"),
        ("/linux/namespaces", [{"type": "mount"}, {"type": "pid"}, {"type": "mount"}], "/linux/namespaces/2/type"),
        ("/linux/maskedPaths", ["proc/kcore"], "/linux/maskedPaths/0"),
        ("/linux/readonlyPaths", ["proc/sys"], "/linux/readonlyPaths/0"),
        ("/hooks", {"prestart": [{"path": "bin/true"}]}, "/hooks/prestart/0/path"),
        ("/hooks", {"poststop": [{**HOOK, "timeout": 0}]}, "/hooks/poststop/0/timeout"),
        ("/hooks", {"poststop": [{**HOOK, "timeout": -1}]}, "/hooks/poststop/0/timeout"),
        ("/ociVersion", "2.0.0", "/ociVersion"),
        ("/ociVersion", "1.0", "/ociVersion"),
        ("/linux/seccomp", {**ALLOW, "listenerMetadata": "x"}, "/linux/seccomp/listenerMetadata"),
        ("/linux/seccomp", {**ALLOW, "defaultErrnoRet": 1}, "/linux/seccomp/defaultErrnoRet"),
        (
            "/linux/seccomp",
            {**ALLOW, "syscalls": [{"names": ["chmod"], "action": "SCMP_ACT_KILL", "errnoRet": 1}]},
            "/linux/seccomp/syscalls/0/errnoRet",
        ),
        ("/linux/personality", {"domain": "LINUX", "flags": ["X"]}, "/linux/personality/flags"),
        ("/linux/resources", {"unified": {"memory.high": "max"}}, "/linux/resources/unified"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_refused(live: Case, place: str, value: Any, pointer: str) -> None:
    if pointer == "/linux/resources/unified" and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        place, value, pointer = "/linux/resources", {"memory": {"swappiness": 5}}, "/linux/resources/memory/swappiness"
    bundle = live.bundle()
    put(bundle, place, value)
    live.refused(bundle, pointer, verbs=("create",))


def test_file_at_the_path_of_a_device(live: Case) -> None:
    bundle = live.bundle()
    bundle.without_dev()
    bundle.file("/dev/mem2", "not a device")
    bundle.linux["devices"] = [{"path": "/dev/mem2", "type": "c", "major": 1, "minor": 1}]
    live.refused(bundle, "/linux/devices/0", "not that device", verbs=("create",))


def test_io_priority_is_the_process_groups(live: Case) -> None:
    # The hook is a process of that group when the priority is set only if it covers the group; so ask the kernel.
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    live.create(bundle)
    pid = live.pid(bundle)
    assert os.getpgid(pid) == pid, "its own group, so that the group is the container's"
    plan = live.command("explain", "--json", "--bundle", bundle.path).ok().json()
    (op,) = [op for op in plan["ops"] if op["op"] == "set_io_priority"]
    assert op["args"]["which"] == 2  # IOPRIO_WHO_PGRP


def test_pids_limit_of_zero(live: Case) -> None:
    bundle = live.shell("(true) && echo forked; echo end")
    bundle.config["ociVersion"] = "1.3.0"  # before that it stood for no limit
    bundle.linux["resources"] = {"pids": {"limit": 0}}
    result = live.run(bundle)
    assert "forked" not in result.out, result.report()


def test_state_of_a_hook_inside_has_the_pid_of_inside(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state"]}]}
    live.run(bundle).ok()
    assert '"pid":1,' in bundle.read("/tmp/state").replace(" ", "")


def test_umask_that_is_not_set_is_the_callers(live: Case) -> None:
    bundle = live.shell("umask")
    assert "user" not in bundle.process or "umask" not in bundle.process["user"]
    assert live.output(bundle, before=lambda: os.umask(0o71)) == "0071\n"


def test_failed_poststop_hook_is_a_warning(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("poststop", "exit 3")
    bundle.hook("poststop", f"touch {live.dir}/second")
    result = live.run(bundle)
    assert result.code == 0
    assert "level=warning" in result.err and "poststop" in result.err
    assert os.path.exists(f"{live.dir}/second")
