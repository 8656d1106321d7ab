"""Namespaces: new, joined, inherited; user ids; clocks."""

from __future__ import annotations

import os
import signal
import subprocess

from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from live.bundles import Bundle

    from ..bench import Bench

# The name of the specification -> that of the kernel
KINDS = {
    "pid": "pid",
    "network": "net",
    "mount": "mnt",
    "ipc": "ipc",
    "uts": "uts",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}
OPTIONS = {"network": "--net", "ipc": "--ipc", "uts": "--uts", "cgroup": "--cgroup"}


def _own(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{KINDS[kind]}")


def _supported(kind: str) -> None:
    need(os.path.exists(f"/proc/self/ns/{KINDS[kind]}"), f"the kernel has no {kind} namespaces")


def _with(bench: Bench, kind: str) -> Bundle:
    bundle = bench.bundle()
    if kind == "user":
        bundle.user_namespace()
    else:
        bundle.namespace(kind)
    return bundle


@covers("config-linux.namespaces.pid")
def pid(bench: Bench) -> None:
    """The process is the first, and sees only its own."""
    bundle = bench.shell("echo $$; ls -d /proc/[0-9]*")
    assert bench.output(bundle).split() in (["1", "/proc/1"], ["1", "/proc/1", "/proc/2"])


@covers("config-linux.namespaces.network")
def network(bench: Bench) -> None:
    """Only a loopback device."""
    assert bench.shell_output("ls /proc/sys/net/ipv4/conf").split() == ["all", "default", "lo"]
    assert bench.plain()["ns"]["net"] != _own("network")


@covers("config-linux.namespaces.mount")
def mount(bench: Bench) -> None:
    """What the container mounts is not seen outside."""
    bundle = bench.shell("mount -t tmpfs inside /mnt && touch /mnt/here && echo done; sleep 0.1")
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    assert bench.output(bundle) == "done\n"
    assert os.listdir(f"{bundle.rootfs}/mnt") == []
    assert bench.plain()["ns"]["mnt"] != _own("mount")


@covers("config-linux.namespaces.ipc")
def ipc(bench: Bench) -> None:
    """System V memory of ours is not seen inside."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    shared = libc.shmget(0, 4096, 0o600)  # IPC_PRIVATE
    assert shared >= 0
    try:
        assert len(bench.shell_output("cat /proc/sysvipc/shm").splitlines()) == 1
    finally:
        libc.shmctl(shared, 0, None)  # IPC_RMID
    assert bench.plain()["ns"]["ipc"] != _own("ipc")


@covers("config-linux.namespaces.uts")
def uts(bench: Bench) -> None:
    """Its own host and domain name."""
    bundle = bench.bundle()
    bundle.config |= {"hostname": "inside", "domainname": "example.test"}
    before = os.uname().nodename
    report = bench.probe(bundle)
    assert (report["hostname"], report["domainname"]) == ("inside", "example.test")
    assert os.uname().nodename == before and report["ns"]["uts"] != _own("uts")


@covers("config-linux.namespaces.user")
def user(bench: Bench) -> None:
    """Root inside is another user outside."""
    bundle = _with(bench, "user")
    bundle.process["args"] = [
        "/bin/sh",
        "-c",
        "cat /proc/self/uid_map; id -u; touch /tmp/made; readlink /proc/self/ns/user",
    ]
    words = bench.output(bundle).split()
    assert words[:4] == ["0", "100000", "65536", "0"], words
    assert words[4] != _own("user")
    assert os.stat(f"{bundle.rootfs}/tmp/made").st_uid == 100000


@covers("config-linux.namespaces.cgroup")
def cgroup(bench: Bench) -> None:
    """The container's cgroups are the root of what it sees."""
    report = bench.probe(_with(bench, "cgroup"))
    assert report["ns"]["cgroup"] != _own("cgroup")
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in report["cgroup"].splitlines()}
    shown = [path for name, path in paths.items() if name not in ("", "name=systemd")] or list(paths.values())
    assert set(shown) == {"/"}, report["cgroup"]


@covers("config-linux.namespaces.time")
def time(bench: Bench) -> None:
    """Clocks with offsets."""
    _supported("time")
    import time as clock

    bundle = _with(bench, "time")
    bundle.linux["timeOffsets"] = {"monotonic": {"secs": 5000}, "boottime": {"secs": 9000, "nanosecs": 5}}
    report = bench.probe(bundle)
    assert report["ns"]["time"] != _own("time")
    for name, offset in (("monotonic", 5000), ("boottime", 9000)):
        ahead = report[name] - clock.clock_gettime(getattr(clock, f"CLOCK_{name.upper()}"))
        assert abs(ahead - offset) < 60, f"{name} is {ahead} s ahead"


@covers("config-linux.namespaces.new")
def new(bench: Bench) -> None:
    """Of every type: neither ours nor that of another container."""
    kinds = [kind for kind in KINDS if os.path.exists(f"/proc/self/ns/{KINDS[kind]}")]
    reports = []
    for _ in range(2):
        bundle = bench.bundle(["/bin/sleep", "70000"])
        for kind in kinds:
            bundle.namespace(kind)
        bundle.user_namespace()
        bench.launch(bundle)
        pid = bench.pid(bundle)
        reports.append({kind: os.readlink(f"/proc/{pid}/ns/{KINDS[kind]}") for kind in kinds})
    for kind in kinds:
        seen = {_own(kind), reports[0][kind], reports[1][kind]}
        assert len(seen) == 3, f"the {kind} namespace is not new"


@covers("config-linux.namespaces.inherit")
def inherit(bench: Bench) -> None:
    """Those that are not listed are ours; a container with a mount namespace only."""
    bundle = bench.bundle(["/bin/sleep", "70000"])
    bundle.linux["namespaces"] = [{"type": "mount"}]
    del bundle.config["hostname"]
    bench.launch(bundle)
    pid = bench.pid(bundle)
    for kind in KINDS:
        if kind != "mount" and os.path.exists(f"/proc/self/ns/{KINDS[kind]}"):
            assert os.readlink(f"/proc/{pid}/ns/{KINDS[kind]}") == _own(kind), f"the {kind} namespace is not ours"


class _Holder:
    """A process in namespaces of its own, whose files can be joined."""

    def __init__(self, *kinds: str) -> None:
        words = ["unshare", *(OPTIONS[kind] for kind in kinds), "sh", "-c", "echo ready; exec sleep 70000"]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self.process.stdout and self.process.stdout.readline() == b"ready\n"

    def path(self, kind: str) -> str:
        return f"/proc/{self.process.pid}/ns/{KINDS[kind]}"

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@covers("config-linux.namespaces.path.join")
def join(bench: Bench) -> None:
    holder = _Holder("network", "ipc", "uts")
    try:
        bundle = bench.bundle(["/bin/sleep", "70000"])
        del bundle.config["hostname"]
        for kind in ("network", "ipc", "uts"):
            bundle.namespace(kind, holder.path(kind))
        bench.launch(bundle)
        pid = bench.pid(bundle)
        for kind in ("network", "ipc", "uts"):
            found = os.readlink(f"/proc/{pid}/ns/{KINDS[kind]}")
            assert found == os.readlink(holder.path(kind)), f"the {kind} namespace is not that of the path"
    finally:
        holder.close()


@covers("config-linux.namespaces.path.wrong-type")
def wrong_type(bench: Bench) -> None:
    """A namespace of another type for each type that can be joined, and what is no namespace at all."""
    holder = _Holder("network", "ipc", "uts")
    try:
        for kind, other in (("network", "uts"), ("ipc", "network"), ("uts", "ipc"), ("pid", "uts"), ("mount", "uts")):
            bundle = bench.bundle()
            bundle.namespace(kind, holder.path(other))
            bench.fails(bundle)
        bundle = bench.bundle()
        bundle.namespace("network", "/etc/passwd")
        bench.fails(bundle)
    finally:
        holder.close()


@covers("config-linux.namespaces.path.absolute")
def relative_path(bench: Bench) -> None:
    """One that leads to a namespace from where the runtime is called."""
    holder = _Holder("network")
    try:
        bundle = bench.bundle()
        bundle.namespace("network", holder.path("network").lstrip("/"))
        bench.fails(bundle, cwd="/")
    finally:
        holder.close()


@covers("config-linux.idMappings.ownership")
def ownership(bench: Bench) -> None:
    """Of the root file system and of a bind mount."""
    bundle = bench.bundle()
    source = bench.directory("source")
    bundle.file("/etc/mine")
    bundle.mount("/mnt", source, "bind")
    bundle.user_namespace()
    paths = [source, f"{bundle.rootfs}/etc", f"{bundle.rootfs}/etc/mine", f"{bundle.rootfs}/bin/busybox", bundle.rootfs]
    before = [os.stat(path).st_uid for path in paths]
    bench.run(bundle).ok()
    assert [os.stat(path).st_uid for path in paths] == before
