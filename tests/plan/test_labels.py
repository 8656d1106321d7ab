"""Labels of security modules as operations: where they are written, when, and on which hosts."""

from __future__ import annotations

import pytest

from ocirun.errors import UnsupportedError

from . import rules
from .samples import config, plan
from .test_joining import build as build_exec
from .test_joining import config as joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

LABEL = "system_u:system_r:container_t:s0:c1,c2"


def build(process: dict[str, Any] | None = None, facts: dict[str, Any] | None = None, **linux: Any) -> Plan:
    data = config("mounts")
    data["process"] = {**data["process"], **(process or {})}
    data["linux"] = {**data["linux"], **linux}
    made = plan(data, facts=facts)
    rules.check(made)
    return made


def labels(made: Plan) -> list[tuple[str, str, str]]:
    return [(op.pointer, op.args["path"], op.args["value"]) for op in made.ops if op.name == "set_label"]


def named(made: Plan, name: str) -> list[Op]:
    return [op for op in made.ops if op.name == name]


def test_apparmor() -> None:
    made = build({"apparmorProfile": "some//profile", "noNewPrivileges": True})
    assert labels(made) == [
        ("/process/apparmorProfile", "thread-self/attr/apparmor/exec", "exec some//profile"),
    ]
    names = rules.names(made)
    # A profile other than the runtime's may need rights that no_new_privs and the change of ids take away.
    assert names.index("pivot") < names.index("set_label") < names.index("no_new_privs")
    old = build({"apparmorProfile": "p"}, {"apparmor": "attr/exec"})
    assert labels(old)[0][1] == "thread-self/attr/exec"


def test_selinux_labels_the_keyring_too() -> None:
    made = build({"selinuxLabel": LABEL})
    assert labels(made) == [
        ("/process/selinuxLabel", "thread-self/attr/keycreate", LABEL),
        ("/process/selinuxLabel", "thread-self/attr/exec", LABEL),
    ]
    names = rules.names(made)
    assert names.index("set_label") + 1 == names.index("join_keyring")
    assert len(labels(build({"selinuxLabel": LABEL}, {"keyrings": False}))) == 1


def test_exec_writes_before_it_can_be_seen() -> None:
    made = build_exec(joined("mount", "pid", process={"selinuxLabel": LABEL, "apparmorProfile": "p"}))
    names = rules.names(made)
    assert len(labels(made)) == 3
    last = max(index for index, name in enumerate(names) if name == "set_label")
    assert names.index("join_namespace") < names.index("set_label")
    assert names[last + 1 : last + 3] == ["close", "fork_init"]
    assert made.ops[last + 1].args["slot"] == "proc"
    assert "open_procfs" not in rules.names(build_exec(joined("mount")))


def contexts(made: Plan) -> dict[str, str]:
    """The context of each new file system by type, of those that have one."""
    found = {}
    for op in named(made, "new_filesystem"):
        for key, value in op.args["options"]:
            if key == "context":
                found[op.args["type"]] = value
    return found


def test_mount_label() -> None:
    made = build(mountLabel=LABEL)
    types = {op.args["type"] for op in named(made, "new_filesystem")}
    assert {"proc", "tmpfs", "devpts", "mqueue", "sysfs"} <= types
    assert contexts(made) == {"tmpfs": LABEL, "devpts": LABEL}
    (root,) = named(made, "set_file_label")
    assert (root.pointer, root.args["label"]) == ("/linux/mountLabel", LABEL)
    masks = named(build(mountLabel=LABEL, maskedPaths=["/proc/kcore"]), "mask")
    assert [op.args["label"] for op in masks] == [LABEL]
    # Where a mount option is refused, it is the label's place that is named.
    op = next(op for op in named(made, "new_filesystem") if op.args["type"] == "devpts")
    assert op.args["places"][[key for key, _ in op.args["options"]].index("context")] == "/linux/mountLabel"


def test_mount_label_leaves_contexts_of_the_config() -> None:
    data = config("clock")
    data["linux"] = {**data["linux"], "mountLabel": LABEL}
    data["mounts"] = [
        {"destination": "/a", "type": "tmpfs", "options": ["rootcontext=u:r:t:s0"]},
        {"destination": "/b", "type": "tmpfs", "options": ["silent", "size=1m"]},
        {"destination": "/c", "type": "tmpfs", "options": ["silent"]},
    ]
    made = plan(data)
    assert contexts(made) == {}
    assert [op.args["data"] for op in named(made, "mount_classic")] == [
        f'size=1m,context="{LABEL}"',
        f'context="{LABEL}"',
    ]


@pytest.mark.parametrize(
    ("process", "linux", "pointer", "module"),
    [
        ({"apparmorProfile": "p"}, {}, "/process/apparmorProfile", "AppArmor"),
        ({"selinuxLabel": "l"}, {}, "/process/selinuxLabel", "SELinux"),
        ({}, {"mountLabel": "l"}, "/linux/mountLabel", "SELinux"),
    ],
)
def test_hosts_without(process: dict[str, Any], linux: dict[str, Any], pointer: str, module: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(process, {"apparmor": "", "selinux": False}, **linux)
    assert caught.value.pointer == pointer
    assert f"{module} is not enabled on this host" in caught.value.message
