"""A mount namespace of the root file system alone: when it is made, and what is opened before."""

from __future__ import annotations

import pytest

from ocirun.plan import constants as c
from ocirun.plan.encode import encode
from ocirun.plan.mounts import tree, upper
from ocirun.plan.ops import INIT

from . import rules
from .samples import MADE, NAMES, config, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan

FACTS = {"tree_namespace": True}
BINDS = [
    {"destination": "/a", "source": "/src/a", "options": ["rbind", "ro"]},
    {"destination": "/b", "source": "/src/b", "options": ["bind"]},
    {"destination": "/t", "type": "tmpfs"},
    {"destination": "/c", "source": "rootfs/inside", "options": ["bind"]},
]


def build(data: dict[str, Any] | None = None, *, facts: dict[str, Any] | None = None, **request: Any) -> Plan:
    made = plan(data or with_binds(), facts={**FACTS, **(facts or {})}, **request)
    rules.check(made)
    encode(made, MADE)
    return made


def with_binds(**changes: Any) -> dict[str, Any]:
    data = config("hello")
    data["mounts"] = [*(m for m in data["mounts"] if not m["type"].startswith("cgroup")), *BINDS]
    data["linux"] = {**data["linux"], "maskedPaths": ["/proc/kcore"]}
    data.update(changes)
    return data


def named(made: Plan, name: str) -> list[Op]:
    return [op for op in made.ops if op.name == name]


def test_no_mount_of_the_host_is_copied() -> None:
    made = build()
    (spawn,) = named(made, "spawn")
    assert not spawn.args["flags"] & c.CLONE_NEWNS
    assert spawn.args["flags"] & c.CLONE_NEWPID
    assert not named(made, "pivot")
    (copied,), (entered,) = named(made, "copy_root"), named(made, "enter_tree")
    assert (copied.args, copied.pointer) == ({"slot": "namespace", "source": "rootdir"}, "/root/path")
    assert entered.args == {"slot": "root", "source": "rootdir", "namespace": "namespace"}
    assert "no mount of the host" in copied.why


def test_what_is_on_the_host_is_opened_before() -> None:
    """No path of the host is looked up in the namespace, where it would name something else."""
    data = with_binds()
    count = len(data["mounts"]) - len(BINDS)
    made = build(data)
    at = rules.place(made, "enter_tree")
    sources = [op for op in made.ops[:at] if op.name == "clone_tree"]
    assert [(op.args["slot"], op.args["path"]) for op in sources] == [
        (f"source{count}", "/src/a"),
        (f"source{count + 1}", "/src/b"),
        ("null", "/dev/null"),
    ]
    for op in made.ops[at:]:
        assert op.name not in ("open_root", "clone_mount", "receive_fd")
        assert op.name != "clone_tree" or op.args["root"] == "root", op
        if op.actor == INIT and op.name == "attach":
            assert op.args["target"] == "target", "nothing is mounted on a directory of the host"
    assert made.ops.index(sources[0]) > rules.place(made, "copy_root"), "the root is the first mount"
    # A copy is a peer of the host's mount until it is cut off, with all that is in it.
    for source in sources:
        cut = made.ops[made.ops.index(source) + 1]
        recursive = source.args["recursive"]
        assert (cut.name, cut.pointer) == ("set_mount_attr", source.pointer)
        assert [cut.args[name] for name in ("slot", "propagation", "recursive")] == [
            source.args["slot"], c.MS_SLAVE, recursive,
        ]  # fmt: skip
    # Nothing may reach the host from here on, before anything is mounted.
    follows = made.ops[at + 1]
    assert (follows.name, follows.args) == ("propagate", {"path": "/", "flags": c.MS_SLAVE | c.MS_REC})
    attached = [op.args["slot"] for op in named(made, "attach")]
    assert {f"source{count}", f"source{count + 1}"} <= set(attached)


@pytest.mark.parametrize("word", ["private", "rprivate", "slave", "rslave"])
def test_propagation_of_the_root(word: str) -> None:
    data = with_binds()
    made = build({**data, "linux": {**data["linux"], "rootfsPropagation": word}})
    at = rules.place(made, "enter_tree")
    whole = c.MS_PRIVATE if word == "rprivate" else c.MS_SLAVE
    assert made.ops[at + 1].args == {"path": "/", "flags": whole | c.MS_REC}
    assert {op.args["propagation"] for op in made.ops[:at] if op.name == "set_mount_attr"} == {whole}
    own = c.MS_PRIVATE if "private" in word else c.MS_SLAVE
    assert [op.args["flags"] for op in named(made, "propagate")[1:]] == [own]


def _linux(**changes: Any) -> dict[str, Any]:
    return with_binds(linux={**config("hello")["linux"], **changes})


HOOK = {"path": "/h"}
OF_PATHS: list[dict[str, Any]] = [
    {"destination": "/o", "type": "overlay", "options": ["lowerdir=/a:/b"]},
    {"destination": "/o", "type": "ext4", "source": "/dev/sda1"},
    {"destination": "/proc", "type": "proc", "options": ["pidns=/run/pid"]},
    {"destination": "/proc", "type": "proc", "options": ["hidepid=2,pidns=/run/pid"]},
]
NAMESPACES = config("hello")["linux"]["namespaces"]
WITHOUT_CGROUP = [one for one in NAMESPACES if one["type"] != "cgroup"]
CGROUPS = [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}]
MANY = [{"destination": f"/m{n}", "source": "/s", "options": ["bind"]} for n in range(tree.SOURCES + 1)]


@pytest.mark.parametrize(
    ("data", "facts", "request_", "why"),
    [
        (None, {}, {"no_pivot": True}, "--no-pivot"),
        *((with_binds(hooks={kind: [HOOK]}), {}, {}, "hooks") for kind in tree._BEFORE_THE_CHANGE),
        *((_linux(rootfsPropagation=word), {}, {}, "reach the host") for word in ("shared", "rshared")),
        (with_binds(annotations={upper.UPPER: "size=1m"}), {}, {}, "overlay"),
        *((with_binds(mounts=[mount]), {}, {}, f"type {mount['type']} may be of a path") for mount in OF_PATHS),
        (None, {"notify_socket": "/run/n"}, {}, "NOTIFY_SOCKET"),
        (_linux(namespaces=[*NAMESPACES, {"type": "time"}]), {}, {}, "forks"),
        (with_binds(mounts=MANY), {}, {}, "more than"),
        (
            with_binds(mounts=CGROUPS, linux={**config("hello")["linux"], "namespaces": WITHOUT_CGROUP}),
            {},
            {},
            "cgroups",
        ),
        (config("userns"), {}, {}, "user namespace"),
    ],
)
def test_where_it_cannot_be(
    data: dict[str, Any] | None, facts: dict[str, Any], request_: dict[str, Any], why: str
) -> None:
    """The whole namespace is copied, and the plan says why."""
    made = build(data, facts=facts, **request_)
    assert not named(made, "enter_tree")
    flags = [op.args["flags"] for op in made.ops if op.name in ("spawn", "unshare")]
    assert any(flag & c.CLONE_NEWNS for flag in flags)
    if not request_:
        (pivot,) = named(made, "pivot")
        assert why in pivot.why


@pytest.mark.parametrize("name", NAMES)
def test_samples(name: str) -> None:
    """A kernel that can do it changes nothing but this."""
    build(config(name), **({"console_socket": "/run/console.sock"} if name == "shell" else {}))


def test_a_kernel_that_cannot() -> None:
    made = plan(with_binds())
    assert not named(made, "enter_tree")
    assert named(made, "pivot")[0].why == ""
