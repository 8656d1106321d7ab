"""The config of `ocirun.sandbox`: what is in it, what is left out of it, and which parameters are refused."""

from __future__ import annotations

import json

import pytest

import ocirun
from ocirun.commands import planning
from ocirun.config.check import check
from ocirun.errors import ConfigError, HostError, Problem, UnsupportedError, UsageError
from ocirun.host import facts, users
from ocirun.plan.mounts.upper import UPPER, Upper
from ocirun.plan.ops import Plan
from ocirun.sandboxes import filter as filters
from ocirun.sandboxes import ids, profile, saved
from ocirun.sandboxes.config import LEFT_OUT, Wishes, config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

BLOCK = [(0x70000000, 65536)]
#: What only a program with a capability, or none at all, may call.
REFUSED = "add_key bpf chroot fsopen init_module io_uring_setup kexec_load keyctl mount move_mount open_by_handle_at"
REFUSED += " perf_event_open pivot_root reboot request_key setns swapon umount2 unshare userfaultfd"


def wishes(**changes: Any) -> Wishes:
    usual: dict[str, Any] = {
        "rootfs": "/srv/rootfs",
        "args": ["sh"],
        "env": ["A=b"],
        "cwd": "/",
        "user": (0, 0),
        "mounts": [],
        "memory": 1 << 20,
        "pids": 8,
        "cpus": 0.5,
        "open_files": 16,
        "file_size": 4096,
        "tmp": 8192,
        "shm": 4096,
        "capabilities": [],
        "seccomp": True,
        "upper": None,
    }
    return Wishes(**{**usual, **changes})


def made(left_out: list[str] | None = None, **changes: Any) -> dict[str, Any]:
    found = config(wishes(**changes), uids=BLOCK, gids=BLOCK, left_out=left_out or [])
    assert not check(json.loads(json.dumps(found))), "a config like any other"
    return found


def test_what_is_in_it() -> None:
    found = made()
    process, linux = found["process"], found["linux"]
    assert process["noNewPrivileges"] is True
    assert set(process["capabilities"]) == {"bounding", "effective", "inheritable", "permitted", "ambient"}
    assert not any(process["capabilities"].values())
    assert found["root"] == {"path": "/srv/rootfs", "readonly": True}
    assert {one["type"] for one in linux["namespaces"]} == {"user", "mount", "pid", "network", "ipc", "uts", "cgroup"}
    assert not any("path" in one for one in linux["namespaces"])
    assert linux["uidMappings"] == linux["gidMappings"] == [{"containerID": 0, "hostID": 0x70000000, "size": 65536}]
    assert linux["resources"] == {
        "memory": {"limit": 1 << 20, "swap": 1 << 20},
        "pids": {"limit": 8},
        "cpu": {"quota": 50000, "period": 100000},
    }
    assert {one["type"]: one["hard"] for one in process["rlimits"]} == {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 16,
        "RLIMIT_FSIZE": 4096,
    }
    sizes = {one["destination"]: one["options"][-1] for one in found["mounts"] if one["type"] == "tmpfs"}
    assert sizes == {"/dev": "size=64k", "/dev/shm": "size=4096", "/tmp": "size=8192"}
    inodes = {
        one["destination"]: one["options"][-2] for one in found["mounts"] if one["destination"] in ("/tmp", "/dev/shm")
    }
    assert inodes == dict.fromkeys(("/tmp", "/dev/shm"), "nr_inodes=1024")
    assert "/proc/kcore" in linux["maskedPaths"] and "/proc/sys" in linux["readonlyPaths"]
    assert "terminal" not in process and "annotations" not in found and "hooks" not in found


def test_what_none_leaves_out() -> None:
    nothing = dict.fromkeys(("memory", "pids", "cpus", "open_files", "file_size", "tmp", "shm"))
    found = made(**nothing, seccomp=False)
    assert "resources" not in found["linux"] and "seccomp" not in found["linux"]
    assert [one["type"] for one in found["process"]["rlimits"]] == ["RLIMIT_CORE"]
    assert [one["destination"] for one in found["mounts"]] == ["/proc", "/sys", "/dev", "/dev/pts"]
    assert "annotations" not in found, "what was not asked for is not lacking"


def test_what_the_host_lacks_is_told() -> None:
    found = made(["memory", "seccomp"])
    assert set(found["linux"]["resources"]) == {"pids", "cpu"}
    assert "seccomp" not in found["linux"]
    assert found["annotations"] == {LEFT_OUT: "memory seccomp"}


def test_spans_follow_each_other() -> None:
    found = config(wishes(), uids=[(1000, 1), (100000, 65536)], gids=[(1001, 1)])
    assert found["linux"]["uidMappings"] == [
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 1, "hostID": 100000, "size": 65536},
    ]
    assert found["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]


def names(rules: dict[str, Any], *, conditional: bool = False) -> set[str]:
    allowed = [rule for rule in rules["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]
    return {name for rule in allowed if conditional or "args" not in rule for name in rule["names"]}


def test_the_filter() -> None:
    rules = filters.seccomp(())
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO" and rules["defaultErrnoRet"] == 1
    assert not names(rules, conditional=True) & set(REFUSED.split())
    assert {"read", "execve", "openat", "futex"} <= names(rules)
    # Only with certain arguments: no new namespaces, no families that programs do not need.
    assert names(rules, conditional=True) - names(rules) == {"socket", "personality", "clone"}
    (clone,) = [rule for rule in rules["syscalls"] if rule["names"] == ["clone"]]
    # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of linux/sched.h
    assert clone["args"][0]["value"] == 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x70000000
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules["syscalls"]


def test_the_filter_follows_the_capabilities() -> None:
    assert {"mount", "unshare", "setns", "clone", "clone3"} <= names(filters.seccomp(["CAP_SYS_ADMIN"]))
    assert "chroot" in names(filters.seccomp(["CAP_SYS_CHROOT"]))
    assert "mount" not in names(filters.seccomp(["CAP_SYS_CHROOT"]))


def test_the_list_is_a_list() -> None:
    for text in (profile.ALLOWED, *profile.ALLOWED_WITH.values()):
        words = text.split()
        assert len(set(words)) == len(words)
        assert all(word.replace("_", "").isalnum() and word.islower() for word in words)
    assert {38, 40}.isdisjoint(profile.SOCKET_FAMILIES), "AF_ALG, AF_VSOCK"


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "privileged", lambda: True)


def ordinary(monkeypatch: pytest.MonkeyPatch, **known: Any) -> None:
    monkeypatch.setattr(facts, "privileged", lambda: False)
    monkeypatch.setattr(facts, "caller", lambda: users.Caller(uid=1000, gid=1001, **known))


def test_ids_of_root_belong_to_nobody(as_root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "every_range", lambda kind: [])
    uids, gids = ids.choose(None)
    assert uids == gids
    ((first, count),) = uids
    assert count == 65536 and 0x70000000 <= first < 0x7FFE0000 and first % 65536 == 0
    assert len({ids.choose(None)[0][0] for _ in range(20)}) > 1
    monkeypatch.setattr(users, "every_range", lambda kind: [(0x70000000 + 65535, 0x0FFE0000 - 2 * 65536 + 1)])
    assert {ids.choose(None)[0][0] for _ in range(20)} == {(0x7FFD0000, 65536)}
    monkeypatch.setattr(users, "every_range", lambda kind: [(0x70000000, 0x10000000)])
    with pytest.raises(UsageError, match=r"^ids: "):
        ids.choose(None)


def test_ids_that_are_given(as_root: None) -> None:
    assert ids.choose((5000, 10)) == ([(5000, 10)], [(5000, 10)])
    with pytest.raises(UsageError, match=r"^ids: begin with 0, which is the host's root"):
        ids.choose((0, 65536))


def test_ids_of_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary(monkeypatch)
    assert ids.choose(None) == ([(1000, 1)], [(1001, 1)])
    more: dict[str, Any] = {"subuids": [(200000, 65536)], "subgids": [(300000, 100)]}
    ordinary(monkeypatch, **more)
    assert ids.choose(None) == ([(1000, 1)], [(1001, 1)]), "without newuidmap nobody could map them"
    ordinary(monkeypatch, **more, newuidmap="/usr/bin/newuidmap", newgidmap="/usr/bin/newgidmap")
    assert ids.choose(None) == ([(1000, 1), (200000, 65536)], [(1001, 1), (300000, 100)])


@pytest.fixture
def planned(as_root: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """Puts a function of the config in place of the plan."""

    def put(function: Callable[[Any], None]) -> None:
        def plan(config: Any, *args: Any, **named: Any) -> Any:
            function(config.data)
            return Plan([], [], 0, [], []), None

        monkeypatch.setattr(planning, "plan", plan)

    put(lambda data: None)
    return put


WRONG: list[tuple[str, Any]] = [
    *[("args", value) for value in ("ls", b"ls", [], [""], [b"ls"], ["a\0"], ["\ud800"], 5, None)],
    *[("env", value) for value in ({"A": b"x"}, {b"A": "x"}, {"A": 1}, {"": "x"}, {"A=": "x"}, {"A": "\0"}, ["A=b"])],
    *[("cwd", value) for value in ("", "tmp", b"/", None, "/\0")],
    *[("user", value) for value in (0, "root", (0,), (0, 0, 0), (-1, 0), (0, 1 << 32), (70000, 0), (0, 70000))],
    *[(name, value) for name in ("memory", "pids") for value in (0, -1, 1.5, "1", True, 1 << 63)],
    *[("cpus", value) for value in (0, -1, 0.001, float("inf"), float("nan"), "1", True, 10**400)],
    *[("open_files", value) for value in (0, 2, -1)],
    *[("file_size", value) for value in (-1, 0.5)],
    *[(name, value) for name in ("tmp", "shm") for value in (0, -1, "64M")],
    *[("mounts", value) for value in ("x", [5], [{"destination": 5}], {"destination": "/x"})],
    *[("capabilities", value) for value in ("CAP_KILL", [1])],
    *[("ids", value) for value in (5, (5,), (5, 0), (-1, 5), ((1 << 32) - 2, 2), (0, 5))],
    *[("missing", value) for value in ("", "ignore", True)],
    *[("cgroup_manager", value) for value in ("x", None)],
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda value: ascii(value)[:30])
def test_wrong_parameters(planned: object, tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        ocirun.sandbox(**{"rootfs": str(tmp_path), "args": ["sh"], "seccomp": False, name: value})
    assert caught.value.message.startswith(name), caught.value


def test_it_is_its_own(planned: object, tmp_path: Path) -> None:
    """What is changed in it is no change of what the caller has given, nor of the next one."""
    given = {"destination": "/x", "type": "tmpfs", "source": "x", "options": ["ro"]}
    first, second = (ocirun.sandbox(str(tmp_path), ["sh"], mounts=[given], seccomp=False) for _ in range(2))
    for mount in first["mounts"]:
        mount["options"].append("noexec")
    assert given["options"] == ["ro"]
    assert [mount["options"] for mount in second["mounts"]] == [mount["options"][:-1] for mount in first["mounts"]]


def test_wrong_roots(planned: object, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root, text in ((tmp_path / "none", "no such file or directory"), (tmp_path / "file", "is not a directory")):
        with pytest.raises(ocirun.OcirunError, match=r"^rootfs: ") as caught:
            ocirun.sandbox(str(root), ["sh"], seccomp=False)
        assert text in caught.value.message


def lacks(*pointers: str) -> Callable[[Any], None]:
    """Stands for a plan that these places of a config stop."""

    def plan(data: Any) -> None:
        found = []
        for pointer in pointers:
            place = data
            for key in pointer.split("/")[1:]:
                place = place.get(key, {}) if isinstance(place, dict) else {}
            if place != {}:
                found.append(Problem(pointer, "is not to be had"))
        if found:
            raise ConfigError(found)

    return plan


def test_a_lack_is_refused_or_left_out(planned: Callable[..., None], tmp_path: Path) -> None:
    planned(lacks("/linux/resources/memory/limit", "/linux/resources/memory/swap", "/linux/resources/cpu/quota"))
    with pytest.raises(UnsupportedError, match=r"^memory, cpus: /linux/resources/memory/limit: is not ") as caught:
        ocirun.sandbox(str(tmp_path), ["sh"], seccomp=False)
    assert 'missing="leave out"' in caught.value.remedy
    found = ocirun.sandbox(str(tmp_path), ["sh"], seccomp=False, missing="leave out")
    assert found["annotations"] == {LEFT_OUT: "memory cpus"}
    assert list(found["linux"]["resources"]) == ["pids"]
    assert "annotations" not in ocirun.sandbox(str(tmp_path), ["sh"], seccomp=False, memory=None, cpus=None)


def test_other_lacks_are_never_left_out(planned: Callable[..., None], tmp_path: Path) -> None:
    for pointer, name in (("/linux/namespaces", "ids: "), ("/root", "rootfs: "), ("/hostname", "/hostname: ")):
        planned(lacks("/linux/resources/memory/limit", pointer))
        with pytest.raises(ocirun.OcirunError, match=name):
            ocirun.sandbox(str(tmp_path), ["sh"], seccomp=False, missing="leave out")


def test_without_libseccomp(planned: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    libseccomp = pytest.importorskip("ocirun.host.libseccomp", reason="needs the compiled module")

    def load() -> None:
        raise HostError("seccomp filters need libseccomp.so.2", call="dlopen", remedy="install it")

    monkeypatch.setattr(libseccomp, "load", load)
    with pytest.raises(UnsupportedError, match=r"^seccomp: seccomp filters need libseccomp.so.2 \(install it; or give"):
        ocirun.sandbox(str(tmp_path), ["sh"])
    found = ocirun.sandbox(str(tmp_path), ["sh"], missing="leave out")
    assert found["annotations"] == {LEFT_OUT: "seccomp"} and "seccomp" not in found["linux"]


def test_saved(tmp_path: Path) -> None:
    path = saved.save_config(made(), str(tmp_path / "bundle"))
    assert path == str(tmp_path / "bundle" / "config.json")
    with open(path, encoding="ascii") as file:
        assert json.load(file) == made()
    with pytest.raises(HostError, match="exists"):
        ocirun.save_config(made(), str(tmp_path / "bundle"))
    with pytest.raises(ConfigError):
        ocirun.save_config({"ociVersion": "1.3.0", "root": 5}, str(tmp_path / "other"))
    assert not (tmp_path / "other").exists()
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="not a directory"):
        ocirun.save_config(made(), str(tmp_path / "file"))


def test_a_root_to_throw_away() -> None:
    found = made(["memory"], upper=Upper(4096, 7, idmap=True))
    assert found["root"]["readonly"] is False
    assert found["annotations"] == {LEFT_OUT: "memory", UPPER: "size=4096,inodes=7,idmap"}
    assert made()["root"]["readonly"] is True and "annotations" not in made()
