"""process: user, groups, directory, environment, scores, schedulers and the rest of what exec inherits."""

from __future__ import annotations

import os
import shutil

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_user_and_groups(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 2000, 70000]}
    seen = live.probe(bundle)
    assert seen["uids"] == [1000] * 3
    assert seen["gids"] == [1001] * 3
    assert sorted(set(seen["groups"]) - {1001}) == [5, 2000, 70000]


@pytest.mark.parametrize("uid", [0, 1000])
def test_groups_of_the_caller_do_not_leak(live: Case, uid: int) -> None:
    bundle = live.bundle()
    bundle.process["user"] = {"uid": uid, "gid": 0}
    seen = live.probe(bundle, before=lambda: os.setgroups([6, 4242]))
    assert set(seen["groups"]) <= {0}


@pytest.mark.parametrize(("given", "wanted"), [(0o77, 0o77), (0, 0), (0o777, 0o777), (18, 0o022)])
def test_umask(live: Case, given: int, wanted: int) -> None:
    bundle = live.bundle()
    bundle.process["user"]["umask"] = given
    assert live.probe(bundle, before=lambda: os.umask(0o031))["umask"] == wanted


def test_umask_unset_is_the_callers(live: Case) -> None:
    # runc and crun use 022; the specification says the caller's is kept.
    assert live.probe(live.bundle(), before=lambda: os.umask(0o031))["umask"] == 0o031


def test_cwd(live: Case) -> None:
    bundle = live.bundle()
    os.symlink("/home/app", f"{bundle.rootfs}/link")
    for cwd, wanted in (("/tmp", "/tmp"), ("/link", "/home/app"), ("/home/../etc/", "/etc"), ("/", "/")):
        bundle.process["cwd"] = cwd
        assert live.probe(bundle)["cwd"] == wanted


def test_cwd_that_is_a_file(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["cwd"] = "/etc/passwd"
    live.refused(bundle, "/process/cwd", "/etc/passwd", "cwd must be a directory")
    bundle.process["cwd"] = "/etc/passwd/below"
    live.refused(bundle, "/process/cwd", "cwd must be a directory")


def test_missing_cwd_is_made(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["cwd"] = "/made/here"
    assert live.probe(bundle)["cwd"] == "/made/here"
    assert os.stat(f"{bundle.rootfs}/made/here").st_mode & 0o7777 == 0o755


def test_cwd_only_its_user_may_enter(live: Case) -> None:
    bundle = live.bundle()
    os.chmod(f"{bundle.rootfs}/home/app", 0o700)
    bundle.process["capabilities"] = {}
    bundle.process["cwd"] = "/home/app"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert live.probe(bundle)["cwd"] == "/home/app"


@pytest.mark.parametrize("capabilities", [True, False])
def test_cwd_only_root_may_enter(live: Case, capabilities: bool) -> None:
    # Reached before the ids are given up, as with runc and crun: images have WORKDIR /root and another USER.
    bundle = live.bundle()
    os.mkdir(f"{bundle.rootfs}/rootonly", 0o700)
    bundle.process["cwd"] = "/rootonly"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    if not capabilities:
        bundle.process["capabilities"] = {}
    assert live.probe(bundle)["cwd"] == "/rootonly"


def test_environment_is_exactly_the_configs(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["env"] = ["PATH=/bin", "A=1", "B=two words", "C=line\nbreak", "A=2", "EMPTY=", "D=x=y"]
    seen = live.probe(bundle, env={"PATH": os.environ["PATH"], "SECRET": "leak", "LD_PRELOAD": "", "PYTHONPATH": "/x"})
    assert sorted(seen["env"]) == ["A=2", "B=two words", "C=line\nbreak", "D=x=y", "EMPTY=", "HOME=/root", "PATH=/bin"]


@pytest.mark.parametrize(
    ("uid", "env", "wanted"),
    [
        (0, [], "/root"),
        (1000, [], "/home/app"),
        (4321, [], "/"),
        (1000, ["HOME=/given"], "/given"),
        (1000, ["HOME="], "/home/app"),
        (1000, ["HOME=/x", "HOME="], "/home/app"),
    ],
)
def test_home(live: Case, uid: int, env: list[str], wanted: str) -> None:
    bundle = live.bundle()
    bundle.process["env"] = ["PATH=/bin", *env]
    bundle.process["user"] = {"uid": uid, "gid": 0}
    seen = live.probe(bundle)
    assert [one for one in seen["env"] if one.startswith("HOME=")] == [f"HOME={wanted}"]


PASSWD = {
    "missing": None,
    "empty": "",
    "garbage": "::::\n\0\0\nx\n" + "y" * 70000 + "\n",
    "no home": "app:x:1000:1000::\n",
    "two entries": "one:x:1000:1::/first:\ntwo:x:1000:1::/second:\n",
    "not a number": "app:x:1e3:1::/wrong:\napp:x: 1000:1::/wrong:\n",
    "no line end": "app:x:1000:1000::/end:/bin/sh",
    "long line": f"x:x:5:5:{'y' * 9000}:/wrong:\napp:x:1000:1000:{'z' * 9000}:/far:\n",
    "large": "".join(f"u{number}:x:{number}:5::/wrong:\n" for number in range(70000, 190000))
    + "app:x:1000:1::/deep:\n",
}


@pytest.mark.parametrize("name", PASSWD)
def test_odd_user_database(live: Case, name: str) -> None:
    bundle = live.bundle()
    text = PASSWD[name]
    if text is None:
        os.unlink(f"{bundle.rootfs}/etc/passwd")
    else:
        bundle.file("/etc/passwd", text)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    home = [one for one in live.probe(bundle)["env"] if one.startswith("HOME=")]
    assert home == [
        {"two entries": "HOME=/first", "no line end": "HOME=/end", "long line": "HOME=/far", "large": "HOME=/deep"}.get(
            name, "HOME=/"
        )
    ]


def test_a_user_database_without_end_is_told(live: Case) -> None:
    bundle = live.bundle()
    with open(f"{bundle.rootfs}/etc/passwd", "ab") as file:
        file.truncate(1 << 40)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    result = live.run(bundle)
    assert result.code == 0, "the user's line comes before"
    bundle.process["user"] = {"uid": 1001, "gid": 0}
    live.run(bundle).failed("file too large")
    bundle.process["env"] = ["HOME=/tmp"]
    live.run(bundle).ok()


def test_groups_are_set_as_they_stand(live: Case) -> None:
    bundle = live.bundle(["/bin/grep", "Groups", "/proc/self/status"])
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 7, 5]}
    assert live.output(bundle).split() == ["Groups:", "5", "5", "7"]


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "link out"])
def test_user_database_that_is_no_file(live: Case, kind: str) -> None:
    # E08: no hang on a FIFO, no endless read, nothing of the host.
    bundle = live.bundle()
    path = f"{bundle.rootfs}/etc/passwd"
    os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o20666, os.makedev(1, 5))
    elif kind == "directory":
        os.mkdir(path)
    else:
        with open(f"{live.dir}/passwd", "w", encoding="ascii") as file:
            file.write("app:x:1000:1000::/outside:\n")
        os.symlink(f"../../../../../../..{live.dir}/passwd", path)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    assert "HOME=/" in live.probe(bundle, limit=4)["env"]


def test_no_new_privileges(live: Case) -> None:
    bundle = live.bundle()
    for wanted in (True, False):
        bundle.process["noNewPrivileges"] = wanted
        assert live.probe(bundle)["no_new_privs"] == int(wanted)
    del bundle.process["noNewPrivileges"]
    assert live.probe(bundle)["no_new_privs"] == 0


def test_set_user_id_program(live: Case) -> None:
    bundle = live.bundle(["/suid"])
    shutil.copy(f"{bundle.rootfs}/probe", f"{bundle.rootfs}/suid")
    os.chmod(f"{bundle.rootfs}/suid", 0o4755)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["noNewPrivileges"] = True
    assert live.run(bundle).ok().json()["uids"] == [1000, 1000, 1000]
    bundle.process["noNewPrivileges"] = False
    assert live.run(bundle).ok().json()["uids"] == [1000, 0, 0]


def test_oom_score(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["oomScoreAdj"] = 500
    assert live.probe(bundle)["oom_score_adj"].strip() == "500"
    del bundle.process["oomScoreAdj"]
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        assert live.probe(bundle)["oom_score_adj"] == file.read()


@pytest.mark.parametrize(
    ("policy", "more", "number"),
    [
        ("SCHED_OTHER", {"nice": 5}, 0),
        ("SCHED_BATCH", {"nice": 7}, 3),
        ("SCHED_IDLE", {}, 5),
        ("SCHED_FIFO", {"priority": 10}, 1),
        ("SCHED_RR", {"priority": 3}, 2),
    ],
)
def test_scheduler(live: Case, policy: str, more: dict[str, int], number: int) -> None:
    # runc 1.1 has no scheduler field.
    bundle = live.bundle()
    bundle.process["scheduler"] = {"policy": policy, **more}
    if "priority" in more and os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"):
        # A kernel with CONFIG_RT_GROUP_SCHED and cgroup v1: a new group has no real-time share to give.
        live.refused(bundle, "/process/scheduler", "realtimeRuntime")
        return
    seen = live.probe(bundle)
    assert seen["policy"] == number
    for name, value in more.items():
        assert seen[name] == value


def test_io_priority(live: Case) -> None:
    # runc 1.1 has no ioPriority field.
    bundle = live.bundle()
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    assert live.probe(bundle)["ioprio"] == 2 << 13 | 6


def test_personality(live: Case) -> None:
    # runc 1.1 has no personality field.
    bundle = live.bundle()
    bundle.linux["personality"] = {"domain": "LINUX32"}
    assert live.probe(bundle)["personality"] & 0xFF == 8


def test_affinity_is_not_inherited(live: Case) -> None:
    # runc 1.1 keeps the caller's.
    every = os.sched_getaffinity(0)
    seen = live.probe(live.bundle(), before=lambda: os.sched_setaffinity(0, {min(every)}))
    assert seen["cpus"] == len(every)


def test_session_keyring_is_new(live: Case) -> None:
    bundle = live.bundle()
    first, second = live.probe(bundle), live.probe(live.bundle())
    assert f"_ses.{bundle.id}" in first["keyring_text"]
    assert first["keyring"] != second["keyring"]
    # The caller's own may have any name, such as _ses or _uid_ses.0.
    assert f"_ses.{bundle.id}" not in live.probe(bundle, "--no-new-keyring")["keyring_text"]


def test_process_is_its_own_session_and_not_marked(live: Case) -> None:
    seen = live.probe(live.bundle())
    assert (seen["sid"], seen["pgid"]) == (1, 1)
    assert seen["pdeathsig"] == 0
    assert seen["dumpable"] == 1
    assert seen["comm"] == "probe"
    assert seen["exe"] == "/probe"
    assert seen["securebits"] == 0
