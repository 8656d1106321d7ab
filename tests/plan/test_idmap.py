"""Id-mapped mounts as operations: who maps, by what, and where nothing is to be done."""

from __future__ import annotations

import pytest

from ocirun.errors import UnsupportedError
from ocirun.plan import constants as c

from .samples import BUNDLE, config, plan
from .test_mounts import build, mount, names, refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op


def mapped(entry: dict[str, Any], host: int = 5000) -> dict[str, Any]:
    mapping = [{"containerID": 0, "hostID": host, "size": 10}]
    return {**entry, "uidMappings": mapping, "gidMappings": mapping}


def by(operations: list[Op]) -> list[tuple[str, int]]:
    return [(op.args["by"], op.args["recursive"]) for op in operations if op.name == "idmap_mount"]


def test_bind_is_shown_to_the_runtime() -> None:
    operations = build(mapped(mount("/x", "", "bind", "idmap", source="/usr")))
    assert names(operations) == ["clone_tree", "send_fd", "idmap_mount", "set_mount_attr", "open_path", "attach"]
    assert operations[1].args == {"slot": "mount", "keep": 1}
    assert operations[3].args["propagation"] == c.MS_PRIVATE
    assert by(operations) == [("mappings", 0)]


def test_source_opened_by_the_runtime_is_mapped_there() -> None:
    operations = build(mount("/x", "", "bind", "ridmap", source="/usr"), user=True)
    assert names(operations)[:3] == ["receive_fd", "open_source", "idmap_mount"]
    assert by(operations) == [("container", 1)]


def test_source_below_the_root_comes_from_the_helper() -> None:
    operations = build(mount("/x", "", "rbind", "idmap", "rslave", source=f"{BUNDLE}/rootfs/etc"), user=True)
    assert names(operations)[:3] == ["clone_tree", "send_fd", "idmap_mount"]
    # With propagation asked for, the link to the host's mounts stays.
    assert names(operations).count("set_mount_attr") == 1


def test_own_mappings_win_over_the_container() -> None:
    assert by(build(mapped(mount("/x", "", "bind", "idmap", source="/usr")), user=True)) == [("mappings", 0)]


def test_one_namespace_serves_equal_mappings() -> None:
    entries = [mapped(mount(f"/x{n}", "", "bind", source="/usr"), host) for n, host in enumerate((1, 1, 2, 1))]
    data = {"mounts": entries}
    made: list[str] = []
    for number in range(4):
        operations = build(*data["mounts"], number=number)
        made.append("map" if by(operations) else "")
    assert made == ["map"] * 4
    base = config("clock")
    base["mounts"] = entries
    spaces = [op for op in plan(base).ops if op.name == "make_user_namespace"]
    assert [op.args["uid_map"] for op in spaces] == ["0 1 10\n", "0 2 10\n", "0 1 10\n"]
    assert spaces[0].pointer == "/mounts/0/uidMappings"


def test_new_file_system() -> None:
    operations = build(mapped(mount("/x", "tmpfs", "tmpcopyup")))
    # What is copied keeps the ids of the image, and is then shown by the mapping.
    assert names(operations) == ["open_path", "new_filesystem", "copy_up", "send_fd", "idmap_mount", "attach"]


def test_new_file_system_of_the_container_has_its_mapping() -> None:
    operations = build(mount("/x", "tmpfs", "idmap"), user=True)
    assert names(operations) == ["open_path", "new_filesystem", "attach"]


@pytest.mark.parametrize(
    ("entry", "pointer", "text"),
    [
        (mount("/x", "", "bind", "ro,idmap", source="/usr"), "/mounts/0/options/1", "nothing to map by"),
        (mount("/x", "tmpfs", "ridmap"), "/mounts/0/options/0", "nothing to map by"),
        (mapped(mount("/x", "", "remount", "idmap")), "/mounts/0", "remount"),
        (mapped(mount("/x", "cgroup")), "/mounts/0", "cgroup"),
        (mapped(mount("/x", "tmpfs", "iversion")), "/mounts/0", "iversion"),
    ],
)
def test_refusals(entry: dict[str, Any], pointer: str, text: str) -> None:
    error = refused(entry)
    assert error.pointer == pointer
    assert text in error.message


def maps(word: str, linux: dict[str, Any] | None = None) -> list[tuple[str, str]]:
    """What a word with maps makes of them, in a container with a user namespace if it has mappings."""
    data = config("userns" if linux else "clock")
    data["linux"].update(linux or {})
    data["mounts"] = [mount("/x", "", "bind", word, source="/usr")]
    made = [op for op in plan(data).ops if op.name == "make_user_namespace"]
    assert [op.pointer for op in made] == ["/mounts/0/options/1"]
    return [(op.args["uid_map"], op.args["gid_map"]) for op in made]


def test_maps_as_an_option() -> None:
    word = "idmap=uids=0-5000-10#10-6000-5;gids=0-7000-10"
    assert maps(word) == [("0 5000 10\n10 6000 5\n", "0 7000 10\n")]
    assert maps("ridmap=gids=0-1-1;uids=0-4294967294-1") == [("0 4294967294 1\n", "0 1 1\n")]


# Two ranges of the container, and a hole from 1010 on.
RANGES = [
    {"containerID": 0, "hostID": 100000, "size": 10},
    {"containerID": 10, "hostID": 200000, "size": 1000},
    {"containerID": 65534, "hostID": 5, "size": 1},
]


@pytest.mark.parametrize(
    ("range_", "lines"),
    [
        ("@0-3-5", "0 100003 5\n"),
        ("@7-12-1", "7 200002 1\n"),
        # One that spans ranges of the container is split.
        ("@100-8-4", "100 100008 2\n102 200000 2\n"),
        ("@0-65534-1#1-9-1", "0 5 1\n1 9 1\n"),
    ],
)
def test_maps_relative_to_the_container(range_: str, lines: str) -> None:
    linux = {"uidMappings": RANGES, "gidMappings": RANGES}
    assert maps(f"idmap=uids={range_};gids={range_}", linux) == [(lines, lines)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("uids=0-1-1", "both needed"),
        ("uids=0-1-1;gids=0-1-1;uids=1-1-1", "uids is there twice"),
        ("uids=0-1-1;gids=0-1-1;", "'' is neither"),
        ("uids=0-1-1;gods=0-1-1", "'gods' is neither"),
        ("uids=0-1;gids=0-1-1", "'0-1' is no range"),
        ("uids=;gids=0-1-1", "'' is no range"),
        ("uids=0-1-1#;gids=0-1-1", "'' is no range"),
        ("uids=0-1-x;gids=0-1-1", "'0-1-x' is no range"),
        ("uids=@@0-1-1;gids=0-1-1", "no range"),
        ("uids=0-1-0;gids=0-1-1", "has none"),
        ("uids=0-4294967295-1;gids=0-1-1", "beyond the last id"),
        ("uids=0-1-2#1-9-1;gids=0-1-1", "uids has the id 1 twice"),
        ("uids=0-1-2#5-2-1;gids=0-1-1", "uids has the id 2 twice"),
        ("uids=@0-1-1;gids=0-1-1", "linux.uidMappings does not map it"),
    ],
)
def test_maps_that_are_refused(text: str, reason: str) -> None:
    error = refused(mount("/x", "", "bind", f"idmap={text}", source="/usr"))
    assert error.pointer == "/mounts/0/options/1"
    assert reason in error.message


def test_maps_given_twice() -> None:
    entry = mapped(mount("/x", "", "bind", "idmap=uids=0-1-1;gids=0-1-1", source="/usr"))
    error = refused(entry)
    assert error.pointer == "/mounts/0/options/1"
    assert "twice" in error.message


def test_caller_without_the_right() -> None:
    data = config("userns")
    data["mounts"] = [mount("/a", "tmpfs", "idmap")]
    assert plan(data, facts={"capabilities": 0})
    data["mounts"].append(mount("/x", "", "bind", "idmap", source="/usr"))
    with pytest.raises(UnsupportedError, match="CAP_SYS_ADMIN") as caught:
        plan(data, facts={"capabilities": 0})
    assert caught.value.pointer == "/mounts/1"
