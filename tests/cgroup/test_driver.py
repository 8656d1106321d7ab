"""cgroup.driver and cgroup.place: which driver, which directories, and the way through the saved state."""

from __future__ import annotations

import json

import pytest

from ocirun.cgroup import choose, driver, paths
from ocirun.errors import ConfigError, HostError, StateDamagedError, UnsupportedError
from ocirun.host.cgroups import Layout, Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def layout(own: str = "/", root: str = "/", **more: Any) -> Layout:
    cpu = Mount("/cg/cpu,cpuacct", root, device="0:29", controllers=("cpu", "cpuacct"))
    mounts = {
        "cpu": cpu,
        "cpuacct": cpu,
        "memory": Mount("/cg/memory", root, device="0:30", controllers=("memory",)),
        "name=systemd": Mount("/cg/systemd", root, device="0:31", controllers=("name=systemd",)),
        "name=other": Mount("/cg/other", root, device="0:32", controllers=("name=other",)),
    }
    return Layout(mounts, dict.fromkeys(mounts, own), **more)


class Delegated(Layout):
    """A layout in which only some hierarchies can be written."""

    __slots__ = ("given",)

    given: tuple[str, ...]

    def writable(self, controller: str, below: str) -> bool:
        return controller in self.given


def delegated(*controllers: str) -> Delegated:
    full = layout("/user")
    result = Delegated(full.mounts, full.own)
    result.given = controllers
    return result


@pytest.mark.parametrize(
    ("own", "root", "cgroups_path", "below"),
    [
        ("/", "/", "/a/b", "a/b"),
        ("/", "/", "", "box"),
        ("/", "/", "a/b", "a/b"),
        ("/me", "/", "", "me/box"),
        ("/me", "/", "a/b", "me/a/b"),
        ("/me", "/", "/a/b", "a/b"),
        ("/docker/abc", "/docker/abc", "", "box"),
        ("/docker/abc/me", "/docker/abc", "x", "me/x"),
        ("/docker/abc/me", "/docker/abc", "/x", "x"),
        ("/", "/", "//a/./b//", "a/b"),
        ("/", "/", "./a", "a"),
        ("/", "/", "system.slice:docker:abc", "system.slice:docker:abc"),
        # Without a namespace root that we can see, only an absolute path has a place.
        ("/../x", "/", "/a", "a"),
    ],
)
def test_path(own: str, root: str, cgroups_path: str, below: str) -> None:
    chosen = choose.new_driver(layout(own, root), cgroups_path=cgroups_path, container_id="box")
    assert chosen.directories() == [
        ("cpu", f"/cg/cpu,cpuacct/{below}"),
        ("memory", f"/cg/memory/{below}"),
        ("name=systemd", f"/cg/systemd/{below}"),
    ]
    assert chosen.joined_by_child() == chosen.directories()
    assert chosen.path("cpuacct") == f"/cg/cpu,cpuacct/{below}"


@pytest.mark.parametrize(
    "path",
    ["..", "/..", "a/..", "/a/../b", "../x", "a/../../x", "/", "//", "/.", ".", "a\nb", "a\0b", "a" * 256, "/a" * 2000],
)
def test_paths_that_are_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose.new_driver(layout(), cgroups_path=path, container_id="box")
    assert caught.value.pointer == "/linux/cgroupsPath"
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(("own", "root"), [("/../x", "/"), ("/a (deleted)", "/"), ("/", "/..")])
def test_relative_path_without_a_known_place(own: str, root: str) -> None:
    with pytest.raises(HostError, match="give an absolute cgroupsPath"):
        choose.new_driver(layout(own, root), cgroups_path="", container_id="box")


def test_questions_about_controllers() -> None:
    chosen = choose.new_driver(layout(files={"memory": ["memory.limit_in_bytes"]}), container_id="box")
    assert chosen.available("memory")
    assert chosen.available("cpuacct")
    assert not chosen.available("pids")
    assert chosen.available("memory", "memory.limit_in_bytes")
    assert not chosen.available("memory", "memory.memsw.limit_in_bytes")
    with pytest.raises(KeyError):
        chosen.path("pids")


def test_what_a_cgroup_mount_shows() -> None:
    shown = choose.new_driver(layout(), cgroups_path="/a", container_id="box").hierarchies()
    assert [(item.name, item.options, item.path, item.links) for item in shown] == [
        ("cpu,cpuacct", ("cpu", "cpuacct"), "/cg/cpu,cpuacct/a", ("cpu", "cpuacct")),
        ("memory", ("memory",), "/cg/memory/a", ()),
        ("systemd", ("name=systemd",), "/cg/systemd/a", ()),
    ]


def test_rootless_uses_what_it_was_given() -> None:
    chosen = choose.new_driver(delegated("name=systemd"), container_id="box", rootless=True)
    assert chosen.directories() == [("name=systemd", "/cg/systemd/user/box")]


def test_rootless_without_rights_and_without_a_path_has_no_cgroup() -> None:
    chosen = choose.new_driver(delegated(), container_id="box", rootless=True)
    assert (chosen.kind, chosen.directories(), chosen.joins) == ("none", [], False)


def test_rootless_without_rights_and_with_a_path_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="may not make it"):
        choose.new_driver(delegated(), cgroups_path="/a", container_id="box", rootless=True)


def test_disabled_is_no_cgroup() -> None:
    assert choose.new_driver(layout(), cgroups_path="/a", container_id="box", disabled=True).kind == "none"


def test_a_host_without_cgroups() -> None:
    nothing = Layout({}, {})
    assert choose.new_driver(nothing, container_id="box", rootless=True).kind == "none"
    with pytest.raises(UnsupportedError):
        choose.new_driver(nothing, container_id="box")


@pytest.mark.parametrize(
    ("own", "path", "below"),
    [
        ("/", "", "box"),
        ("/a.slice/we.service", "", "a.slice/box"),
        ("/a.slice/we.service", "in/it", "a.slice/in/it"),
        ("/a.slice/we.service", "/top/it", "top/it"),
        ("/we.service", "", "box"),
    ],
)
def test_the_group_on_v2(own: str, path: str, below: str) -> None:
    # A group with a process in it, as our own, can have no controllers for groups below.
    host = Layout({}, {"": own}, Mount("/nowhere", device="0:1"))
    chosen = choose.new_driver(host, cgroups_path=path, container_id="box")
    assert (chosen.kind, chosen.clones, chosen.joins) == ("v2", True, False)
    assert chosen.directories() == [("unified", f"/nowhere/{below}")]
    chosen.checked = True
    again = choose.recorded_driver(json.loads(json.dumps(chosen.record())))
    assert again.record() == chosen.record()


def test_a_relative_path_on_v2_without_a_visible_place() -> None:
    host = Layout({}, {"": "/../elsewhere"}, Mount("/nowhere"))
    with pytest.raises(HostError, match="no place for a relative cgroupsPath"):
        choose.new_driver(host, container_id="box")
    assert choose.new_driver(host, cgroups_path="/a", container_id="box").kind == "v2"


def test_a_record_with_two_groups_on_v2_is_damaged() -> None:
    host = Layout({}, {"": "/"}, Mount("/nowhere"))
    record = choose.new_driver(host, container_id="box").record()
    record["groups"] *= 2
    with pytest.raises(StateDamagedError, match="more than one"):
        choose.recorded_driver(record)


def test_record_and_back() -> None:
    chosen = choose.new_driver(layout("/me"), cgroups_path="a/b", container_id="box")
    chosen.checked = True
    chosen.found.add("memory")
    record = json.loads(json.dumps(chosen.record()))
    again = choose.recorded_driver(record)
    assert again.record() == chosen.record()
    assert again.groups == chosen.groups
    assert again.found == {"memory"}
    assert not again.prepared


def test_record_of_none() -> None:
    assert choose.recorded_driver(driver.Driver().record()).kind == "none"


def test_a_record_from_before_the_check_owns_nothing() -> None:
    chosen = choose.new_driver(layout(), cgroups_path="/a", container_id="box")
    assert choose.recorded_driver(chosen.record()).found == {"cpu", "memory", "name=systemd"}


def damaged(**change: Any) -> dict[str, Any]:
    record = choose.new_driver(layout(), cgroups_path="/a", container_id="box").record()
    record["groups"][0].update(change)
    return record


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"driver": "v9"},
        {"driver": ["v1"]},
        {"driver": "v1"},
        {"driver": "v1", "groups": [], "found": []},
        {"driver": "v1", "groups": {}, "found": []},
        {"driver": "v1", "groups": [None], "found": []},
        {"driver": "v1", "groups": [{}], "found": []},
        damaged() | {"found": [1]},
        damaged(below=""),
        damaged(below="/"),
        damaged(below="../x"),
        damaged(below="a/../.."),
        damaged(below="a//b"),
        damaged(below="a/."),
        damaged(below="a\0b"),
        damaged(below=7),
        damaged(mount="cg"),
        damaged(mount="/cg/../etc"),
        damaged(controllers=[]),
        damaged(controllers=[1]),
        damaged(controllers=None),
        damaged(device=None),
    ],
)
def test_damaged_records(record: Any) -> None:
    with pytest.raises(StateDamagedError):
        choose.recorded_driver(record)


def test_verbs_of_the_driver_none() -> None:
    none = driver.Driver()
    none.check()
    assert none.prepare() is None
    assert none.prepared
    none.apply([])
    none.place(1)
    assert none.joined_by_child() == []
    assert (none.frozen(), none.pids(), none.usage(), none.kill(9)) == (False, [], {}, 0)
    none.remove(kill=True)
    none.discard()
    none.close()
    for verb in (none.freeze, none.thaw):
        with pytest.raises(UnsupportedError, match="no cgroup of its own"):
            verb()


def test_groups_are_values() -> None:
    group = paths.Group(("cpu", "cpuacct"), "/cg/cpu", "0:29", "a/b")
    assert paths.group_from_record(group.record()) == group
    assert (group.name, group.path) == ("cpu", "/cg/cpu/a/b")
