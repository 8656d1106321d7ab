"""Learning runs: what the filter refuses is asked about, listed, and let through or not."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from profiles import NATIVE

import ocirun
from ocirun import aio

from . import filters
from .filters import denying, rule
from .users import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the other ABIs of x86-64")
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]
GETPPID = filters.numbered("getppid")
PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 99,
    "syscalls": [rule(*(name for name in filters.known_calls() if name not in ("getppid", "getpgid", "clone3")))],
}


def script(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def call(text: str) -> str:
    """A command that makes a call and tells its errno."""
    return f"/syscall {filters.numbered(text)}; echo $?"


def learn(live: Case, text: str, profile: dict[str, Any] | None, how: bool | str = True, **more: Any) -> ocirun.Outcome:
    bundle = live.bundle(script(text))
    if profile is not None:
        bundle.linux["seccomp"] = profile
    return run(live, bundle, how, **more)


def run(live: Case, bundle: Bundle, how: bool | str = True, **more: Any) -> ocirun.Outcome:
    bundle.config["process"]["terminal"] = False
    return ocirun.run(bundle.path, config=bundle.config, root=live.root, learn=how, timeout=20, **more)


def told(outcome: ocirun.Outcome) -> dict[str, tuple[int, str]]:
    return {one.name: (one.count, one.answer) for one in outcome.refused}


@pytest.mark.parametrize("init", [True, False])
def test_refused_calls_are_let_through_and_listed(live: Case, init: bool) -> None:
    text = f"{call('getppid 1 2')}; {call('getppid 3')}; {call('getpgid 0')}"
    outcome = learn(live, text, PROFILE, init=init)
    assert (outcome.exit_code, outcome.stdout.split()) == (0, [b"0", b"0", b"0"]), outcome.stderr
    by_name = {one.name: one for one in outcome.refused}
    assert told(outcome)["getpgid"] == (1, "ERRNO(99)")
    assert by_name["getppid"].count >= 2, "the shell asks for its parent too"
    assert by_name["getpgid"].program == "syscall"
    assert by_name["getpgid"].architecture == NATIVE
    assert by_name["getpgid"].number == filters.NUMBERS["getpgid"]
    assert ("0x1", "0x2") in [one[:2] for one in by_name["getppid"].args]
    # With what was learned nothing is refused any more.
    again = learn(live, text, outcome.profile(), init=init)
    assert (again.stdout, again.refused) == (outcome.stdout, [])


@pytest.mark.parametrize("init", [True, False])
def test_refuse_gives_nothing_more_than_the_profile(live: Case, init: bool) -> None:
    outcome = learn(live, call("getpgid 0"), PROFILE, "refuse", init=init)
    assert outcome.stdout == b"99\n"
    assert told(outcome)["getpgid"] == (1, "ERRNO(99)")
    assert "getpgid" in outcome.profile()["syscalls"][0]["names"]


@pytest.mark.parametrize("action", ["KILL_PROCESS", "KILL_THREAD", "TRAP"])
def test_actions_that_end(live: Case, action: str) -> None:
    profile = denying(rule("getpgid", action=f"SCMP_ACT_{action}"))
    text = f"{call('getpgid 0')}; {call('getpgid 0')}"
    outcome = learn(live, text, profile)
    assert outcome.stdout == b"0\n0\n"
    assert told(outcome) == {"getpgid": (2, action)}
    assert outcome.profile()["syscalls"] == []
    outcome = learn(live, text, profile, "refuse")
    assert outcome.stdout == b"137\n137\n"
    assert told(outcome) == {"getpgid": (2, action)}


def test_without_a_profile_all_calls(live: Case) -> None:
    outcome = learn(live, "echo hello; exec /syscall " + GETPPID, None)
    assert (outcome.exit_code, outcome.stdout) == (0, b"hello\n")
    counts = {one.name: one.count for one in outcome.refused}
    assert {"execve", "write", "getppid", "exit_group"} <= set(counts)
    assert {one.answer for one in outcome.refused} == {""}
    profile = outcome.profile()
    again = learn(live, "echo hello; exec /syscall " + GETPPID, profile)
    assert (again.exit_code, again.stdout, again.refused) == (0, b"hello\n", [])
    denied = learn(live, "exec /syscall " + filters.numbered("sethostname 0 0"), profile, False)
    assert denied.exit_code == errno.EPERM


def test_a_program_that_executes_nothing_needs_execve(live: Case) -> None:
    outcome = run(live, live.bundle(["/bare"]))
    assert "execve" in {one.name for one in outcome.refused}
    bundle = live.bundle(["/bare"])
    bundle.linux["seccomp"] = outcome.profile()
    assert run(live, bundle, False).exit_code == outcome.exit_code == 42
    for action, answer in (("ERRNO", "ERRNO(1)"), ("KILL_THREAD", "KILL_THREAD"), ("KILL_PROCESS", "KILL_PROCESS")):
        bundle.linux["seccomp"] = {"defaultAction": f"SCMP_ACT_{action}", "syscalls": [rule("exit_group", "exit")]}
        outcome = run(live, bundle)
        assert (outcome.exit_code, told(outcome)["execve"]) == (42, (1, answer))
    with pytest.raises(ocirun.UnsupportedError, match="execve"):
        run(live, bundle, "refuse")


@X86
def test_other_abis(live: Case) -> None:
    outcome = learn(live, "/syscall i386 64; echo $?; /syscall x32 39; echo $?", PROFILE)
    found = {(one.architecture, one.name): one.answer for one in outcome.refused}
    assert found["SCMP_ARCH_X86", "getppid"].startswith("KILL")
    assert found["SCMP_ARCH_X32", "getpid"].startswith("KILL")
    assert {"SCMP_ARCH_X86", "SCMP_ARCH_X32", NATIVE} == set(outcome.profile()["architectures"])


def test_a_number_that_nobody_knows(live: Case) -> None:
    outcome = learn(live, "/syscall 5000; echo $?", denying(rule("mount", action="SCMP_ACT_ERRNO")), "refuse")
    assert outcome.refused == []
    outcome = learn(live, "/syscall 5000; echo $?", PROFILE)
    assert outcome.stdout == b"38\n"
    assert [one.number for one in outcome.refused if not one.name] == [5000]
    assert outcome.profile()["syscalls"] == learn(live, "true", PROFILE).profile()["syscalls"]


def test_a_detour_is_taken(live: Case) -> None:
    """ENOSYS by a rule is answered in either way, as the program's other call is what the profile allows."""
    profile = {**PROFILE, "syscalls": [*PROFILE["syscalls"], rule("getpgid", action="SCMP_ACT_ERRNO", errno=38)]}
    for how in (True, "refuse"):
        outcome = learn(live, call("getpgid 0"), profile, how)
        assert outcome.stdout == b"38\n"
        assert told(outcome)["getpgid"] == (1, "ERRNO(38)")
        assert "getpgid" not in outcome.profile()["syscalls"][0]["names"]


def test_program_that_cannot_be_executed(live: Case) -> None:
    bundle = live.bundle(["/broken"])
    Path(f"{bundle.rootfs}/broken").write_bytes(b"\x7fELF no program")
    os.chmod(f"{bundle.rootfs}/broken", 0o755)
    for init in (True, False):
        with pytest.raises(ocirun.ProgramError):
            run(live, bundle, init=init)


def test_prepared_and_asyncio(live: Case) -> None:
    bundle = live.bundle(script(call("getpgid 0")))
    bundle.linux["seccomp"] = PROFILE
    prepared = ocirun.Prepared(bundle.path, config=bundle.config, root=live.root, learn="refuse")
    for text in (call("getpgid 0"), call("getpgid 0"), "true"):
        outcome = prepared.run(args=script(text), timeout=20)
        assert told(outcome).get("getpgid") == (None if text == "true" else (1, "ERRNO(99)"))
        assert outcome.profile()["defaultErrnoRet"] == 99
    outcome = asyncio.run(aio.run(prepared, timeout=20))
    assert (outcome.stdout, told(outcome)["getpgid"]) == (b"99\n", (1, "ERRNO(99)"))
    outcome = asyncio.run(aio.run(bundle.path, config=bundle.config, root=live.root, learn=True, timeout=20))
    assert outcome.stdout == b"0\n"
    # The same config without: nothing of the learning run is kept.
    outcome = ocirun.run(bundle.path, config=bundle.config, root=live.root)
    assert (outcome.stdout, outcome.refused, outcome.learned) == (b"99\n", [], None)
    with pytest.raises(ocirun.UsageError, match="learn"):
        outcome.profile()
    with pytest.raises(ocirun.UsageError, match="pool"):
        ocirun.Pool(prepared)


def test_what_cannot_be(live: Case) -> None:
    def refused(match: str, kind: type[ocirun.OcirunError] = ocirun.UnsupportedError) -> None:
        for how in (True, "refuse"):
            with pytest.raises(kind, match=match):
                run(live, bundle, how)
        bundle.linux.pop("seccomp", None)
        bundle.config.pop("hooks", None)

    bundle = live.bundle()
    bundle.linux["seccomp"] = denying(rule("mkdir", action="SCMP_ACT_NOTIFY"), listenerPath="/agent")
    refused("/linux/seccomp/syscalls/0/action")
    bundle.linux["seccomp"] = denying(listenerPath="/agent")
    refused("/linux/seccomp/listenerPath")
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    refused("/hooks/startContainer")
    with pytest.raises(ocirun.UsageError, match="learn"):
        run(live, bundle, "maybe")
    bundle.save()
    with pytest.raises(ocirun.UsageError, match="learn"):
        ocirun.Container.create(
            "learns", root=live.root, options=ocirun.CreateOptions(bundle=bundle.path, learn="allow")
        )


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_command(live: Case, tmp_path: Path, options: tuple[str, ...]) -> None:
    bundle = live.bundle(script(call("getpgid 0") + "; exit 3"))
    bundle.linux["seccomp"] = PROFILE
    file = tmp_path / "profile.json"
    result = live.run(bundle, "--learn", str(file), *options)
    assert (result.code, result.out) == (3, "0\n")
    assert "not confined by seccomp" in result.err
    assert "seccomp: getpgid" in result.err and "by syscall, answer" in result.err
    assert file.stat().st_mode & 0o777 == 0o644
    profile = json.loads(file.read_text())
    assert "getpgid" in profile["syscalls"][0]["names"]
    bundle.linux["seccomp"] = profile
    assert live.run(bundle).out == "0\n"
    made = tmp_path / "made"
    made.mkdir()
    live.command("spec", "--bundle", str(made), "--seccomp", str(file)).ok()
    assert json.loads((made / "config.json").read_text())["linux"]["seccomp"] == profile
    (made / "config.json").write_text('{"defaultAction": "SCMP_ACT_NONE"}')
    wrong = live.command("spec", "--bundle", str(tmp_path), "--seccomp", str(made / "config.json"))
    assert wrong.code == 1 and "/linux/seccomp/defaultAction" in wrong.err
    shutil.rmtree(made)
    bundle.linux["seccomp"] = PROFILE
    result = live.run(bundle, "--learn", str(file), "--learn-refuse", *options)
    assert (result.code, result.out) == (3, "99\n")
    assert "not confined" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["profile.json"]


def test_command_refuses(live: Case, tmp_path: Path) -> None:
    bundle = live.bundle()
    for options in (
        ("--learn", "f", "--detach"),
        ("--learn-refuse",),
        ("--learn", f"{tmp_path}/no/f"),
        ("--learn", "/"),
    ):
        result = live.command("run", "--bundle", bundle.path, *options, bundle.id, cwd=str(tmp_path))
        assert result.code == 1 and "learn" in result.err, result.err
        assert not list(tmp_path.iterdir())


def test_explain(live: Case) -> None:
    bundle = live.bundle()
    bundle.save()
    text = live.command("explain", "--bundle", bundle.path, "--learn").out
    assert "learn=allow" in text and "NEW_LISTENER" in text and "let through" in text
    text = live.command("explain", "--bundle", bundle.path, "--learn", "--learn-refuse").out
    assert "learn=refuse" in text


# Hostile programs


def test_many_calls_with_other_arguments(live: Case) -> None:
    bundle = live.bundle(["/asker", "arguments", "20000"])
    bundle.linux["seccomp"] = PROFILE
    outcome = run(live, bundle)
    (one,) = [one for one in outcome.refused if one.name == "getpgid"]
    assert (one.count, len(one.args), one.more) == (20000, 8, True)
    assert one.programs == ("asker",)


def test_many_numbers(live: Case) -> None:
    """What has no room is counted; the rest is there."""
    bundle = live.bundle(["/asker", "numbers", "5000"])
    outcome = run(live, bundle)
    listed = [one for one in outcome.refused if not one.name]
    assert 1000 < len(listed) < 2048
    assert outcome.learned is not None
    assert sum(one.count for one in listed) + outcome.learned.dropped >= 5000
    assert f"{outcome.learned.dropped} more calls" in outcome.learned.text()


def test_names_that_change(live: Case) -> None:
    bundle = live.bundle(["/asker", "names", "1000"])
    bundle.linux["seccomp"] = PROFILE
    (one,) = [one for one in run(live, bundle).refused if one.name == "getpgid"]
    assert (one.count, len(one.programs)) == (1000, 4)


@pytest.mark.parametrize("init", [True, False])
@pytest.mark.parametrize("what", ["forks", "threads", "killed", "signals"])
def test_who_asks_and_ends(live: Case, what: str, init: bool) -> None:
    bundle = live.bundle(["/asker", what, "200"])
    bundle.linux["seccomp"] = PROFILE
    outcome = run(live, bundle, init=init)
    assert (outcome.exit_code, outcome.signal) == (0, None), outcome.stderr
    assert told(outcome)["getpgid"][0] >= 1


def test_time_limit_while_it_asks(live: Case) -> None:
    bundle = live.bundle(["/asker", "arguments", "2000000000"])
    bundle.linux["seccomp"] = PROFILE
    for init in (True, False):
        outcome = ocirun.run(bundle.path, config=bundle.config, root=live.root, learn=True, timeout=0.5, init=init)
        assert outcome.timed_out and told(outcome)["getpgid"][0] > 1


def waits_for_the_program(live: Case) -> Bundle:
    """A bundle with a poststart hook that ends when the program has been answered; the container makes the file."""
    bundle = live.bundle(script(f"{call('getpgid 0')}; echo x > /answered"))
    bundle.linux["seccomp"] = PROFILE
    bundle.config["root"]["readonly"] = False
    wait = f"while [ ! -e {bundle.rootfs}/answered ]; do sleep 0.01; done"
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/sh", "args": ["sh", "-c", wait], "timeout": 20}]}
    return bundle


@pytest.mark.parametrize("init", [True, False])
def test_a_hook_that_waits_for_the_program(live: Case, init: bool) -> None:
    outcome = run(live, waits_for_the_program(live), init=init)
    assert (outcome.exit_code, outcome.stdout) == (0, b"0\n"), outcome
    assert told(outcome)["getpgid"] == (1, "ERRNO(99)")


def test_a_hook_that_fails_leaves_no_descriptor(live: Case) -> None:
    bundle = live.bundle(["/asker", "arguments", "2000000000"])
    bundle.linux["seccomp"] = PROFILE
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/false"}]}
    with pytest.raises(ocirun.HookError):
        run(live, bundle)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ocirun.HookError):
        run(live, bundle)
    assert os.listdir("/proc/self/fd") == before


def test_a_hook_that_waits_for_the_program_of_a_command(live: Case, tmp_path: Path) -> None:
    bundle = waits_for_the_program(live)
    assert live.make("run", bundle, "--learn", str(tmp_path / "profile")).ok().out == "0\n"
    assert "getpgid" in (tmp_path / "profile").read_text()


def test_a_hook_that_waits_in_an_event_loop(live: Case) -> None:
    bundle = waits_for_the_program(live)
    outcome = asyncio.run(aio.run(bundle.path, config=bundle.config, root=live.root, learn=True, timeout=20))
    assert outcome.ok and told(outcome)["getpgid"][0] == 1


def test_an_event_loop_goes_on(live: Case) -> None:
    bundle = live.bundle(["/asker", "arguments", "2000000000"])
    bundle.linux["seccomp"] = PROFILE

    async def both() -> int:
        turns = 0
        task = asyncio.create_task(aio.run(bundle.path, config=bundle.config, root=live.root, learn=True, timeout=1.0))
        async with asyncio.timeout(60):
            while not task.done():
                turns += 1
                await asyncio.sleep(0.001)
        assert task.result().timed_out
        return turns

    assert asyncio.run(both()) > 20


def test_a_caller_that_is_stopped(live: Case, tmp_path: Path) -> None:
    """What is asked waits for its answer, and for nothing else."""
    bundle = live.bundle(script(f"echo begun; {call('getpgid 0')}; sleep 0.2; {call('getpgid 0')}"))
    bundle.linux["seccomp"] = PROFILE
    bundle.save()
    argv = live.argv("run", "--bundle", bundle.path, "--learn", str(tmp_path / "f"), bundle.id)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGSTOP)
    threading.Timer(0.5, lambda: process.send_signal(signal.SIGCONT)).start()
    assert process.communicate(timeout=20)[0] == b"0\n0\n"
    assert process.returncode == 0


def test_ordinary_user(live: Case) -> None:
    """In a user namespace, without rights in any other, with and without an init."""
    user = User(live)
    try:
        bundle = user.bundle(call("getpgid 0"))
        bundle.linux["seccomp"] = PROFILE
        file = f"{user.runtime_dir}/profile.json"
        for options, out in (((), "0\n"), (("--init",), "0\n"), (("--learn-refuse",), "99\n")):
            result = user.make("run", bundle, "--learn", file, *options).ok()
            assert result.out == out
            assert "getpgid" in result.err and "by syscall" in result.err
            assert "getpgid" in json.loads(Path(file).read_text())["syscalls"][0]["names"]
    finally:
        user.close()


@pytest.mark.parametrize("conditions", [1, 2])
def test_answers_are_those_of_the_kernel(live: Case, conditions: int) -> None:
    """What is refused is found out anew for each call, here and by the kernel: the results must be the same."""
    big = 1 << 40 | 7
    operators = [
        ("NE", big, 0), ("LT", big, 0), ("LE", big, 0), ("EQ", big, 0), ("GE", big, 0), ("GT", big, 0),
        ("MASKED_EQ", 0xFF << 36, 0x10 << 36),
    ]  # fmt: skip
    tries = [call(f"getppid 0 {number} {number}") for number in (0, 7, big - 1, big, big + 1, 1 << 63)]
    for operator, value, two in operators:
        args = [(index, operator, value, two) for index in (1, 2)[:conditions]]
        for profile in (
            denying(rule("getppid", action="SCMP_ACT_ERRNO", errno=77, args=args)),
            {**PROFILE, "syscalls": [*PROFILE["syscalls"], rule("getppid", args=args)]},
        ):
            text = "; ".join(tries)
            said = learn(live, text, profile, False).stdout
            assert learn(live, text, profile, "refuse").stdout == said
            learned = learn(live, text, profile)
            assert set(learned.stdout.split()) == {b"0"}
            assert set(learn(live, text, learned.profile(), False).stdout.split()) == {b"0"}


def test_one_listener_is_all_that_the_kernel_allows(live: Case) -> None:
    bundle = live.bundle(script(call(f"{SECCOMP} 1 8 0")))
    bundle.linux["seccomp"] = PROFILE
    # Without a program to load it is EFAULT; that comes first.
    assert run(live, bundle).stdout == f"{errno.EFAULT}\n".encode()
    code = (
        "import ctypes, struct, subprocess, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.prctl(38, 1, 0, 0, 0) == 0\n"
        "code = ctypes.create_string_buffer(struct.pack('=HBBI', 6, 0, 0, 0x7FFF0000))\n"
        "program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 1, ctypes.addressof(code)))\n"
        f"assert libc.syscall({SECCOMP}, 1, 8, program) >= 0\n"
        "sys.exit(subprocess.call(sys.argv[1:]))\n"
    )
    bundle.save()
    argv = live.argv("run", "--bundle", bundle.path, "--learn", f"{live.dir}/profile", bundle.id)
    ran = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, timeout=30)
    assert ran.returncode == 1
    assert "busy" in ran.stderr and "a filter around ocirun has a listener" in ran.stderr
