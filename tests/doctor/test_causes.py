"""From a refused call to its reason, for hosts that are not here: pure."""

from __future__ import annotations

import pytest

from ocirun.doctor import causes, situation
from ocirun.doctor.attempt import Failure
from ocirun.doctor.situation import Situation
from ocirun.host import users

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EPERM, ENODEV, EINVAL, ENOSPC, ENOSYS = 1, 19, 22, 28, 38
SIGSYS = 31
SYS_ADMIN = 1 << 21


def host(*, locked: tuple[str, str] = ("", ""), **more: Any) -> Situation:
    caller = users.Caller(uid=1000, gid=1000, name="ada", locked=locked[0], remedy=locked[1])
    return Situation(caller=more.pop("caller", caller), **more)


def refused(call: str, errno: int, *, signal: int = 0) -> Failure:
    return Failure(call, errno, f"{call}: words of the kernel", signal=signal)


def lock(**files: str) -> tuple[str, str]:
    return users.lock(**{"namespaces": "1000", "unprivileged": "", "apparmor": "", "profile": "", **files})


@pytest.mark.parametrize(
    ("facts", "failure", "words", "remedy"),
    [
        ({"locked": lock(unprivileged="0\n")}, refused("clone3", EPERM), "unprivileged_userns_clone is 0", "=1`"),
        (
            {"locked": lock(apparmor="1\n", profile="unconfined\n")},
            refused("clone3", EPERM),
            "apparmor_restrict_unprivileged_userns is 1",
            "`userns,`",
        ),
        ({"limits": {"user": ("user.max_user_namespaces", "0")}}, refused("clone3", ENOSPC), "is 0", "=10000`"),
        (
            {"limits": {"user": ("user.max_user_namespaces", "9")}},
            refused("clone3", ENOSPC),
            "32 levels",
            "of the host",
        ),
        ({"rooted": False}, refused("clone3", EPERM), "chroot", "pivot_root"),
        ({"filtered": True}, refused("clone3", EPERM), "seccomp filter", "--security-opt seccomp="),
        ({"filtered": True}, refused("clone3", ENOSYS), "(ENOSYS)", "--security-opt seccomp="),
        ({}, refused("", 0, signal=SIGSYS), "kills for it", "--security-opt seccomp="),
        ({"kernel": "5.4.0-91-generic"}, refused("clone3", ENOSYS), "Linux 5.4.0-91-generic has no clone3", "newer"),
        ({"profile": "snap.x (enforce)"}, refused("clone3", EPERM), "profile snap.x (enforce)", "aa-exec"),
        ({"absent": ["user"]}, refused("clone3", EINVAL), "built without it", ""),
        (
            {"caller": users.Caller(uid=70000, gid=0, uid_map=[(0, 65536)])},
            refused("clone3", EPERM),
            "uid 70000 or gid 0 is not mapped",
            "uid_map",
        ),
        ({}, refused("clone3", 12), "words of the kernel", ""),
    ],
)
def test_user_namespace(facts: dict[str, Any], failure: Failure, words: str, remedy: str) -> None:
    said, mends = causes.namespace("user", failure, host(**facts), user=True)
    assert words in said
    assert remedy in mends


def test_namespace_without_rights() -> None:
    said, mends = causes.namespace("mount", refused("clone3", EPERM), host(), user=False)
    assert "needs CAP_SYS_ADMIN" in said
    assert "spec --rootless" in mends
    filtered = host(capabilities=SYS_ADMIN, filtered=True)
    assert "seccomp" in causes.namespace("mount", refused("clone3", EPERM), filtered, user=False)[0]


@pytest.mark.parametrize(
    ("kind", "facts", "failure", "words", "remedy"),
    [
        ("overlay", {}, refused("fsopen", ENODEV), "no file system overlay", "`modprobe overlay`"),
        ("", {"rooted": False}, refused("mount", EINVAL), "chroot", "mount --bind"),
        ("", {"rooted": False}, refused("pivot_root", EINVAL), "chroot", "mount --bind"),
        ("proc", {"covered": ["/proc/a", "/proc/b", "/proc/c", "/proc/d", "/sys/e"]}, refused("fsmount", EPERM),
         "(/proc/a, /proc/b, /proc/c and 1 more)", "systempaths=unconfined"),
        ("sysfs", {"covered": ["/sys/firmware"]}, refused("fsmount", EPERM), "(/sys/firmware)", "bind /sys"),
        ("tmpfs", {"profile": "x"}, refused("fsopen", EPERM), "AppArmor profile x", "aa-exec"),
        ("tmpfs", {"locked": ("it is locked", "a key")}, refused("fsopen", EPERM), "it is locked", "a key"),
        ("proc", {"locked": ("it is locked", "a key"), "covered": ["/proc/a"]}, refused("fsopen", EPERM), "it is locked", "a key"),
    ],
)  # fmt: skip
def test_mount(kind: str, facts: dict[str, Any], failure: Failure, words: str, remedy: str) -> None:
    said, mends = causes.mount(kind, failure, host(**facts), user=True)
    assert words in said
    assert remedy in mends


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-13-amd64", (6, 1)), ("5.14", (5, 14)), ("5.4.0", (5, 4)), ("6.x", (0, 0)), ("", (0, 0))],
)
def test_kernel_version(release: str, version: tuple[int, int]) -> None:
    assert causes.kernel_version(release) == version


MOUNTINFO = """\
24 1 8:1 / / rw - ext4 /dev/sda rw
25 24 0:21 / /proc rw - proc proc rw,hidepid=invisible,gid=5
26 25 0:22 / /proc/kcore rw - devtmpfs udev rw
27 25 0:23 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
28 24 0:24 / /sys rw - sysfs sysfs rw
29 28 0:25 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
30 28 0:26 / /sys/kernel/security rw - securityfs securityfs rw
31 28 0:27 / /sys/firmware ro - tmpfs tmpfs ro
"""


def test_what_is_covered() -> None:
    assert situation.covered(MOUNTINFO) == ["/proc/kcore", "/sys/firmware"]
    assert situation.proc_options(MOUNTINFO) == ["hidepid=invisible"]
    assert situation.proc_options(MOUNTINFO.replace("invisible", "off")) == []
