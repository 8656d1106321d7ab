"""checkpoint and restore: a counter goes on where it was, and the restored container is one like any other."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from ocirun.host import facts as host

from . import criu, execs, filters, peers, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

COUNTER = (
    "echo start >>/tmp/starts; i=0; while :; do i=$((i+1)); echo $i >/tmp/new; mv /tmp/new /tmp/count; sleep 0.05; done"
)
NULL = subprocess.DEVNULL


class Saved:
    """A container that counts, and the directories of its checkpoint."""

    def __init__(self, live: Case, program: str) -> None:
        self.live = live
        self.program = program
        self.bundle = live.bundle(["/bin/sh", "-c", COUNTER])
        # Of the root file system, which both containers have.
        self.bundle.mount("/tmp", f"{live.dir}/shared", "bind")
        os.mkdir(f"{live.dir}/shared")
        self.images = f"{live.dir}/images"
        self.other = f"{self.bundle.id}-again"

    def command(self, *words: str, **how: Any) -> Result:
        return self.live.command("--criu", self.program, *words, **{"stdout": NULL, "limit": 60, **how})

    def launch(self, **how: Any) -> None:
        self.live.launch(self.bundle, **{"stdout": NULL, "stderr": NULL, **how})
        process.eventually(lambda: self.count() > 1, "it counts")

    def count(self) -> int:
        try:
            return int(execs.read(f"{self.live.dir}/shared/count"))
        except (OSError, ValueError):
            return 0

    def save(self, *options: str) -> Result:
        return self.command("checkpoint", "--image-path", self.images, *options, self.bundle.id)

    def restore(self, *options: str, **how: Any) -> Result:
        words = ["restore", "--detach", "--bundle", self.bundle.path, "--image-path", self.images]
        result = self.command(*words, *options, self.other, **{"stderr": NULL, **how})
        if result.code and os.path.exists(f"{self.images}/restore.log"):
            print(execs.read(f"{self.images}/restore.log")[-3000:])
        return result

    def goes_on(self, name: str = "") -> None:
        """The restored container counts on from where it was, and did not begin anew."""
        assert self.live.command("state", name or self.other).ok().json()["status"] == "running"
        before = self.count()
        process.eventually(lambda: self.count() > before, "it goes on counting")
        assert execs.read(f"{self.live.dir}/shared/starts") == "start\n"


@pytest.fixture
def saved(live: Case) -> Iterator[Saved]:
    program, reason = criu.program()
    if not program:
        pytest.skip(reason)
    return Saved(live, program)


def test_there_and_back(live: Case, saved: Saved) -> None:
    bundle = saved.bundle
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/timer_list", "/proc/scsi"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    bundle.linux["resources"] = {"memory": {"limit": 1 << 28}, "pids": {"limit": 50}}
    bundle.config["hooks"] = {"poststop": []}
    bundle.hook("poststop", f"echo stopped >>{live.dir}/log")
    bundle.hook("poststart", f"echo started >>{live.dir}/log")
    saved.launch()
    mounts = execs.shell(live, bundle, "cut -d' ' -f5 /proc/self/mountinfo | sort")
    saved.save().ok()
    at = saved.count()
    live.command("state", bundle.id).failed("does not exist")
    assert execs.read(f"{live.dir}/log") == "started\nstopped\n"
    pid_file = f"{live.dir}/pid"
    saved.restore("--pid-file", pid_file).ok()
    state = live.command("state", saved.other).ok().json()
    assert state["pid"] == int(execs.read(pid_file))
    saved.goes_on()
    assert saved.count() > at
    assert execs.read(f"{live.dir}/log") == "started\nstopped\nstarted\n"
    # One like any other: in its cgroups, with the same mounts, for every command.
    inside = live.command("exec", saved.other, "/bin/sh", "-c", "cut -d' ' -f5 /proc/self/mountinfo | sort").ok().out
    assert inside == mounts
    cgroup = execs.read(f"/proc/{state['pid']}/cgroup")
    groups = [line.split(":", 2) for line in cgroup.splitlines()]
    assert next(path for _, names, path in groups if names in ("", "memory")) == bundle.linux["cgroupsPath"]
    assert sorted(json.loads(live.command("ps", "--format", "json", saved.other).ok().out))
    live.command("pause", saved.other).ok()
    assert live.command("state", saved.other).ok().json()["status"] == "paused"
    live.command("resume", saved.other).ok()
    live.command("update", "--pids-limit", "40", saved.other).ok()
    live.command("kill", saved.other, "KILL").ok()
    process.eventually(lambda: live.command("state", saved.other).json()["status"] == "stopped", "it stops")
    live.command("delete", saved.other).ok()
    assert execs.read(f"{live.dir}/log").endswith("stopped\n")


def test_leave_running_and_paused(live: Case, saved: Saved) -> None:
    """As engines do it: pause, checkpoint, resume."""
    saved.launch()
    live.command("pause", saved.bundle.id).ok()
    saved.save("--leave-running", "--work-path", f"{live.dir}/work").ok()
    assert os.path.exists(f"{live.dir}/work/dump.log")
    assert not os.path.exists(f"{saved.images}/dump.log")
    assert live.status(saved.bundle) == "paused"
    live.command("resume", saved.bundle.id).ok()
    saved.goes_on(saved.bundle.id)
    saved.save("--leave-running").ok()
    saved.goes_on(saved.bundle.id)
    live.delete(saved.bundle, "--force")


def test_foreground(live: Case, saved: Saved) -> None:
    """The exit status is the program's, and the container is deleted then."""
    saved.bundle.process["args"][2] = f"trap 'exit 17' TERM; {COUNTER}"
    saved.launch()
    saved.save().ok()
    words = ["restore", "--bundle", saved.bundle.path, "--image-path", saved.images, saved.other]
    waiting, _, _ = process.spawn(
        live.argv("--criu", saved.program, *words), scratch=live.scratch, stdout=NULL, stderr=NULL
    )
    process.eventually(lambda: _is_running(live, saved.other), "it is restored", 30)
    saved.goes_on()
    waiting.terminate()
    assert process.wait_end(waiting, 10)
    assert waiting.returncode == 17
    live.command("state", saved.other).failed("does not exist")


def _is_running(live: Case, name: str) -> bool:
    found = live.command("state", name)
    return found.code == 0 and found.json()["status"] == "running"


def test_pipes_are_connected_anew(live: Case, saved: Saved) -> None:
    """Standard output was a pipe of the first caller, and is one of the second."""
    saved.bundle.process["args"][2] = COUNTER.replace("sleep", "echo line $i; sleep")
    first, second = os.pipe(), os.pipe()
    saved.launch(stdout=first[1])
    os.close(first[1])
    assert b"line 1\n" in os.read(first[0], 4096)
    saved.save().ok()
    os.close(first[0])
    saved.restore(stdout=second[1]).ok()
    os.close(second[1])
    assert b"line" in os.read(second[0], 4096)
    os.close(second[0])
    live.command("delete", "--force", saved.other).ok()


def test_terminal(live: Case, saved: Saved) -> None:
    """Its other end goes to the console socket again."""
    saved.bundle.process["terminal"] = True
    saved.bundle.process["args"][2] = COUNTER.replace("sleep", "echo line $i; sleep")
    for verb in ("create", "restore"):
        console = peers.ConsoleSocket(f"{live.dir}/console")
        if verb == "create":
            live.create(saved.bundle, "--console-socket", console.path)
            live.start(saved.bundle)
        else:
            saved.restore("--console-socket", console.path).ok()
        master = console.master()
        console.close()
        assert "line" in peers.read_until(master, "line")
        if verb == "create":
            saved.save().ok()
        os.close(master)
    live.command("delete", "--force", saved.other).ok()


def _user_namespace(bundle: Bundle) -> None:
    bundle.user_namespace()
    os.chmod(os.path.dirname(bundle.path) + "/shared", 0o777)


def _seccomp(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = filters.engine_profile()
    bundle.process["noNewPrivileges"] = False


def _user(bundle: Bundle) -> None:
    if not host.own_capabilities()[0] >> 24 & 1:
        pytest.skip("CRIU reads the limits of a process of another user by CAP_SYS_RESOURCE, which is missing here")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    os.chmod(os.path.dirname(bundle.path) + "/shared", 0o777)


def _host_network(bundle: Bundle) -> None:
    bundle.share_host("network")


@pytest.mark.parametrize("change", [_user_namespace, _seccomp, _user, _host_network], ids=lambda one: one.__name__)
def test_kinds(live: Case, saved: Saved, change: Callable[[Bundle], None]) -> None:
    change(saved.bundle)
    saved.launch()
    words = ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
    before = _status(live.pid(saved.bundle), words)
    saved.save().ok()
    saved.restore().ok()
    saved.goes_on()
    assert _status(live.command("state", saved.other).json()["pid"], words) == before
    live.command("delete", "--force", saved.other).ok()


def _status(pid: int, words: tuple[str, ...]) -> dict[str, str]:
    lines = dict(line.split(":", 1) for line in execs.read(f"/proc/{pid}/status").splitlines())
    return {word: lines[word].strip() for word in words}


@pytest.mark.parametrize("kinds", [("network", "ipc", "uts"), ("network", "pid")], ids="-".join)
def test_namespaces_of_a_pod(live: Case, saved: Saved, kinds: tuple[str, ...]) -> None:
    """Those that another container holds are entered again, not made."""
    # Its first process has to wait for the dead ones: they keep the numbers that the restored ones are to have.
    pod = live.bundle(["/bin/sh", "-c", "while :; do sleep 0.1; done"])
    live.launch(pod)
    files = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    for kind in kinds:
        saved.bundle.namespace(kind, f"/proc/{live.pid(pod)}/ns/{files[kind]}")
    saved.bundle.config.pop("hostname", None)
    saved.launch()
    saved.save().ok()
    process.reap()
    process.eventually(lambda: saved.restore().code == 0, "it is restored", 30)
    saved.goes_on()
    pid = live.command("state", saved.other).json()["pid"]
    for kind in kinds:
        assert os.readlink(f"/proc/{pid}/ns/{files[kind]}") == os.readlink(f"/proc/{live.pid(pod)}/ns/{files[kind]}")
    live.command("delete", "--force", saved.other).ok()
    live.delete(pod, "--force")


def test_namespace_that_cannot_be_entered(live: Case, saved: Saved) -> None:
    pod = execs.idle(live)
    saved.bundle.namespace("cgroup", f"/proc/{live.pid(pod)}/ns/cgroup")
    saved.launch()
    saved.save().failed("/linux/namespaces/", "cannot restore into a cgroup namespace")
    saved.goes_on(saved.bundle.id)
    live.delete(saved.bundle, "--force")
    live.delete(pod, "--force")


def test_another_bundle(live: Case, saved: Saved) -> None:
    """A fresh copy of the root file system: the mount points are made in it."""
    saved.bundle.mount("/made/for/it", "/proc/sys/kernel/ostype", "bind")
    saved.launch()
    saved.save().ok()
    other = live.bundle()
    other.config = {**saved.bundle.config}
    other.save()
    assert not os.path.exists(f"{other.rootfs}/made")
    words = ["restore", "--detach", "--bundle", other.path, "--image-path", saved.images, saved.other]
    saved.command(*words, stderr=NULL).ok()
    saved.goes_on()
    assert os.path.isfile(f"{other.rootfs}/made/for/it")
    assert live.command("exec", saved.other, "/bin/cat", "/made/for/it").ok().out == "Linux\n"
    live.command("delete", "--force", saved.other).ok()


def test_mount_points_stay_in_the_root(live: Case, saved: Saved) -> None:
    """A18: a link in the image at the place of a mount point leads nowhere."""
    saved.bundle.mount("/link/file", "/proc/sys/kernel/ostype", "bind")
    saved.launch()
    saved.save().ok()
    other = live.bundle()
    other.config = {**saved.bundle.config}
    other.save()
    os.symlink(live.canary, f"{other.rootfs}/link")
    words = ["restore", "--detach", "--bundle", other.path, "--image-path", saved.images, saved.other]
    assert saved.command(*words, stderr=NULL).code != 0
    live.command("state", saved.other).failed("does not exist")
    assert "file" not in os.listdir(live.canary)


def test_images_that_the_root_inside_cannot_reach(live: Case, saved: Saved) -> None:
    """With a user namespace CRIU needs to search the directory as the root inside; nobody else may."""
    _user_namespace(saved.bundle)
    saved.launch()
    saved.save().ok()
    made = os.stat(saved.images)
    assert (made.st_gid, made.st_mode & 0o777) == (100000, 0o710)
    os.chmod(saved.images, 0o700)
    saved.restore(stderr=None).failed(saved.images, "chgrp 100000 and chmod g+x")


def test_images_that_are_none(live: Case, saved: Saved) -> None:
    os.mkdir(saved.images)
    saved.bundle.save()
    saved.restore(stderr=None).failed("inventory.img", saved.images)
    with open(f"{saved.images}/inventory.img", "wb") as file:
        file.write(b"nonsense")
    saved.restore(stderr=None).failed("restore of", "inventory", "restore.log")
    live.assert_clean()


def test_failed_dump_lets_it_go_on(live: Case, saved: Saved) -> None:
    """Standard output is a file of the host, which CRIU cannot save: its own words are in the error."""
    with open(f"{live.dir}/stdout", "wb") as output:
        saved.launch(stdout=output)
    saved.save().failed("checkpoint of", "Error", "dump.log")
    saved.goes_on(saved.bundle.id)
    live.delete(saved.bundle, "--force")


@pytest.mark.parametrize("place", ["images", "work"])
def test_directories_of_others(live: Case, saved: Saved, place: str) -> None:
    """CRIU follows links there, so nobody else may write to it."""
    saved.launch()
    os.mkdir(f"{live.dir}/{place}", 0o777)
    os.chmod(f"{live.dir}/{place}", 0o777)
    saved.save("--work-path", f"{live.dir}/work").failed(place, "mode 0777")
    saved.goes_on(saved.bundle.id)
    live.delete(saved.bundle, "--force")


def test_refusals(live: Case, saved: Saved) -> None:
    bundle = saved.bundle
    live.create(bundle, stdout=NULL)
    saved.save().failed("cannot be checkpointed in created state")
    live.start(bundle)
    linked = live.bundle(["/bin/sleep", "600"])
    linked.mount("/link", "/proc/mounts", "bind", "copy-symlink")
    live.create(linked, stdout=NULL)
    live.start(linked)
    live.command("checkpoint", "--image-path", saved.images, linked.id).failed("copy-symlink: CRIU follows links")
    live.delete(linked, "--force")
    saved.save("--parent-path", "/absolute").failed("--parent-path must be relative")
    saved.save("--parent-path", "../none").failed("--parent-path ../none", "no such file")
    saved.save("--manage-cgroups-mode", "odd").failed("manage-cgroups-mode")
    saved.save("--page-server", "nowhere").failed("ADDRESS:PORT")
    saved.save("--empty-ns", "mount").failed("empty-ns")
    words = ["--criu", "/none/criu", "checkpoint", "--image-path", saved.images, bundle.id]
    live.command(*words).failed("/none/criu", "install the package criu")
    live.command("checkpoint", "--image-path", saved.images, bundle.id, env={"PATH": live.dir}).failed(
        "need the program criu", "in PATH"
    )
    saved.restore("--no-pivot", stderr=None).failed("--no-pivot")
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")


def test_pre_dump_where_the_kernel_can(live: Case, saved: Saved) -> None:
    saved.launch()
    first = saved.command("checkpoint", "--pre-dump", "--image-path", f"{live.dir}/first", saved.bundle.id)
    if first.code:
        first.failed("needs memory tracking")
    else:
        assert live.status(saved.bundle) == "running"
        saved.save("--parent-path", "../first").ok()
        saved.restore().ok()
        saved.goes_on()
        live.command("delete", "--force", saved.other).ok()


def test_criu_that_dies_leaves_nothing_frozen(live: Case, saved: Saved) -> None:
    """R16: it stops the container, and ends without a word."""
    saved.launch()
    groups = [line.split(":", 2) for line in execs.read(f"/proc/{live.pid(saved.bundle)}/cgroup").splitlines()]
    path = next(path for _, names, path in groups if names == "freezer")
    program = f"{live.dir}/criu"
    with open(program, "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\necho FROZEN >/sys/fs/cgroup/freezer{path}/freezer.state\necho oh no >&2\n")
    os.chmod(program, 0o755)
    live.command("--criu", program, "checkpoint", "--image-path", saved.images, saved.bundle.id).failed("oh no")
    saved.goes_on(saved.bundle.id)
    live.delete(saved.bundle, "--force")
