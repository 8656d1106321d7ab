"""seccomp filters, seen from inside: what each action, operator and architecture does to a program's calls."""

from __future__ import annotations

import errno
import json
import os
import platform
import struct

import pytest

from . import execs, filters
from .filters import calls, denying, rule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

KILLED = 128 + 31  # SIGSYS
ARM = pytest.mark.skipif(platform.machine() != "aarch64", reason="the other ABI of arm64")
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the other ABIs of x86-64")


def test_actions_that_return(live: Case) -> None:
    profile = denying(
        rule("mkdirat", action="SCMP_ACT_ERRNO"),
        rule("getppid", action="SCMP_ACT_ERRNO", errno=77),
        rule("getpgid", action="SCMP_ACT_TRACE", errno=5),
        rule("uname", action="SCMP_ACT_LOG"),
    )
    # Nobody traces the program: ENOSYS. uname's buffer is no address: the call was made.
    assert calls(live, profile, "mkdirat 0 0", "getppid", "getpgid", "uname 1") == [
        *(errno.EPERM, 77, errno.ENOSYS, errno.EFAULT)
    ]


@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_actions_that_end(live: Case, action: str) -> None:
    profile = denying(rule("getpgid", action=f"SCMP_ACT_{action}"))
    assert calls(live, profile, "getpgid", "getppid") == [KILLED, 0]


def test_default_action(live: Case) -> None:
    allowed = [name for name in filters.known_calls() if name != "getppid"]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 99, "syscalls": [rule(*allowed)]}
    assert calls(live, profile, "getppid", "getpgid") == [99, 0]


def test_operators(live: Case) -> None:
    """One value for each, far above 32 bits, so that both halves are looked at."""
    big = 1 << 40 | 7
    conditions = [
        ("NE", big, 0), ("LT", big, 0), ("LE", big, 0), ("EQ", big, 0), ("GE", big, 0), ("GT", big, 0),
        ("MASKED_EQ", 0xFF << 36, 0x10 << 36),
    ]  # fmt: skip
    for operator, value, two in conditions:
        profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77, args=[(2, operator, value, two)]))
        tries = [0, 7, big - 1, big, big + 1, 1 << 63]
        expected = [77 if _holds(operator, number, value, two) else 0 for number in tries]
        assert len(set(expected)) == 2, "the values must tell true from false"
        assert calls(live, profile, *(f"getppid 0 0 {number}" for number in tries)) == expected, operator


def _holds(operator: str, number: int, value: int, two: int) -> bool:
    return {
        "NE": number != value,
        "LT": number < value,
        "LE": number <= value,
        "EQ": number == value,
        "GE": number >= value,
        "GT": number > value,
        "MASKED_EQ": number & value == two,
    }[operator]


def test_all_conditions_of_a_rule_must_hold(live: Case) -> None:
    args = [(0, "EQ", 1), (5, "EQ", 2)]
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77, args=args))
    assert calls(live, profile, "getppid 1 0 0 0 0 2", "getppid 1", "getppid 0 0 0 0 0 2") == [77, 0, 0]


def test_conditions_on_one_argument_are_alternatives(live: Case) -> None:
    args = [(0, "EQ", 1), (0, "EQ", 2)]
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77, args=args))
    assert calls(live, profile, "getppid 1", "getppid 2", "getppid 3") == [77, 77, 0]


@X86
def test_other_abis_of_this_machine(live: Case) -> None:
    """An architecture that is not listed is killed; one that is listed has the same rules."""
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77))
    assert calls(live, profile, "getppid", "i386 64", "x32 110") == [77, KILLED, KILLED]
    profile["architectures"] = [filters.NATIVE, "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert calls(live, profile, "getppid", "i386 64", "i386 132", "x32 110") == [77, 77, 0, 77]


def _program_of_32_bits() -> bytes:
    """A program for 32-bit ARM: getppid(2), whose errno is the exit status."""
    words = (0xE3A07040, 0xEF000000, 0xE3500000, 0xB2600000, 0xA3A00000, 0xE3A07001, 0xEF000000)
    code = struct.pack(
        "<7I", *words
    )  # mov r7, #64; svc 0; cmp r0, #0; rsblt r0, r0, #0; movge r0, #0; mov r7, #1; svc 0
    base, headers = 0x10000, 52 + 32
    head = b"\x7fELF\1\1\1".ljust(16, b"\0")
    head += struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, base + headers, 52, 0, 5 << 24, 52, 32, 1, 0, 0, 0)
    head += struct.pack("<8I", 1, 0, base, base, headers + len(code), headers + len(code), 5, 0x10000)
    return head + code


@ARM
def test_the_other_abi_of_arm64(live: Case) -> None:
    def status(profile: dict[str, Any] | None) -> int:
        bundle = live.shell("/arm; echo $?")
        path = f"{bundle.rootfs}/arm"
        with open(path, "wb") as file:
            file.write(_program_of_32_bits())
        os.chmod(path, 0o755)
        if profile is not None:
            bundle.linux["seccomp"] = profile
        return int(live.output(bundle))

    if status(None) in (126, 127, 2):
        pytest.skip("this processor runs no 32-bit programs")
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77))
    assert status(profile) == KILLED
    for listed in ([filters.NATIVE, "SCMP_ARCH_ARM"], ["SCMP_ARCH_ARM"]):
        profile["architectures"] = listed
        assert status(profile) == 77
        assert calls(live, profile, "getppid") == [77]


@X86
def test_native_architecture_is_always_meant(live: Case) -> None:
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77), architectures=["SCMP_ARCH_X86"])
    assert calls(live, profile, "getppid", "i386 64") == [77, 77]


def test_calls_newer_than_the_profile(live: Case) -> None:
    """Above the highest number that the profile names: ENOSYS, so that programs use the older call."""
    profile = filters.engine_profile()
    tries = ["sethostname 0 0", "unused", "1000", "getpgid"]
    assert calls(live, profile, *tries) == [errno.EPERM, errno.EPERM, errno.ENOSYS, 0]
    profile["defaultAction"] = "SCMP_ACT_KILL_PROCESS"
    del profile["defaultErrnoRet"]
    assert calls(live, profile, "sethostname 0 0", "1000") == [KILLED, errno.ENOSYS]


@X86
def test_newer_calls_of_other_abis(live: Case) -> None:
    assert calls(live, filters.engine_profile(), "i386 1000", "x32 1000", "i386 64", "i386 5000000") == [
        *(errno.ENOSYS, errno.ENOSYS, 0, errno.ENOSYS)
    ]


def test_unknown_names_are_left_out(live: Case) -> None:
    bundle = live.bundle(["/syscall", filters.numbered("getppid")])
    rules = [rule("nosuchcall", "getppid", "no other\ncall", action="SCMP_ACT_ERRNO", errno=77)]
    bundle.linux["seccomp"] = denying(*rules)
    for _ in range(2):  # the second time from the cache
        result = live.run(bundle)
        assert result.code == 77
        assert "2 system calls are not known to libseccomp" in result.err
        assert "nosuchcall, no other" in result.err


def test_rules_that_change_nothing(live: Case) -> None:
    profile = denying(rule("getppid"), rule("getpgid", action="SCMP_ACT_ERRNO", errno=77), rule("nosuchcall"))
    assert calls(live, profile, "getppid", "getpgid") == [0, 77]


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_credentials(live: Case, no_new_privileges: bool, uid: int) -> None:
    """The filter of an engine, for root and a user, with and without new privileges; exec gets the same."""
    bundle = live.bundle(execs.IDLE)
    bundle.process["user"] = {"uid": uid, "gid": uid}
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.process["capabilities"] = {
        key: ["CAP_KILL"] for key in ("bounding", "permitted", "effective", "inheritable", "ambient")
    }
    live.launch(bundle)
    without = status_words(execs.shell(live, bundle, "cat /proc/self/status"))
    live.delete(bundle, "--force")
    bundle.linux["seccomp"] = filters.engine_profile()
    live.launch(bundle)
    init = status_words(execs.read(f"/proc/{live.pid(bundle)}/status"))
    by_exec = status_words(execs.shell(live, bundle, "cat /proc/self/status"))
    for seen in (init, by_exec):
        assert (seen["Seccomp"], seen["Seccomp_filters"]) == (["2"], ["1"])
        for name in ("NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Uid"):
            assert seen[name] == without[name], name


def status_words(text: str) -> dict[str, list[str]]:
    """The lines of /proc/PID/status."""
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in text.splitlines())}


def test_nothing_but_execve(live: Case) -> None:
    """The helper has nothing left to do when the filter is loaded, so a filter can deny all the rest."""
    bundle = live.bundle(["/bare"])
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 10}]
    for no_new_privileges in (True, False):
        bundle.process["noNewPrivileges"] = no_new_privileges
        bundle.linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_KILL_PROCESS",
            "syscalls": [rule("execve", "exit_group")],
        }
        assert live.run(bundle).code == 42


def test_set_up_calls_can_be_denied(live: Case) -> None:
    """What runtimes use to get there is no business of the filter's."""
    names = ["capset", "prctl", "setresuid", "setgroups", "close_range", "openat2", "rt_sigaction", "rt_sigprocmask"]
    bundle = live.bundle(["/bare"])
    bundle.linux["seccomp"] = denying(rule(*names, "read", "close", "seccomp", action="SCMP_ACT_KILL_PROCESS"))
    for no_new_privileges in (True, False):
        bundle.process["noNewPrivileges"] = no_new_privileges
        assert live.run(bundle).code == 42


def test_execve_denied(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["seccomp"] = denying(rule("execve", "exit_group", "exit", action="SCMP_ACT_ERRNO"))
    live.run(bundle).failed("exec /bin/true: operation not permitted", "seccomp")


def test_start_container_hook_has_the_filter(live: Case) -> None:
    profile = denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77))
    bundle = live.bundle(["/bin/cat", "/tmp/hook"])
    bundle.linux["seccomp"] = profile
    bundle.hook("createContainer", f"{bundle.rootfs}/syscall {filters.numbered('getppid')}")
    bundle.hook("startContainer", f"/syscall {filters.numbered('getppid')}; echo $? >/tmp/hook")
    assert live.output(bundle) == "77\n"
    bundle.linux["seccomp"] = denying(rule("getppid", action="SCMP_ACT_KILL_PROCESS"))
    live.run(bundle).failed("error running startContainer hook #0: killed by signal 31")


def test_user_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.process["noNewPrivileges"] = False
    assert calls(live, filters.engine_profile(), "sethostname 0 0", "getpgid", bundle=bundle) == [errno.EPERM, 0]


def test_explained(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["seccomp"] = filters.engine_profile()
    bundle.save()
    text = live.command("explain", "--bundle", bundle.path, bundle.id).ok().out
    for words in ("default=ERRNO(1)", "ALLOW: socket if arg0 != 40", "ERRNO(38): clone3", "flags=SPEC_ALLOW"):
        assert words in text
    plan = json.loads(live.command("explain", "--json", "--bundle", bundle.path, bundle.id).ok().out)
    compiled = next(op for op in plan["ops"] if op["op"] == "compile_seccomp")
    assert compiled["args"]["rules"][0]["names"] == bundle.linux["seccomp"]["syscalls"][0]["names"]


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        (denying(architectures=["SCMP_ARCH_S390X"]), ("/linux/seccomp/architectures", "SCMP_ARCH_S390X")),
        (denying(architectures=["SCMP_ARCH_Z80"]), ("/linux/seccomp/architectures/0",)),
        (denying(flags=["SECCOMP_FILTER_FLAG_NONE"]), ("/linux/seccomp/flags/0",)),
        (denying(defaultErrnoRet=1), ("/linux/seccomp/defaultErrnoRet",)),
        (denying(rule("getppid", action="SCMP_ACT_KILL", errno=1)), ("/linux/seccomp/syscalls/0/errnoRet",)),
        (denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=5000)), ("/linux/seccomp/syscalls/0/errnoRet",)),
        (denying(rule("getppid", args=[(6, "EQ", 1)])), ("/linux/seccomp/syscalls/0/args/0/index",)),
        (denying(rule("getppid", args=[(0, "IS", 1)])), ("/linux/seccomp/syscalls/0/args/0/op",)),
        (denying(rule()), ("/linux/seccomp/syscalls/0/names",)),
        (denying(rule("write", action="SCMP_ACT_NOTIFY"), listenerPath="/x"), ("/linux/seccomp/syscalls/0/names/0",)),
        ({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"}, ("/linux/seccomp/defaultAction",)),
        (denying(rule("getppid", action="SCMP_ACT_NOTIFY")), ("listenerPath",)),
        (denying(listenerMetadata="x"), ("/linux/seccomp/listenerMetadata",)),
        ({}, ("/linux/seccomp", "defaultAction")),
        ({"defaultAction": "ALLOW"}, ("/linux/seccomp/defaultAction",)),
    ],
    ids=str,
)
def test_wrong_profiles(live: Case, profile: dict[str, Any], words: tuple[str, ...]) -> None:
    bundle = live.bundle()
    bundle.linux["seccomp"] = profile
    live.refused(bundle, *words, verbs=("create",))
