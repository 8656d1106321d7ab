"""Descriptors: the caller's 0, 1 and 2 as they are, and nothing else (C05, D04, D05)."""

from __future__ import annotations

import json
import os
import socket
import stat

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case


def numbers(seen: dict[str, list[dict[str, int]]]) -> list[int]:
    return [one["fd"] for one in seen["fds"]]


def test_run_passes_three(live: Case) -> None:
    assert numbers(live.probe(live.bundle())) == [0, 1, 2]


def test_create_and_start_pass_three(live: Case) -> None:
    bundle = live.bundle(["/probe"])
    result = live.launch(bundle)
    live.until(bundle, "stopped")
    assert numbers(result.json()) == [0, 1, 2]


def test_user_namespace_passes_three(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    for kind in ("cgroup", "time"):
        bundle.namespace(kind)
    assert numbers(live.probe(bundle)) == [0, 1, 2]


def test_full_featured_create_passes_three(live: Case) -> None:
    bundle = live.bundle()
    bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    bundle.mount("/mnt", live.canary, "rbind", "rro")
    bundle.mount("/var", "tmpfs", "tmpcopyup", kind="tmpfs")
    bundle.linux["maskedPaths"] = ["/proc/keys", "/home"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    bundle.linux["sysctl"] = {"net.core.somaxconn": "100"}
    bundle.config["root"]["readonly"] = True
    bundle.hook("createContainer", "true")
    bundle.hook("startContainer", "true")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert numbers(live.probe(bundle)) == [0, 1, 2]


def test_inherited_descriptors_are_closed(live: Case) -> None:
    # Engines leak sockets and pipe ends into the runtime; a container that keeps one keeps its peer waiting.
    bundle = live.bundle()
    bundle.process["args"] = ["/probe"]
    bundle.save()
    # The shell stands between: Popen would close them.
    line = "exec 3>&1 7</ 8</tmp 9>&1; exec " + " ".join(live.argv("run", "--bundle", bundle.path, bundle.id))
    result = process.run(["/bin/bash", "-c", line], scratch=live.scratch).ok()
    assert numbers(result.json()) == [0, 1, 2]


def test_stdio_is_the_callers(live: Case) -> None:
    # runc differs in the foreground: it copies through pipes of its own.
    read, write = os.pipe()
    with open(f"{live.dir}/in", "w+b") as given, open(f"{live.dir}/err", "w+b") as error:
        bundle = live.bundle(["/probe"])
        live.run(bundle, stdin=given.fileno(), stdout=write, stderr=error.fileno()).ok()
        os.close(write)
        with open(read, "rb") as pipe:
            pipe_id = os.fstat(read)
            seen = json.load(pipe)
        for one, wanted in zip(seen["fds"], (os.fstat(given.fileno()), pipe_id, os.fstat(error.fileno())), strict=True):
            assert (one["dev"], one["ino"]) == (wanted.st_dev, wanted.st_ino), one["fd"]


def test_input_reaches_the_program(live: Case) -> None:
    path = f"{live.dir}/in"
    with open(path, "w", encoding="ascii") as file:
        file.write("line one\nline two\n")
    with open(path, "rb") as file:
        assert live.output(live.bundle(["/bin/cat"]), stdin=file.fileno()) == "line one\nline two\n"


def test_create_does_not_touch_its_input(live: Case) -> None:
    read, write = os.pipe()
    os.write(write, b"for the program\n")
    os.close(write)
    bundle = live.bundle(["/bin/cat"])
    result = live.create(bundle, stdin=read)
    os.close(read)
    live.start(bundle)
    live.until(bundle, "stopped")
    assert result.out == "for the program\n"


def test_blocking_mode_of_the_callers_pipe_is_kept(live: Case) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.close(write)
    live.run(live.bundle(["/bin/cat"]), stdin=read).ok()
    assert not os.get_blocking(read)
    os.close(read)


def test_socket_as_stdio(live: Case) -> None:
    ours, theirs = socket.socketpair()
    bundle = live.bundle(["/bin/cat"])
    ours.sendall(b"over the socket")
    ours.shutdown(socket.SHUT_WR)
    live.run(bundle, stdin=theirs.fileno(), stdout=theirs.fileno()).ok()
    theirs.close()
    assert ours.recv(100) == b"over the socket"
    ours.close()


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_stdio(live: Case, closed: list[int]) -> None:
    # P17.  runc differs: it puts pipes of its own there.  The runtime's files must not become the program's stdio.
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.save()
    ends = " ".join(f"{number}<&-" if number == 0 else f"{number}>&-" for number in closed)
    line = " ".join(live.argv("run", "--detach", "--bundle", bundle.path, bundle.id)) + " " + ends
    result = process.run(["/bin/bash", "-c", line], scratch=live.scratch)
    if result.code == 0:
        for number in closed:
            path = f"/proc/{live.pid(bundle)}/fd/{number}"
            text = os.readlink(path) if os.path.lexists(path) else ""
            assert text in ("", "/dev/null"), f"fd {number} is {text}"
    else:
        assert result.code == 1


@pytest.mark.parametrize("uid", [0, 1000])
def test_stdio_belongs_to_the_user(live: Case, uid: int) -> None:
    bundle = live.shell("echo again > /proc/self/fd/1")
    bundle.process["user"] = {"uid": uid, "gid": uid}
    bundle.process["capabilities"] = {}
    assert "again" in live.output(bundle)


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("user_namespace", [False, True], ids=["root", "userns"])
def test_host_null_stays_as_it_is(live: Case, uid: int, user_namespace: bool) -> None:
    # D05; the oracle compares mode and owner of the host's device nodes.
    bundle = live.shell("stat -L -c %t:%T /proc/self/fd/0")
    if user_namespace:
        bundle.user_namespace()
    bundle.process["user"] = {"uid": uid, "gid": uid}
    with open("/dev/null", "r+b") as null:
        live.run(bundle, stdin=null.fileno(), stdout=null.fileno(), stderr=null.fileno()).ok()
        live.assert_clean()
        assert live.output(bundle, stdin=null.fileno()) == "1:3\n"


def test_null_stdio_is_the_containers_null(live: Case) -> None:
    bundle = live.bundle(["/bin/sh", "-c", "stat -L -c %d /proc/self/fd/0; stat -c %d /dev/null"])
    lines = live.output(bundle).split()
    assert lines[0] == lines[1], "the host's node would show the host's file system"


def images_null(bundle: Bundle) -> str:
    """The image's /dev/null is a link to /target, and nothing is mounted over /dev."""
    bundle.without_dev()
    target = bundle.file("/target", "target\n")
    os.symlink("/target", f"{bundle.rootfs}/dev/null")
    return target


@pytest.mark.parametrize("kind", ["pipe", "file", "socket", "null"])
def test_linked_null_takes_nobodys_stdio(live: Case, kind: str) -> None:
    # D04.  runc 1.1 differs: all three go to /target.
    bundle = live.shell("for i in 0 1 2; do readlink /proc/self/fd/$i; done")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    target = images_null(bundle)
    if kind == "pipe":
        fds = os.pipe()
    elif kind == "socket":
        pair = socket.socketpair()
        fds = (pair[0].detach(), pair[1].detach())
    elif kind == "file":
        fd = os.open(f"{live.dir}/file", os.O_RDWR | os.O_CREAT)
        fds = (fd, os.dup(fd))
    else:
        fd = os.open("/dev/null", os.O_RDWR)
        fds = (fd, os.dup(fd))
    result = live.run(bundle, stdin=fds[0])
    for one in fds:
        os.close(one)
    assert "/target" not in result.out
    assert os.stat(target).st_uid == 0
    with open(target, encoding="ascii") as file:
        assert file.read() == "target\n"
    if result.code:
        result.failed("/dev")


def test_mode_of_the_callers_file_is_kept(live: Case) -> None:
    with open(f"{live.dir}/out", "w+b") as file:
        os.fchmod(file.fileno(), 0o640)
        live.run(live.bundle(), stdout=file.fileno()).ok()
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o640
