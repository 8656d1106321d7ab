"""exec: exactly the descriptors that were asked for, none of the host's, none kept by anybody."""

from __future__ import annotations

import os
import socket

import pytest

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case
    from .process import Result


def under_bash(live: Case, redirections: str, *words: str, setting: str = "") -> Result:
    """`ocirun exec WORDS` with descriptors opened by a shell, and variables set by it."""
    line = f"exec {redirections}; {setting} exec {' '.join(live.argv('exec', *words))}"
    return process.run(["/bin/bash", "-c", line], scratch=live.scratch)


def numbers(seen: Any) -> dict[int, str]:
    return {one["fd"]: os.path.basename(one["link"]) for one in seen["fds"] if one["fd"] > 2}


@pytest.fixture
def files(live: Case) -> list[str]:
    """Four files of the host."""
    for name in "abcd":
        with open(f"{live.dir}/{name}", "w", encoding="ascii"):
            pass
    return [f"{live.dir}/{name}" for name in "abcd"]


def test_nothing_leaks(live: Case, files: list[str]) -> None:
    bundle = execs.idle(live)
    a, b, c, d = files
    seen = under_bash(live, f"3<{a} 4<{b} 9<{c} 70<{d} 71</", bundle.id, "/probe").ok().json()
    assert numbers(seen) == {}
    seen = under_bash(live, f"3<{a} 4<{b}", "--tty", bundle.id, "/probe").ok()
    assert '"fd": 3' not in seen.out and '"fd": 2' in seen.out


def test_preserved(live: Case, files: list[str]) -> None:
    bundle = execs.idle(live)
    a, b, c, d = files
    words = [bundle.id, "/probe"]
    many = f"3<{a} 4<{b} 5<{c} 6<{d}"
    assert numbers(under_bash(live, many, "--preserve-fds", "2", *words).ok().json()) == {3: "a", 4: "b"}
    assert numbers(under_bash(live, many, "--preserve-fds=0", *words).ok().json()) == {}
    assert numbers(under_bash(live, f"4<{b}", "--preserve-fds", "2", *words).ok().json()) == {4: "b"}
    assert numbers(under_bash(live, f"3<{a}", "--preserve-fds", "100", *words).ok().json()) == {3: "a"}


def test_listen_fds(live: Case, files: list[str]) -> None:
    bundle = execs.idle(live)
    a, b, c, _ = files
    setting = "LISTEN_FDS=1 LISTEN_PID=$$"
    result = under_bash(live, f"3<{a} 4<{b} 5<{c}", "--preserve-fds", "1", bundle.id, "/probe", setting=setting)
    seen = result.ok().json()
    assert numbers(seen) == {3: "a", 4: "b"}
    assert "LISTEN_FDS=1" in seen["env"]


def test_closed_streams(live: Case) -> None:
    bundle = execs.idle(live)
    seen = under_bash(live, "0<&-", bundle.id, "/probe").ok().json()
    assert {one["fd"] for one in seen["fds"]} <= {0, 1, 2}
    for one in seen["fds"]:
        assert one["fd"] != 0 or one["rdev"] == "1:3"


def test_created_container_too(live: Case) -> None:
    bundle = live.bundle(execs.IDLE)
    live.create(bundle)
    assert numbers(execs.probe(live, bundle)) == {}


def test_init_has_no_more_than_before(live: Case) -> None:
    bundle = execs.idle(live)
    pid = live.pid(bundle)
    before = sorted(os.listdir(f"/proc/{pid}/fd"))
    for words in (["/bin/true"], ["nosuch"]):
        for options in ([], ["-t"], ["-d"]):
            if not (words == ["/bin/true"] and options == ["-d"]):
                execs.with_options(live, bundle, options, *words)
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == before == ["0", "1", "2"]


def test_streams_end_with_the_program(live: Case) -> None:
    # Whoever reads the output of a detached exec sees its end when the program ends, not later.
    bundle = execs.idle(live)
    reader, writer = os.pipe()
    execs.with_options(live, bundle, ["-d"], "/bin/echo", "the end", stdout=writer, stderr=writer).ok()
    os.close(writer)
    os.set_blocking(reader, True)
    text = b""
    while part := os.read(reader, 100):
        text += part
    assert text == b"the end\n"
    os.close(reader)


def test_pidfd_socket(live: Case) -> None:
    bundle = execs.idle(live)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{live.dir}/pidfd.sock")
    listener.listen(1)
    listener.settimeout(5)
    pid_file = f"{live.dir}/pid"
    words = ["-d", "--pidfd-socket", f"{live.dir}/pidfd.sock", "--pid-file", pid_file]
    execs.with_options(live, bundle, words, "/bin/sleep", "70009").ok()
    connection, _ = listener.accept()
    payload, fds, _, _ = socket.recv_fds(connection, 100, 2)
    assert payload and len(fds) == 1
    assert f"Pid:\t{execs.read(pid_file)}\n" in execs.read(f"/proc/self/fdinfo/{fds[0]}")
    for closable in (listener, connection):
        closable.close()
    os.close(fds[0])


@pytest.mark.parametrize("number", [*range(3, 9), 10, 20, 100, 250])
def test_c04_directory_through_a_descriptor(live: Case, number: int) -> None:
    bundle = live.bundle(execs.IDLE)
    os.symlink(f"/proc/self/fd/{number}", f"{bundle.rootfs}/way")
    live.launch(bundle)
    script = "cat ../../../../../../../../../" + live.canary.lstrip("/") + "/secret"
    for cwd in (f"/proc/self/fd/{number}", f"/proc/thread-self/fd/{number}", "/way", f"/proc/1/fd/{number}"):
        words = ["--cwd", cwd, bundle.id, "/bin/sh", "-c", f"'{script}'"]
        result = under_bash(live, "7</ 8</tmp 20</", *words)
        assert result.code != 0 and "decoy" not in result.out, result.report()
    for program in (f"/proc/self/fd/{number}/bin/true", f"/way/../../../../../..{live.canary}/secret"):
        assert under_bash(live, "7</ 8</tmp 20</", bundle.id, program).code == 255
