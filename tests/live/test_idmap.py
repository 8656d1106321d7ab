"""Id-mapped mounts: whose mapping, what it covers, what it does to files; and what cannot be mapped."""

from __future__ import annotations

import os
import resource

import pytest

from .test_mounts import mount_at, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case


def mapping(host: int, size: int = 1000) -> list[dict[str, int]]:
    return [{"containerID": 0, "hostID": host, "size": size}]


def mapped(bundle: Bundle, index: int, host: int) -> dict[str, Any]:
    """Give a mount mappings of its own."""
    entry = bundle.mounts[index]
    entry["uidMappings"], entry["gidMappings"] = mapping(host), mapping(host + 1)
    return entry


def owner(path: str) -> tuple[int, int]:
    there = os.stat(path)
    return there.st_uid, there.st_gid


def test_own_mappings_without_a_user_namespace(live: Case) -> None:
    path = source(live)
    bundle = live.shell("stat -c %u:%g /mnt/file; touch /mnt/made; stat -c %u:%g /mnt/made")
    mapped(bundle, bundle.mount("/mnt", path, "bind", "idmap"), 5000)
    os.chmod(path, 0o777)
    bundle.process["user"] = {"uid": 5007, "gid": 5008}
    assert live.output(bundle) == "5000:5001\n5007:5008\n"
    # What the process writes is stored under the id that the mapping gives.
    assert owner(f"{path}/made") == (7, 7)
    assert owner(f"{path}/file") == (0, 0)


def test_mapping_of_the_container(live: Case) -> None:
    path = source(live)
    bundle = live.shell("stat -c %u:%g /mnt/file /plain/file; touch /mnt/made")
    bundle.user_namespace()
    bundle.mount("/mnt", path, "bind", "idmap")
    bundle.mount("/plain", path, "bind")
    assert live.output(bundle) == "0:0\n65534:65534\n"
    assert owner(f"{path}/made") == (0, 0)


def test_mapping_of_a_joined_namespace(live: Case) -> None:
    first = live.bundle(["/bin/sleep", "600"])
    first.user_namespace()
    live.launch(first)
    bundle = live.shell("stat -c %u:%g /mnt/file")
    bundle.user_namespace()
    bundle.namespace("user", f"/proc/{live.pid(first)}/ns/user")
    bundle.mount("/mnt", source(live), "bind", "idmap")
    assert live.output(bundle) == "0:0\n"


def test_own_mappings_win_and_need_no_word(live: Case) -> None:
    bundle = live.shell("stat -c %u:%g /mnt/file")
    bundle.user_namespace()
    mapped(bundle, bundle.mount("/mnt", source(live), "bind"), 100005)
    assert live.output(bundle) == "5:6\n"


@pytest.mark.parametrize(("word", "below"), [("idmap", "0:0"), ("ridmap", "5000:5001"), ("", "0:0")])
def test_what_is_mounted_below(live: Case, word: str, below: str) -> None:
    path = source(live)
    os.mkdir(f"{path}/sub")
    live.mount("sub", f"{path}/sub", "tmpfs")
    bundle = live.shell("stat -c %u:%g /mnt/file /mnt/sub")
    mapped(bundle, bundle.mount("/mnt", path, "rbind", *([word] if word else [])), 5000)
    assert live.output(bundle) == f"5000:5001\n{below}\n"


def test_source_below_the_root_and_in_an_earlier_mount(live: Case) -> None:
    path = source(live)
    bundle = live.shell("stat -c %u:%g /mnt/file /again/file; stat -c %u:%g /srv")
    bundle.user_namespace()
    bundle.mount("/early", path, "bind")
    mapped(bundle, bundle.mount("/mnt", f"{bundle.rootfs}/early", "bind", "idmap"), 100005)
    bundle.mount("/again", f"{bundle.rootfs}/early", "bind", "idmap")
    os.mkdir(f"{bundle.rootfs}/data")
    bundle.mount("/srv", f"{bundle.rootfs}/data", "bind", "idmap")
    assert live.output(bundle) == "5:6\n0:0\n0:0\n"


def test_new_file_system(live: Case) -> None:
    bundle = live.shell("stat -c %u:%g /a /a/file /b; touch /a/made; stat -c %u:%g /a/made")
    bundle.file("a/file", "copied")
    mapped(bundle, bundle.mount("/a", "a", "tmpcopyup", "mode=777", kind="tmpfs"), 5000)
    mapped(bundle, bundle.mount("/b", "b", "uid=3", kind="tmpfs"), 6000)
    bundle.process["user"] = {"uid": 5007, "gid": 5008}
    assert live.output(bundle) == "5000:5001\n5000:5001\n6003:6001\n5007:5008\n"


def test_new_file_system_in_a_user_namespace(live: Case) -> None:
    # Made there it has the namespace's mapping, which the kernel would not set twice.
    bundle = live.shell("stat -c %u:%g /a /b")
    bundle.user_namespace()
    bundle.mount("/a", "a", "idmap", kind="tmpfs")
    entry = mapped(bundle, bundle.mount("/b", "b", "idmap", kind="tmpfs"), 0)
    # Ids of the file system are those of the container; here 0 of it is shown as 7.
    entry["uidMappings"] = entry["gidMappings"] = [{"containerID": 0, "hostID": 100007, "size": 10}]
    assert live.output(bundle) == "0:0\n7:7\n"


def test_many_mounts_with_few_descriptors(live: Case) -> None:
    path = source(live)
    bundle = live.shell("stat -c %u /mnt/*/file")
    for number in range(40):
        mapped(bundle, bundle.mount(f"/mnt/{number:02}", path, "bind", "idmap"), 5000 + number)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    seen = live.output(bundle, before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))).split()
    assert seen == [str(5000 + number) for number in range(40)]


def test_later_mounts_of_the_host_stay_out(live: Case) -> None:
    path = source(live)
    bundle = live.bundle()
    for number, word in enumerate(("", "rslave")):
        mapped(bundle, bundle.mount(f"/mnt/{number}", path, "rbind", "idmap", *([word] if word else [])), 5000)
    seen = live.probe(bundle)
    for number, expected in enumerate((False, True)):
        fields = mount_at(seen, f"/mnt/{number}")
        assert any(field.startswith("master:") for field in fields[6 : fields.index("-")]) is expected, fields
        assert not any(field.startswith("shared:") for field in fields), fields


def test_nothing_to_map_by(live: Case) -> None:
    for word in ("idmap", "ridmap"):
        bundle = live.bundle()
        index = bundle.mount("/mnt", source(live, word), "bind", f"ro,{word}")
        live.refused(bundle, f"/mounts/{index}/options/1", f"{word} on /mnt has nothing to map by")


def test_file_systems_that_know_no_mapping(live: Case) -> None:
    bundle = live.bundle()
    index = bundle.mount("/more", "proc", "idmap", kind="proc")
    mapped(bundle, index, 5000)
    live.refused(
        bundle, f"/mounts/{index}", "mount on /more cannot be id-mapped", "mount_setattr", "does not know id-mapped"
    )
    bundle = live.bundle()
    index = bundle.mount("/more", "/proc/sys", "bind", "idmap")
    mapped(bundle, index, 5000)
    live.refused(bundle, f"/mounts/{index}", "mount on /more cannot be id-mapped", "does not know id-mapped")


def test_mapped_twice(live: Case) -> None:
    path = source(live)
    bundle = live.bundle()
    mapped(bundle, bundle.mount("/mnt", path, "bind", "idmap"), 5000)
    index = bundle.mount("/again", f"{bundle.rootfs}/mnt", "bind", "idmap")
    mapped(bundle, index, 6000)
    live.refused(bundle, f"/mounts/{index}", "mount on /again cannot be id-mapped", "not id-mapped already")


def test_what_the_plan_refuses(live: Case) -> None:
    for kind, words, text in (
        ("tmpfs", ["remount", "idmap"], "remount"),
        ("cgroup", ["idmap"], "cgroup"),
        ("tmpfs", ["silent", "idmap"], "fsconfig(2) has no word for silent"),
    ):
        bundle = live.bundle()
        index = bundle.mount("/mnt", "x", *words, kind=kind)
        mapped(bundle, index, 5000)
        live.refused(bundle, f"/mounts/{index}", "cannot be id-mapped", text, verbs=("create",))
