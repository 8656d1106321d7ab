"""The order of the attempts: how many processes they take, what is needed, how it is told."""

from __future__ import annotations

import json
import os

import pytest

from ocirun.audit.findings import HOST, Finding
from ocirun.cli.commands.doctor import text
from ocirun.cli.main import main
from ocirun.doctor import cgroups, host
from ocirun.doctor.bundle import needs
from ocirun.doctor.check import CGROUPS, MOUNTS, NAMESPACES, OK, REFUSED, UNTRIED, Check
from ocirun.doctor.situation import Situation
from ocirun.errors import HostError
from ocirun.execute import host_side
from ocirun.host import unified, users
from ocirun.host.cgroups import Layout, Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    Capture = pytest.CaptureFixture[str]


def situation(*, privileged: bool) -> Situation:
    caller = users.Caller(uid=0 if privileged else 1000, gid=0, name="root" if privileged else "ada")
    return Situation(caller=caller, privileged=privileged, capabilities=(1 << 41) - 1 if privileged else 0)


def test_few_processes_where_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    started = []
    start = host_side.start

    def counted(*args: Any, **more: Any) -> host_side.SideHelper:
        started.append(args)
        return start(*args, **more)

    monkeypatch.setattr(host_side, "start", counted)
    report = host.examine(str(tmp_path / "state"))
    assert [check for check in report.checks if check.group in (NAMESPACES, MOUNTS) and check.verdict != OK] == []
    # Each kind of namespaces twice, ids twice, mounts twice, one for a mapping, and the first.
    assert len(started) <= 12


def test_a_process_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> host_side.SideHelper:
        raise HostError("start of the init helper: no", call="clone3", errno=11)

    monkeypatch.setattr(host_side, "start", refuse)
    report = host.examine(str(tmp_path / "state"))
    (missing,) = (check for check in report.missing() if check.group == "base")
    assert (missing.name, missing.note, missing.errno) == ("start of a process", "start of the init helper: no", 11)
    assert not [check for check in report.checks if check.group == MOUNTS]


@pytest.mark.parametrize("privileged", [True, False])
def test_what_a_plain_run_needs(privileged: bool) -> None:
    wanted = host.plain(situation(privileged=privileged), unified=True)
    assert (("namespaces", "cgroup") in wanted) == privileged
    assert (("with a user namespace", "user") in wanted) == (not privileged)
    assert (("mounts", "sysfs") in wanted) == privileged
    assert ("mounts in a user namespace", "sysfs") not in wanted
    assert ((CGROUPS, "groups") in wanted) == privileged
    assert (("program", "loopback") in wanted) == privileged
    assert (("program in a user namespace", "devices") in wanted) == (not privileged)
    assert len(set(wanted)) == len(wanted)


class _Groups(unified.Groups):
    def __init__(self, *, ours: bool) -> None:
        self._ours = ours

    def exists(self, path: str) -> bool:
        return not path.endswith(("/ocirun-doctor", "doctor"))

    def controllers(self, path: str) -> list[str]:
        return ["cpu", "memory"]

    def enabled(self, path: str) -> list[str]:
        return ["memory"]

    def may_enable(self, path: str) -> bool:
        return False

    def may_make(self, path: str) -> bool:
        return self._ours

    may_move = may_make


class _Unified(Layout):
    __slots__ = ("_groups",)

    def __init__(self, *, ours: bool, readonly: bool = False) -> None:
        super().__init__({}, {"": "/user/a"}, Mount("/sys/fs/cgroup", readonly=readonly))
        self._groups = _Groups(ours=ours)

    def reach(self, below: str) -> unified.Reach:
        return unified.reach("/sys/fs/cgroup", below, self._groups)

    def may_join(self, below: str) -> bool:
        return unified.may_join(self, below, self._groups)


def test_unified_groups_that_are_delegated() -> None:
    _, groups = cgroups.cgroups(situation(privileged=False), _Unified(ours=True))
    assert (groups.verdict, groups.note) == (OK, "memory, in /sys/fs/cgroup/user")


def test_unified_groups_that_are_not() -> None:
    _, groups = cgroups.cgroups(situation(privileged=False), _Unified(ours=False))
    assert groups.note == "no group can be made in /sys/fs/cgroup/user: none is delegated to ada"
    assert "Delegate=yes" in groups.remedy
    _, groups = cgroups.cgroups(situation(privileged=True), _Unified(ours=True, readonly=True))
    assert "/sys/fs/cgroup is mounted read-only" in groups.note


def test_own_group_that_is_not_visible() -> None:
    _, groups = cgroups.cgroups(situation(privileged=True), Layout({}, {"": "/../x"}, Mount("/sys/fs/cgroup")))
    assert groups.verdict == REFUSED
    assert "is not visible at /sys/fs/cgroup" in groups.note


def report() -> host.Report:
    checks = [
        Check(NAMESPACES, "mount", OK),
        Check(NAMESPACES, "pid", OK),
        Check(NAMESPACES, "user", REFUSED, "it is\x1b locked", remedy="`key`", call="clone3", errno=1),
        Check(MOUNTS, "proc", UNTRIED, "no namespace"),
        Check(MOUNTS, "tmpfs", UNTRIED, "no namespace"),
        Check(CGROUPS, "groups", OK, "cpu"),
    ]
    made = host.Report("ada (uid 1000)", checks)
    made.need([(NAMESPACES, "user"), (NAMESPACES, "pid")])
    return made


def test_text() -> None:
    assert text(report(), "a plain `run`", []).splitlines() == [
        "Namespaces",
        "  ok       mount, pid",
        "  MISSING  user",
        "           it is\\x1b locked (clone3)",
        "           remedy: `key`",
        "",
        "Mounts",
        "  untried  proc, tmpfs",
        "           no namespace",
        "",
        "Cgroups",
        "  ok       groups: cpu",
        "",
        "For a plain `run`, called by ada (uid 1000): 1 thing is missing.",
    ]


def test_text_of_a_bundle() -> None:
    found = [Finding("error", HOST, "/a", "is\x1b wrong"), Finding("warning", HOST, "/b", "is odd")]
    assert text(report(), "the bundle b", found).splitlines()[-7:] == [
        "For config.json on this host",
        "  MISSING  /a",
        "           is\\x1b wrong",
        "  warning  /b",
        "           is odd",
        "",
        "For the bundle b, called by ada (uid 1000): 2 things are missing.",
    ]


def wanted(linux: dict[str, Any], **more: Any) -> set[tuple[str, str]]:
    config = {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}, **more.pop("process", {})},
        "linux": linux,
        **more,
    }
    return set(needs(json.dumps(config).encode(), report(), bundle="/b", path="config.json"))


def test_what_a_bundle_needs() -> None:
    state, watch, program = ("rest", "state root"), "first process in /proc", "program"
    assert wanted({"namespaces": [{"type": "pid"}, {"type": "ipc", "path": "/x"}]}) == {
        ("namespaces", "pid"), ("mounts", watch), *((program, name) for name in ("session keyring", "groups")), state,
    }  # fmt: skip
    own = [{"containerID": 0, "hostID": 1000, "size": 1}]
    linux = {"namespaces": [{"type": "user"}, {"type": "mount"}], "uidMappings": own, "gidMappings": own}
    user, mounts, inside = "with a user namespace", "mounts in a user namespace", "program in a user namespace"
    assert wanted(linux, process={"terminal": True}) == {
        (user, "user"), (user, "mount"), ("ids", "own ids"), (mounts, "change of root"), (mounts, "terminal"),
        (mounts, watch), *((inside, name) for name in ("session keyring", "groups", "devices")), state,
    }  # fmt: skip
    new = [{"type": "network"}, {"type": "uts"}, {"type": "mount"}]
    asked = wanted(
        {"namespaces": new, "maskedPaths": ["/proc/kcore"]}, hostname="h", process={"capabilities": {"bounding": []}}
    )
    names = ("loopback", "host name", "session keyring", "hidden files", "devices", "groups", "capabilities")
    assert {(group, name) for group, name in asked if group == program} == {(program, name) for name in names}
    many = [{"containerID": 0, "hostID": 1000, "size": 9}]
    assert ("ids", "a range of ids") in wanted({**linux, "uidMappings": many})
    bind = {"destination": "/a", "source": "/a", "options": ["bind", "idmap"], "uidMappings": many, "gidMappings": many}
    assert {("mounts", "id-mapped"), ("mounts", "bind")} <= wanted({"namespaces": [{"type": "mount"}]}, mounts=[bind])
    assert ("cgroups", "groups") in wanted({"resources": {"pids": {"limit": 5}}})
    assert ("cgroups", "groups") not in wanted({"resources": {"devices": [{"allow": False}]}})
    assert ("rest", "seccomp") in wanted({"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}})


def test_record() -> None:
    record = report().record()
    assert (record["ready"], record["missing"]) == (False, 1)
    assert record["checks"][2] == {  # type: ignore[index]
        "group": "namespaces", "name": "user", "verdict": "refused", "needed": True,
        "note": "it is\x1b locked", "remedy": "`key`", "call": "clone3", "errno": 1,
    }  # fmt: skip


def test_json_and_status(capfd: Capture, tmp_path: Path) -> None:
    status = main(["--root", str(tmp_path / "state"), "doctor", "--json"])
    record = json.loads(capfd.readouterr().out)
    assert status == (0 if record["ready"] else 1)
    assert not (tmp_path / "state").exists()


def test_bundle_with_errors(capfd: Capture, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert main(["doctor", str(tmp_path)]) == 2
    assert "its needs are not known (`ocirun check` tells them)" in capfd.readouterr().err
    assert main(["doctor", ""]) == 2
    assert "BUNDLE is empty" in capfd.readouterr().err


def test_usage(capfd: Capture) -> None:
    assert main(["doctor", "--nonsense"]) == 2
    assert "nonsense" in capfd.readouterr().err
