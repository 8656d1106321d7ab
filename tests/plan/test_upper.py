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
        *("new_filesystem", "attach", "prepare_upper", "new_overlay", "attach", "send_fd", "keep_upper"),
    ]
    assert made[0].args["options"] == [("size", "4096"), ("nr_inodes", "9"), ("mode", "0700")]
    assert made[2].args == {"slot": "upper", "like": "root", "mark": "trusted.overlay.ocirun"}
    assert ("userxattr", None) not in made[3].args["options"]
    assert "layers" not in made[3].args


def test_in_a_user_namespace() -> None:
    made = {op.name: op.args for op in ours("size=1", USER)}
    assert made["new_overlay"]["options"][0] == ("userxattr", None)
    assert made["prepare_upper"]["mark"] == "user.overlay.ocirun"


LAYERS = "/annotations/org.ocirun.root.layers"


def layered(text: str, value: str | None = "size=1", linux: dict[str, Any] | None = None, **facts: Any) -> Any:
    data = config(value or "", linux)
    if value is None:
        del data["annotations"][upper.UPPER]
    data["annotations"][upper.LAYERS] = text
    made = samples.plan(data, facts=facts)
    rules.check(made)
    return made


def test_layers_between() -> None:
    made = layered('["/three", "/two", "/one"]').ops
    ours = [op for op in made if op.pointer == LAYERS]
    each = ["clone_tree", "attach", "add_layer"]
    assert [op.name for op in ours] == [*each, *each, *each, "close", "close", "close"]
    assert [op.args["path"] for op in ours if op.name == "clone_tree"] == ["/three", "/two", "/one"]
    prepared, overlay = (next(op for op in made if op.name == name) for name in ("prepare_upper", "new_overlay"))
    assert (prepared.args["like"], overlay.args["layers"]) == ("layer", "overlay")
    one = [op for op in layered('["/one"]').ops if op.pointer == LAYERS]
    assert [op.name for op in one] == [*each, "close", "close"]


def test_layers_in_a_user_namespace() -> None:
    made = [op for op in layered('["/one"]', "size=1,idmap", USER).ops if op.pointer == LAYERS]
    assert [op.name for op in made][:5] == ["receive_fd", "open_source", "idmap_mount", "attach", "add_layer"]
    assert made[2].args == {"path": "/one", "by": "container", "recursive": 0}
    assert [op.name for op in layered("[]").ops if op.pointer == LAYERS] == []


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("", "size=1", "the document is empty"),
        ("{}", "size=1", "is no list of absolute paths"),
        ('["one"]', "size=1", "is no list of absolute paths"),
        ("[1]", "size=1", "is no list of absolute paths"),
        ("[" + ",".join(['"/x"'] * 500) + "]", "size=1", "500 layers are more than the kernel takes"),
        ('["/one"]', None, "is for a root that is thrown away"),
    ],
)
def test_layers_that_cannot_be(text: str, value: str | None, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        layered(text, value)
    assert caught.value.problems[0].pointer == LAYERS
    assert message in str(caught.value)


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
