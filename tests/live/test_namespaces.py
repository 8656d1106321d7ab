"""Namespaces: new, joined by path, shared between containers, or the host's."""

from __future__ import annotations

import os

import pytest

from . import kernel, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

SLEEP = ["/bin/sleep", "600"]
KINDS = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "mount": "mnt",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}


def own(kind: str) -> str:
    """The text of one of our own namespaces."""
    return os.readlink(f"/proc/self/ns/{KINDS[kind]}")


def of(pid: int, kind: str) -> str:
    """The text of a namespace of a process."""
    return os.readlink(f"/proc/{pid}/ns/{KINDS[kind]}")


def holder(live: Case) -> tuple[Bundle, int]:
    """A running container with a user namespace and its usual company."""
    bundle = live.bundle(SLEEP)
    bundle.namespace("cgroup")
    bundle.user_namespace()
    live.launch(bundle)
    return bundle, live.pid(bundle)


def test_all_eight_new(live: Case) -> None:
    bundle = live.bundle()
    for kind in KINDS:
        bundle.namespace(kind)
    bundle.user_namespace()
    seen = live.probe(bundle)
    for kind, name in KINDS.items():
        assert seen["ns"][name] != own(kind), kind
    assert seen["pid"] == 1
    assert seen["ppid"] == 0


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup", "time"])
def test_not_listed_is_the_hosts(live: Case, kind: str) -> None:
    bundle = live.bundle()
    bundle.share_host(kind)
    if kind == "uts":
        del bundle.config["hostname"]
    seen = live.probe(bundle)
    assert seen["ns"][KINDS[kind]] == own(kind)
    if kind == "pid":
        assert seen["pid"] > 1


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "cgroup", "time"])
def test_join_by_path(live: Case, kind: str) -> None:
    # A holder without a user namespace: joining needs no more rights than ours.
    first = live.bundle(SLEEP)
    first.namespace("cgroup")
    if kind == "time":
        first.namespace("time")
    live.launch(first)
    pid = live.pid(first)
    second = live.bundle()
    second.namespace(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
    if kind == "uts":
        del second.config["hostname"]
    assert live.probe(second)["ns"][KINDS[kind]] == of(pid, kind)


def test_join_user_and_its_namespaces(live: Case) -> None:
    _, pid = holder(live)
    second = live.bundle(SLEEP)
    second.user_namespace()
    for kind in ("user", "network", "ipc", "uts", "pid", "cgroup"):
        second.namespace(kind, f"/proc/{pid}/ns/{KINDS[kind]}")
    del second.config["hostname"]
    del second.linux["uidMappings"], second.linux["gidMappings"]
    live.launch(second)
    joined = live.pid(second)
    for kind in ("user", "network", "ipc", "uts", "pid", "cgroup"):
        assert of(joined, kind) == of(pid, kind), kind
    assert of(joined, "mount") != of(pid, "mount")


def test_join_of_a_namespace_kept_by_a_mount(live: Case) -> None:
    first, pid = holder(live)
    kept = f"{live.dir}/kept"
    with open(kept, "w", encoding="ascii"):
        pass
    live.mount(f"/proc/{pid}/ns/net", kept, flags=kernel.MS_BIND)
    text = of(pid, "network")
    live.delete(first, "--force")
    second = live.bundle()
    second.namespace("network", kept)
    assert live.probe(second)["ns"]["net"] == text


def test_wrong_type_of_namespace(live: Case) -> None:
    pairs = {"network": "ipc", "ipc": "uts", "uts": "net", "pid": "mnt", "cgroup": "net", "time": "pid", "mount": "ipc"}
    for kind, other in pairs.items():
        bundle = live.bundle()
        bundle.namespace(kind, f"/proc/self/ns/{other}")
        index = len(bundle.linux["namespaces"]) - 1
        live.refused(bundle, f"/linux/namespaces/{index}", verbs=["create"])


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "device", "missing"])
def test_path_that_is_no_namespace(live: Case, kind: str) -> None:
    path = f"{live.dir}/thing"
    if kind == "file":
        os.symlink("/etc/passwd", path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.symlink("/dev/zero", path)
    bundle = live.bundle()
    bundle.namespace("network", path)
    live.refused(bundle, "/linux/namespaces/4", limit=4)


def test_shared_pid_namespace(live: Case) -> None:
    # The second container's init is not pid 1; delete must reach all of its processes.
    first = live.bundle(SLEEP)
    live.launch(first)
    second = live.shell("sleep 601 & sleep 602 & exec sleep 603")
    second.namespace("pid", f"/proc/{live.pid(first)}/ns/pid")
    live.launch(second)
    assert of(live.pid(second), "pid") == of(live.pid(first), "pid")
    process.eventually(lambda: len(sleepers("60")) == 4, "three processes and the first container's one")
    live.delete(second, "--force")
    process.eventually(lambda: sleepers("60") == ["sleep 600"], "only the first container is left")
    assert live.status(first) == "running"


def test_kill_all_after_init_has_gone(live: Case) -> None:
    # In the host's pid namespace the end of init ends nobody else.
    bundle = live.shell("sleep 611 & sleep 612 & exec sleep 613")
    bundle.share_host("pid")
    live.launch(bundle)
    process.eventually(lambda: len(sleepers("61")) == 3, "three sleepers")
    os.kill(live.pid(bundle), 9)
    live.until(bundle, "stopped")
    assert len(sleepers("61")) == 2
    live.command("kill", "--all", bundle.id, "KILL").ok()
    process.eventually(lambda: not sleepers("61"), "no sleeper is left")
    live.delete(bundle)


def test_delete_reaches_all_after_init_has_gone(live: Case) -> None:
    bundle = live.shell("sleep 621 & exec sleep 622")
    bundle.share_host("pid")
    live.launch(bundle)
    process.eventually(lambda: len(sleepers("62")) == 2, "two sleepers")
    os.kill(live.pid(bundle), 9)
    live.until(bundle, "stopped")
    live.delete(bundle)
    process.eventually(lambda: not sleepers("62"), "no sleeper is left")
    live.assert_clean()


def sleepers(prefix: str) -> list[str]:
    """Command lines of our descendants that sleep for a time with this prefix."""
    process.reap()
    lines = [process.describe(pid) for pid in process.descendants() if not process.is_zombie(pid)]
    return sorted("sleep " + line.rsplit(" ", 1)[1] for line in lines if f"sleep {prefix}" in line and "-c" not in line)


def test_time_offsets(live: Case) -> None:
    bundle = live.bundle()
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 1000}, "boottime": {"secs": 2000, "nanosecs": 500}}
    plain = live.bundle()
    plain.namespace("time")
    base = live.probe(plain)
    seen = live.probe(bundle)
    assert [line.split() for line in seen["timens_offsets"].splitlines()] == [
        ["monotonic", "1000", "0"],
        ["boottime", "2000", "500"],
    ]
    assert 999 <= seen["monotonic"] - base["monotonic"] <= 1020
    assert 1999 <= seen["boottime"] - base["boottime"] <= 2020


def test_time_offsets_with_a_user_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.namespace("time")
    bundle.user_namespace()
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 77}}
    assert live.probe(bundle)["timens_offsets"].split()[:3] == ["monotonic", "77", "0"]


def test_hostname_and_domainname(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["hostname"] = "one.two"
    bundle.config["domainname"] = "three"
    seen = live.probe(bundle)
    assert (seen["hostname"], seen["domainname"]) == ("one.two", "three")


def test_hostname_needs_its_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.share_host("uts")
    live.refused(bundle, "/hostname")


def test_new_network_has_its_loopback_up(live: Case) -> None:
    bundle = live.shell("cat /proc/net/dev | grep -c : ; cat /proc/net/fib_trie | grep -c 127.0.0.1")
    lines = live.output(bundle).split()
    assert lines[0] == "1", "only lo"
    assert int(lines[1]) > 0, "lo is up: it has its address"


def test_cgroup_namespace_shows_no_path(live: Case) -> None:
    bundle = live.bundle()
    bundle.namespace("cgroup")
    seen = live.probe(bundle)
    assert live.session.mark not in seen["cgroup"]
    bundle.share_host("cgroup")
    assert live.session.mark in live.probe(bundle)["cgroup"]


def test_no_mount_namespace(live: Case) -> None:
    # Mounts then happen in the caller's namespace; without any there is only a chroot.
    bundle = live.shell("echo here; test ! -e /work")
    bundle.share_host("mount")
    bundle.config["mounts"] = []
    bundle.file("/etc/marker", "")
    assert live.output(bundle) == "here\n"


@pytest.mark.parametrize("key", ["hostname", "domainname"])
def test_an_empty_name_leaves_the_host_its_own(live: Case, key: str) -> None:
    # The session has a uts namespace of its own, which plays the host.
    before = os.uname().nodename
    bundle = live.shell("hostname")
    bundle.share_host("uts")
    bundle.config.pop("hostname")
    bundle.config[key] = ""
    assert live.output(bundle) == before + "\n"
    assert os.uname().nodename == before


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("uts", {"hostname": "theirs"}), ("uts", {"domainname": "theirs"}), ("mount", {})],
)
def test_the_hosts_own_namespace_by_path_is_not_changed(live: Case, kind: str, wanted: dict[str, str]) -> None:
    bundle = live.bundle()
    bundle.config.pop("hostname")
    bundle.config.update(wanted)
    bundle.namespace(kind, f"/proc/self/ns/{KINDS[kind]}")
    live.refused(bundle, f"host's own {kind} namespace")
