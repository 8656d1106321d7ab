"""E10: a process by exec has what the container's first one has: namespaces, limits, credentials, schedulers, keys.

The probe runs as the first process and by exec; the reports must be equal but
for what names the single process.
"""

from __future__ import annotations

import os

import pytest

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .bundles import Bundle
    from .case import Case

# Numbers of the process itself, clocks that go on, and the arguments, of which the first one has one more.
OWN = {"pid", "ppid", "sid", "pgid", "args", "monotonic", "boottime", "fds"}
OWN_STATUS = {"Tgid", "Pid", "PPid", "NStgid", "NSpid", "NSpgid", "NSsid"}
# SigQ counts the signals that are queued for all processes of the user, on the whole machine.
MEASURED = ("Vm", "Rss", "HugetlbPages", "voluntary", "nonvoluntary", "SigQ")


def plain(bundle: Bundle) -> None:
    pass


def user_namespace(bundle: Bundle) -> None:
    bundle.user_namespace()


def every_namespace(bundle: Bundle) -> None:
    bundle.user_namespace()
    bundle.namespace("cgroup")
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 1000}, "boottime": {"secs": 2000}}


def no_mount_namespace(bundle: Bundle) -> None:
    bundle.share_host("mount")
    bundle.config["mounts"] = []


def no_namespace(bundle: Bundle) -> None:
    for kind in ("pid", "network", "ipc", "uts", "mount"):
        bundle.share_host(kind)
    bundle.config["mounts"] = []
    del bundle.config["hostname"]


def everything_set(bundle: Bundle) -> None:
    bundle.process.update(
        user={"uid": 1000, "gid": 1000, "additionalGids": [5, 2000], "umask": 63},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        oomScoreAdj=500,
        scheduler={"policy": "SCHED_BATCH", "nice": 5},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6},
        cwd="/tmp",
    )
    bundle.linux["personality"] = {"domain": "LINUX32"}
    bundle.namespace("cgroup")
    bundle.namespace("time")


def ambient(bundle: Bundle) -> None:
    bundle.process["capabilities"]["inheritable"] = ["CAP_CHOWN", "CAP_KILL"]
    bundle.process["capabilities"]["ambient"] = ["CAP_CHOWN"]
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = False


CONFIGS = [plain, user_namespace, every_namespace, no_mount_namespace, no_namespace, everything_set, ambient]


def first(live: Case, bundle: Bundle, *options: str) -> Any:
    bundle.process["args"] = ["/probe", "--sleep"]
    result = live.launch(bundle, *options)
    process.eventually(lambda: result.out.endswith("}\n"), "the probe's report")
    return result.json()


def differences(one: Any, other: Any) -> list[str]:
    found = [
        f"{key}: {one[key]!r} {other[key]!r}" for key in one if key not in OWN | {"status"} and one[key] != other[key]
    ]
    before, after = (dict(line.split(":", 1) for line in report["status"].splitlines()) for report in (one, other))
    for key, value in before.items():
        if key not in OWN_STATUS and not key.startswith(MEASURED) and value != after[key]:
            found.append(f"status {key}: {value} {after[key]}")
    shown = [[(fd["fd"], fd["cloexec"], fd["status"], fd["rdev"], fd["uid"]) for fd in r["fds"]] for r in (one, other)]
    return found if shown[0] == shown[1] else [*found, f"fds: {shown}"]


@pytest.mark.parametrize("change", CONFIGS)
def test_equal(live: Case, change: Callable[[Bundle], None]) -> None:
    bundle = live.bundle()
    change(bundle)
    assert differences(first(live, bundle), execs.probe(live, bundle)) == []


def test_equal_without_pivot(live: Case) -> None:
    bundle = live.bundle()
    assert differences(first(live, bundle, "--no-pivot"), execs.probe(live, bundle)) == []


def test_equal_before_start(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["args"] = ["/probe", "--sleep"]
    result = live.create(bundle)
    seen = execs.probe(live, bundle)
    live.start(bundle)
    process.eventually(lambda: result.out.endswith("}\n"), "the probe's report")
    assert differences(result.json(), seen) == []


@pytest.mark.parametrize("user", [False, True], ids=["root", "userns"])
def test_joined_namespaces(live: Case, user: bool) -> None:
    owner = live.bundle(execs.IDLE)
    if user:
        owner.user_namespace()
    live.launch(owner)
    pid = live.pid(owner)
    bundle = live.bundle()
    for kind, name in (("network", "net"), ("ipc", "ipc"), ("pid", "pid"), ("uts", "uts")):
        bundle.namespace(kind, f"/proc/{pid}/ns/{name}")
    del bundle.config["hostname"]
    if user:
        bundle.namespace("user", f"/proc/{pid}/ns/user")
        os.chown(bundle.rootfs, 100000, 100000)
    assert differences(first(live, bundle), execs.probe(live, bundle)) == []


def test_from_elsewhere(live: Case) -> None:
    # The caller of exec has other namespaces than the caller of create had: init's count.
    bundle = live.bundle()
    for kind in ("network", "ipc", "uts"):
        bundle.share_host(kind)
    del bundle.config["hostname"]
    seen = first(live, bundle)
    words = ["/usr/bin/unshare", "-n", "-i", "-u", *live.argv("exec", bundle.id, "/probe")]
    result = process.run(words, scratch=live.scratch).ok()
    assert differences(seen, result.json()) == []


def test_own_session_and_group(live: Case) -> None:
    bundle = execs.idle(live)
    seen = execs.probe(live, bundle)
    assert seen["pid"] > 1 and seen["pgid"] == seen["sid"] == seen["pid"] and seen["ppid"] == 0
    assert seen["pdeathsig"] == 0 and seen["dumpable"] == 1


def test_session_keyring(live: Case) -> None:
    bundle = live.bundle()
    seen = first(live, bundle)
    assert f"_ses.{bundle.id}" in seen["keyring_text"]
    assert execs.probe(live, bundle)["keyring"] == seen["keyring"]


def test_no_new_keyring(live: Case) -> None:
    bundle = live.bundle()
    seen = first(live, bundle, "--no-new-keyring")
    assert execs.probe(live, bundle)["keyring"] == seen["keyring"]
    assert bundle.id not in seen["keyring_text"]


def test_clocks(live: Case) -> None:
    bundle = live.bundle()
    every_namespace(bundle)
    before = first(live, bundle)
    after = execs.probe(live, bundle)
    assert 0 <= after["monotonic"] - before["monotonic"] < 60
    assert after["timens_offsets"] == before["timens_offsets"] != ""


def test_shared_pid_namespace_whose_container_has_ended(live: Case) -> None:
    owner = execs.idle(live)
    bundle = live.shell("sleep 70002 & exec sleep 70003")
    bundle.namespace("pid", f"/proc/{live.pid(owner)}/ns/pid")
    live.launch(bundle)
    process.eventually(lambda: len(live.command("ps", "-f", "json", bundle.id).json()) == 2, "both run")
    os.kill(live.pid(bundle), 9)
    live.until(bundle, "stopped")
    execs.run(live, bundle, "/bin/true").failed("cannot exec in a stopped container")


def test_root_of_the_container(live: Case) -> None:
    # What exec sees as / is the container's, whatever stands in its way there.
    for change in (plain, no_mount_namespace):
        bundle = live.bundle(execs.IDLE)
        change(bundle)
        bundle.file("marker", "inside\n")
        live.launch(bundle)
        assert execs.run(live, bundle, "/bin/cat", "/marker").ok().out == "inside\n"
        assert execs.shell(live, bundle, "cat /../../marker; ls -d /../tmp/ocirun-* 2>/dev/null; :") == "inside\n"


def test_c08_forged_proc(live: Case) -> None:
    # The inhabitants have mounted something else over /proc: nothing of it is believed.
    script = (
        "mount -t tmpfs none /proc && mkdir -p /proc/self/ns /proc/self/attr /proc/self/fd /proc/1 && exec sleep 70004"
    )
    bundle = live.shell(script)
    for name in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][name].append("CAP_SYS_ADMIN")
    live.launch(bundle)
    process.eventually(lambda: "70004" in process.describe(live.pid(bundle)), "the mount is made")
    seen = execs.probe(live, bundle, "--user", "1000:1000", "--no-new-privs", "--cwd", "/tmp")
    assert (seen["uids"], seen["no_new_privs"], seen["cwd"]) == ([1000] * 3, 1, "/tmp")
