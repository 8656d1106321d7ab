"""A root file system that is thrown away: what the annotation becomes, and what is refused."""

from __future__ import annotations

import pytest

from ocirun.errors import ConfigError, UnsupportedError
from ocirun.plan.mounts import upper

from . import rules, samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op

POINTER = "/annotations/org.ocirun.root.upper"
USER = {
    "namespaces": [{"type": "mount"}, {"type": "pid"}, {"type": "user"}],
    "uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
    "gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
}


def config(value: str, linux: dict[str, Any] | None = None, name: str = upper.UPPER) -> dict[str, Any]:
    process = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}
    own = linux or {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "process": process,
        "linux": own,
        "annotations": {name: value},
    }


def ours(value: str, linux: dict[str, Any] | None = None, **facts: Any) -> list[Op]:
    """The operations that come from the annotation."""
    made = samples.plan(config(value, linux), facts=facts)
    rules.check(made)
    return [op for op in made.ops if op.pointer == POINTER]


@pytest.mark.parametrize(
    ("text", "size", "inodes", "idmap"),
    [
        ("size=1", 1, 1024, False),
        ("size=64M", 64 << 20, 16384, False),
        ("size=2k,inodes=7", 2048, 7, False),
        ("inodes=7,idmap,size=1g", 1 << 30, 7, True),
    ],
)
def test_values(text: str, size: int, inodes: int, idmap: bool) -> None:
    made = upper.parsed(text)
    assert (made.size, made.inodes, made.idmap) == (size, inodes, idmap)
    again = upper.parsed(made.text())
    assert (again.size, again.inodes, again.idmap) == (size, inodes, idmap)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "size",
            "size=",
            "size=0",
            "size=-1",
            "size=1x",
            "size=1.5M",
            "size=99999999999999999999",
            "size=9999999999g",
        ),
        *(
            "inodes=5",
            "size=1,inodes=",
            "size=1,inodes=0",
            "size=1,inodes=4k",
            "size=1,size=2",
            "size=1,inodes=1,inodes=2",
        ),
        *("size=1,idmap,idmap", "size=1,idmap=1", "size=1,", "size=1 ", "size=1,noexec", "size=\u0661"),
    ],
)
def test_values_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        samples.plan(config(text))
    assert caught.value.problems[0].pointer == POINTER
    assert caught.value.problems[0].found == text


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(ConfigError) as caught:
        samples.plan(config("size=1", name="org.ocirun.root.uper"))
    assert caught.value.problems[0].pointer == "/annotations/org.ocirun.root.uper"


def test_operations() -> None:
    made = ours("size=4096,inodes=9")
    assert [op.name for op in made] == [
        *("new_filesystem", "attach", "new_overlay", "attach", "send_fd", "keep_upper"),
    ]
    assert made[0].args["options"] == [("size", "4096"), ("nr_inodes", "9"), ("mode", "0700")]
    assert made[2].args["mark"] == "trusted.overlay.ocirun"
    assert ("userxattr", None) not in made[2].args["options"]


def test_in_a_user_namespace() -> None:
    overlay = next(op for op in ours("size=1", USER) if op.name == "new_overlay")
    assert overlay.args["options"][0] == ("userxattr", None)
    assert overlay.args["mark"] == "user.overlay.ocirun"


def test_ids_are_mapped_before_the_mount_is_attached() -> None:
    made = samples.plan(config("size=1,idmap", USER)).ops
    first = next(place for place, op in enumerate(made) if op.pointer == POINTER)
    assert [op.name for op in made[first - 1 : first + 3]] == ["clone_mount", "send_fd", "idmap_mount", "attach"]
    assert made[first + 1].args == {"path": "/", "by": "container", "recursive": 0}


def test_nothing_to_map_by() -> None:
    with pytest.raises(ConfigError, match="idmap has nothing to map by"):
        samples.plan(config("size=1,idmap"))


def test_idmap_without_the_right() -> None:
    with pytest.raises(UnsupportedError) as caught:
        samples.plan(config("size=1,idmap", USER), facts={"capabilities": 0})
    assert caught.value.pointer == POINTER


def test_without_a_mount_namespace() -> None:
    with pytest.raises(ConfigError, match="needs a mount namespace"):
        samples.plan(config("size=1", {"namespaces": [{"type": "pid"}]}))


def test_label_of_new_file_systems() -> None:
    data = config("size=1")
    data["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"
    made = [op for op in samples.plan(data).ops if op.name in ("new_filesystem", "new_overlay")]
    assert all(("context", data["linux"]["mountLabel"]) in op.args["options"] for op in made if op.pointer == POINTER)
