"""Mounts of config.json as operations, and the mount points that are refused."""

from __future__ import annotations

import pytest

from ocirun.errors import ConfigError
from ocirun.plan import constants as c
from ocirun.plan import ops
from ocirun.plan.mounts import mounts as mounts_module

from . import rules
from .samples import BUNDLE, config, plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op


def mount(destination: str, kind: str = "", *options: str, source: str = "") -> dict[str, Any]:
    entry: dict[str, Any] = {"destination": destination, "options": list(options)}
    if kind:
        entry["type"] = kind
    if source:
        entry["source"] = source
    return entry


def build(*mounts: dict[str, Any], number: int = -1, user: bool = False, **changes: Any) -> list[Op]:
    """The operations of the mount `number`."""
    data = config("userns" if user else "clock")
    data["mounts"] = list(mounts)
    data.update(changes)
    made = plan(data)
    rules.check(made)
    number = number % len(mounts)
    return [op for op in made.ops if op.pointer == f"/mounts/{number}"]


def names(operations: list[Op]) -> list[str]:
    return [op.name for op in operations]


def refused(*mounts: dict[str, Any], **changes: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        build(*mounts, **changes)
    return caught.value


def test_new_filesystem() -> None:
    operations = build(mount("/x", "tmpfs", "nosuid", "size=1m", "mode=700", source="name"))
    assert names(operations) == ["open_path", "new_filesystem", "attach"]
    assert operations[0].args["flags"] == ops.OPEN_CREATE | ops.OPEN_DIRECTORY | ops.OPEN_NOT_PROC
    assert operations[1].args["options"] == [("source", "name"), ("size", "1m"), ("mode", "700")]
    assert operations[1].args["mode_from"] is None


def test_options_that_many_mounts_have_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [
        (("tmpfs", "nosuid", "size=1m"), {"source": "a"}),
        (("bind", "rbind", "ro", "slave"), {"source": "/host"}),
        (("tmpfs", "unbindable"), {}),
        (("proc",), {}),
        (("", "bind", "sync"), {"source": "/host"}),  # with a warning, which names the mount
    ]
    mounts = [mount(f"/m/{number}", *words, **more) for number, (words, more) in enumerate(kinds * 3)]
    wanted = [build(*[mount("/none", "tmpfs")] * number, one) for number, one in enumerate(mounts)]
    asked: list[object] = []
    parse = mounts_module.o.parse
    monkeypatch.setattr(mounts_module.o, "parse", lambda words, **more: asked.append(words) or parse(words, **more))
    made = plan({**config("clock"), "mounts": mounts})
    for number in range(len(mounts)):
        got = [op for op in made.ops if op.pointer == f"/mounts/{number}"]
        assert [op.record() for op in got] == [op.record() for op in wanted[number]]
    assert len(asked) == 4 + 3
    # The arguments of what mounts of one kind have in common are one object, which `encode` knows again.
    same: dict[str, set[int]] = {}
    for op in made.ops:
        if op.pointer in ("/mounts/0", "/mounts/5", "/mounts/10"):
            same.setdefault(op.name, set()).add(id(op.args))
    assert {name: len(ids) for name, ids in same.items()} == {"open_path": 3, "new_filesystem": 1, "attach": 1}
    assert [one.pointer for one in made.warnings if "no effect" in one.message] == [
        f"/mounts/{number}/options/1" for number in (4, 9, 14)
    ]


def test_propagation_of_the_root_with_shared_options() -> None:
    same = [mount(f"/m/{number}", "tmpfs", "nosuid") for number in range(3)]
    linux = {**config("clock")["linux"], "rootfsPropagation": "rshared"}
    for number in range(3):
        operations = build(*same, number=number, linux=linux)
        assert [op.args["propagation"] for op in operations if op.name == "set_mount_attr"] == [c.MS_SHARED]


def test_tmpfs_takes_the_mode_of_what_it_covers() -> None:
    assert build(mount("/x", "tmpfs"))[1].args["mode_from"] == "target"
    assert build(mount("/x", "mqueue"))[1].args["mode_from"] is None


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_pseudo_file_systems_need_a_plain_directory(kind: str) -> None:
    operations = build(mount(f"/{kind[:4].rstrip('f')}", kind))
    assert operations[0].args["flags"] == ops.OPEN_CREATE | ops.OPEN_DIRECTORY | ops.OPEN_PLAIN


def test_bind() -> None:
    operations = build(mount("/x", "", "bind", "ro", source="/usr"))
    assert names(operations) == ["clone_tree", "open_path", "set_mount_attr", "attach"]
    assert operations[0].args == {"slot": "mount", "path": "/usr", "recursive": 0, "root": None}
    assert operations[1].args["like"] == "mount"
    assert build(mount("/x", "", "rbind", source="/usr"))[0].args["recursive"] == 1


def test_source_is_relative_to_the_bundle() -> None:
    assert build(mount("/x", "", "bind", source="in/../dir"))[0].args["path"] == f"{BUNDLE}/dir"


def test_source_below_the_root_is_looked_up_inside() -> None:
    first = build(mount("/x", "", "bind", source=f"{BUNDLE}/rootfs/etc"))[0]
    assert (first.args["path"], first.args["root"]) == ("/etc", "root")
    assert first.why
    beside = build(mount("/x", "", "bind", source=f"{BUNDLE}/rootfs2/etc"))[0]
    assert beside.args["root"] is None


def test_source_in_a_user_namespace_is_opened_by_the_runtime() -> None:
    operations = build(mount("/x", "", "rbind", "ro", source="/usr"), user=True)
    assert names(operations)[:2] == ["receive_fd", "open_source"]
    assert operations[1].actor == "host"
    assert operations[1].args == {"path": "/usr", "recursive": 1, "nofollow": 0}


@pytest.mark.parametrize("user", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_links_themselves(user: bool, inside: bool) -> None:
    source = f"{BUNDLE}/rootfs/etc" if inside else "/usr"
    operations = build(mount("/x", "", "bind", "src-nofollow", "dest-nofollow", source=source), user=user)
    (opened,) = [op for op in operations if op.name in ("clone_tree", "open_source")]
    assert opened.args["nofollow"] == 1
    (target,) = [op for op in operations if op.name == "open_path"]
    assert target.args["flags"] & ops.OPEN_ITSELF
    plain = build(mount("/x", "", "bind", source=source), user=user)
    assert not any(op.args.get("nofollow") or op.args.get("flags", 0) & ops.OPEN_ITSELF for op in plain)


def test_link_that_is_copied() -> None:
    data = config("clock")
    data["mounts"] = [mount("/x", "", "bind", "copy-symlink", "ro", source=path) for path in ("/link", "file")]
    made = plan(data, facts={"links": {"/link": "../to", f"{BUNDLE}/file2": "no"}})
    link, *others = [op for op in made.ops if op.pointer.startswith("/mounts/")]
    assert link.name == "make_link"
    assert link.args == {"root": "root", "path": "/x", "text": "../to", "needs": None, "replace": ops.LINK_OR_NOTHING}
    # The other one is no link, so it is bound.
    assert names(others) == ["clone_tree", "open_path", "set_mount_attr", "attach"]
    assert {op.pointer for op in others} == {"/mounts/1"}


def test_link_is_not_made_inside_proc() -> None:
    data = config("clock")
    data["mounts"].append(mount("/proc/sys/x", "", "bind", "copy-symlink", source="/link"))
    with pytest.raises(ConfigError, match="inside /proc"):
        plan(data, facts={"links": {"/link": "to"}})


def test_attributes_before_the_mount_is_seen() -> None:
    """Nobody ever meets the mount without its flags; only propagation comes later, as it must."""
    operations = build(mount("/x", "", "rbind", "rro", "ro", "nosuid", "rslave", source="/usr"))
    assert names(operations) == ["clone_tree", "open_path", *["set_mount_attr"] * 2, "attach", "set_mount_attr"]
    assert operations[2].args["recursive"] == 1
    assert operations[-1].args["propagation"]


def test_read_only_tmpfs_with_mounts_inside_turns_late() -> None:
    inner, outer = mount("/x/y", "tmpfs"), mount("/x", "tmpfs", "ro")
    operations = build(outer, inner, number=0)
    assert names(operations) == ["open_path", "new_filesystem", "attach", "set_mount_attr", "close"]
    assert not operations[1].args["attributes"] & 1
    assert operations[3].args["set"] == 1
    alone = build(outer)
    assert names(alone) == ["open_path", "new_filesystem", "attach"]
    assert alone[1].args["attributes"] & 1


def test_copy_up_before_the_mount_is_attached() -> None:
    operations = build(mount("/x", "tmpfs", "tmpcopyup", "ro"))
    assert names(operations)[:4] == ["open_path", "new_filesystem", "copy_up", "attach"]
    assert operations[2].args == {
        "slot": "mount" if len(operations) == 4 else operations[1].args["slot"],
        "source": "target",
    }


def test_long_values_go_through_the_old_call() -> None:
    operations = build(mount("/x", "overlay", "lowerdir=" + ":".join(["/a" * 60] * 3)))
    assert names(operations) == ["open_path", "mount_classic"]
    assert operations[1].why


def test_remount() -> None:
    operations = build(mount("/x", "tmpfs"), mount("/x", "tmpfs", "remount", "ro", "size=2m"))
    assert names(operations)[:2] == ["open_path", "reconfigure"]


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        (mount("/", "tmpfs"), "/mounts/0/destination"),
        (mount("/a/..", "tmpfs"), "/mounts/0/destination"),
        (mount("/x"), "/mounts/0/type"),
        (mount("/x", "", "bind"), "/mounts/0/source"),
        (mount("/proc", "tmpfs"), "/mounts/0/type"),
        (mount("/proc/self/attr", "tmpfs"), "/mounts/0/destination"),
        (mount("/proc/sys", "", "bind", source="/x"), "/mounts/0/destination"),
        (mount("/proc/../proc/1", "", "bind", source="/x"), "/mounts/0/destination"),
        (mount("//proc//sys", "tmpfs"), "/mounts/0/destination"),
        (mount("/x", "tmpfs", "tmpcopyup", "size=" + "9" * 300), "/mounts/0"),
    ],
)
def test_refused(entry: dict[str, Any], pointer: str) -> None:
    assert refused(entry).pointer == pointer


@pytest.mark.parametrize("path", ["/proc/meminfo", "/proc/cpuinfo", "/proc//uptime"])
def test_some_files_of_proc_may_be_covered(path: str) -> None:
    operations = build(mount("/proc", "proc"), mount(path, "", "bind", source="/f"))
    assert operations[1].args["flags"] == ops.OPEN_CREATE


def test_bind_on_proc_must_be_a_procfs() -> None:
    operations = build(mount("/proc", "", "rbind", source="/proc"))
    assert operations[1].args["flags"] & ops.OPEN_LIKE_PROC


def test_cgroup_mount_shows_only_the_own_groups() -> None:
    data = config("clock")
    data["mounts"] = [mount("/sys/fs/cgroup", "cgroup", "ro")]
    made = plan(data)
    shown = [op.args["path"] for op in made.ops if op.name == "clone_tree" and op.pointer == "/mounts/0"]
    assert shown
    assert all(path.endswith("/user/sample") for path in shown)
    operations = [op for op in made.ops if op.pointer == "/mounts/0"]
    last = [op for op in operations if op.name == "set_mount_attr"][-1]
    assert last.args["set"] & 1


@pytest.mark.parametrize("word", ["wrong", "nsdelegate", "memory", "name=x", "sync", "silent"])
def test_cgroup_mount_takes_no_option_that_cannot_be_honoured(word: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(mount("/sys/fs/cgroup", "cgroup", "nosuid", word))
    (problem,) = error.value.problems
    assert problem.pointer == "/mounts/0/options/1"
    assert repr(word) in problem.message


@pytest.mark.parametrize("kind", ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "none"])
def test_words_of_a_mount_count_for_every_type(kind: str) -> None:
    """No type goes round what all mounts have: attributes, those of a tree, propagation."""
    bind = ["bind"] if kind == "none" else []
    place = "/proc" if kind == "proc" else "/x"
    operations = build(mount(place, kind, *bind, "ro", "nodev", "rnoexec", "shared", source="/data"))
    set_, recursive, propagation = 0, 0, 0
    for op in operations:
        for name in ("attributes", "set"):
            value = op.args.get(name, 0)
            if op.args.get("recursive"):
                recursive |= value
            else:
                set_ |= value
        propagation |= op.args.get("propagation", 0)
    assert set_ & (c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NODEV) == c.MOUNT_ATTR_RDONLY | c.MOUNT_ATTR_NODEV
    assert recursive == c.MOUNT_ATTR_NOEXEC
    assert propagation == c.MS_SHARED


@pytest.mark.parametrize(
    "below",
    [mount("/x", "", "bind", source="/data"), mount("/x", "sysfs"), mount("/x", "cgroup"), mount("/other", "tmpfs")],
    ids=["bind", "sysfs", "cgroup", "nothing"],
)
def test_remount_of_what_is_the_hosts_too(below: dict[str, Any]) -> None:
    """It changes the mount only: the file system is the host's, and would turn read-only for all."""
    operations = build(below, mount("/x", "", "remount", "ro"))
    assert not [op for op in operations if op.name == "reconfigure"]
    assert [op.args["set"] for op in operations if op.pointer == "/mounts/1" and op.name == "set_mount_attr"] == [1]
    with pytest.raises(ConfigError) as error:
        build(below, mount("/x", "", "remount", "size=1m"))
    assert error.value.problems[0].pointer == "/mounts/1/options/1"


@pytest.mark.parametrize("tail", ["/x", "//x/", "/y/../x"])
def test_destination_with_the_path_of_the_root(tail: str) -> None:
    """Engines of the first years gave the path on the host; runc leaves the root's part out, too."""
    data = config("clock")
    root = f"{BUNDLE}/rootfs"
    data["root"] = {"path": "rootfs"}
    data["mounts"] = [mount(root + tail, "tmpfs"), mount(root + "y/x", "tmpfs")]
    made = plan(data)
    opened = [op.args["path"] for op in made.ops if op.name == "open_path" and op.pointer.startswith("/mounts/")]
    assert opened == ["/x", f"{root}y/x"]
    (warning,) = [problem for problem in made.warnings if problem.pointer == "/mounts/0/destination"]
    assert "/x" in warning.message


def test_destination_that_is_the_root() -> None:
    with pytest.raises(ConfigError) as error:
        build(mount(f"{BUNDLE}/rootfs", "tmpfs"), root={"path": "rootfs"})
    assert error.value.problems[0].pointer == "/mounts/0/destination"
