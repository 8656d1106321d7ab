"""Bundles for the tests: one image made once, a cheap copy of it for each test."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

APP_UID = 1000
APPLETS = (
    "sh", "cat", "ls", "sleep", "true", "false", "echo", "id", "mount", "umount", "grep", "readlink", "stat", "touch",
    "mkdir", "rm", "ln", "mknod", "kill", "ps", "head", "dd", "env", "pwd", "tty", "stty", "hostname", "mkfifo", "chmod",
    "chown", "test", "seq", "wc", "unshare", "ulimit", "nc", "sync", "od", "cp", "date", "find",
)  # fmt: skip
TOOLS = ("probe", "late", "syscall", "bare", "asker")
PASSWD = f"root:x:0:0:root:/root:/bin/sh\napp:x:{APP_UID}:{APP_UID}:app:/home/app:/bin/sh\n"
GROUP = f"root:x:0:\napp:x:{APP_UID}:\nextra:x:2000:app\n"
CAPABILITIES = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")
SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "csrc")

PROC: dict[str, Any] = {"destination": "/proc", "type": "proc", "source": "proc"}
DEV: dict[str, Any] = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}
DEVPTS: dict[str, Any] = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
}
SHM: dict[str, Any] = {
    "destination": "/dev/shm",
    "type": "tmpfs",
    "source": "shm",
    "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
}


def build_tools(target: str, compiler: str = "gcc") -> None:
    """Compile every program of csrc into a directory, static; raises CalledProcessError.

    Those in ``OCIRUN_TEST_TOOLS`` are taken instead where that is set, and what is up to date stays.
    """
    ready = os.environ.get("OCIRUN_TEST_TOOLS")
    if ready:
        shutil.copytree(ready, target, dirs_exist_ok=True)
        return
    for name in sorted(os.listdir(SOURCES)):
        program = name.removesuffix(".c")
        if _newer(f"{target}/{program}", f"{SOURCES}/{name}"):
            continue
        flags = ["-O1", "-static", "-Wall", "-Wextra", "-Werror"]
        if program in ("interp", "bare"):
            flags += ["-nostdlib", "-fno-stack-protector", "-ffreestanding"]
        subprocess.run([compiler, *flags, "-o", f"{target}/{program}", f"{SOURCES}/{name}"], check=True)


def _newer(path: str, source: str) -> bool:
    return os.path.exists(path) and os.stat(path).st_mtime > os.stat(source).st_mtime


def make_image(image: str, tools: str) -> None:
    """The root file system that all bundles copy: busybox, the probe, two users."""
    for name in ("bin", "etc", "tmp", "proc", "sys", "root", "dev", "home/app", "mnt", "run", "var"):
        os.makedirs(f"{image}/{name}")
    os.chmod(f"{image}/tmp", 0o1777)
    os.chown(f"{image}/home/app", APP_UID, APP_UID)
    shutil.copy("/bin/busybox", f"{image}/bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", f"{image}/bin/{name}")
    for name in TOOLS:
        shutil.copy(f"{tools}/{name}", f"{image}/{name}")
    _write(f"{image}/etc/passwd", PASSWD)
    _write(f"{image}/etc/group", GROUP)


def copy_image(image: str, rootfs: str) -> None:
    """Copy the image; programs become hard links, the rest is real, so a test may change it."""
    for where, directories, files in os.walk(image):
        target = rootfs + where.removeprefix(image)
        if not os.path.isdir(target):
            os.mkdir(target)
        shutil.copystat(where, target)
        owner = os.stat(where)
        os.chown(target, owner.st_uid, owner.st_gid)
        for name in files + [one for one in directories if os.path.islink(f"{where}/{one}")]:
            source = f"{where}/{name}"
            if os.path.islink(source):
                os.symlink(os.readlink(source), f"{target}/{name}")
            elif os.access(source, os.X_OK) and os.path.getsize(source) > 65536:
                os.link(source, f"{target}/{name}")
            else:
                shutil.copy2(source, f"{target}/{name}")


def default_config(args: Sequence[str], cgroups_path: str) -> dict[str, Any]:
    """A config.json like that of a container engine, without the parts that few tests need."""
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "hostname": "live",
        "process": {
            "cwd": "/",
            "args": list(args),
            "env": ["PATH=/bin", "TERM=xterm"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {name: list(CAPABILITIES) for name in sets},
            "noNewPrivileges": True,
        },
        "mounts": copy.deepcopy([PROC, DEV, DEVPTS, SHM]),
        "linux": {"cgroupsPath": cgroups_path, "namespaces": [{"type": kind} for kind in NAMESPACES]},
    }


class Bundle:
    """One bundle, and the container that is made of it.

    id, path, rootfs   container id, bundle directory, its root file system
    config             the config as a dict; written by save(), which every command of Case calls
    raw                bytes to be written instead of the config, when a test needs them wrong
    """

    def __init__(self, path: str, container_id: str, config: dict[str, Any]) -> None:
        self.path = path
        self.id = container_id
        self.rootfs = f"{path}/rootfs"
        self.config = config
        self.raw: bytes | None = None
        self.frozen = False

    @property
    def process(self) -> dict[str, Any]:
        """The `process` object of the config."""
        found: dict[str, Any] = self.config["process"]
        return found

    @property
    def linux(self) -> dict[str, Any]:
        """The `linux` object of the config."""
        found: dict[str, Any] = self.config["linux"]
        return found

    @property
    def mounts(self) -> list[dict[str, Any]]:
        """The `mounts` array of the config."""
        found: list[dict[str, Any]] = self.config["mounts"]
        return found

    def mount(self, destination: str, source: str, *options: str, kind: str = "bind") -> int:
        """Append a mount; gives its index."""
        self.mounts.append({"destination": destination, "type": kind, "source": source, "options": list(options)})
        return len(self.mounts) - 1

    def without_dev(self) -> None:
        """Drop every mount at or below /dev, so that the image's own /dev is used."""
        self.config["mounts"] = [one for one in self.mounts if not one["destination"].startswith("/dev")]

    def namespace(self, kind: str, path: str = "") -> None:
        """Ask for a namespace: a new one, or that of a path."""
        entries = [one for one in self.linux["namespaces"] if one["type"] != kind]
        self.linux["namespaces"] = [*entries, {"type": kind, "path": path} if path else {"type": kind}]

    def share_host(self, kind: str) -> None:
        """Do not ask for a namespace of this kind."""
        self.linux["namespaces"] = [one for one in self.linux["namespaces"] if one["type"] != kind]

    def user_namespace(self, first: int = 100000, size: int = 65536) -> None:
        """A new user namespace whose ids 0 to size-1 are first and up, and an image that belongs to it."""
        self.namespace("user")
        mapping = [{"containerID": 0, "hostID": first, "size": size}]
        self.linux["uidMappings"] = mapping
        self.linux["gidMappings"] = [dict(one) for one in mapping]
        os.chown(self.rootfs, first, first)
        for name in ("tmp", "home/app", "dev", "proc", "sys", "mnt"):
            os.chown(f"{self.rootfs}/{name}", first, first)

    def hook(self, kind: str, *args: str, timeout: int = 0, env: list[str] | None = None, path: str = "") -> None:
        """Append a hook; a first argument without a slash is run by the shell."""
        entry: dict[str, Any] = {"path": path or args[0], "args": list(args)}
        if "/" not in args[0] or " " in args[0]:
            entry = {"path": path or "/bin/sh", "args": ["sh", "-c", *args]}
        if timeout:
            entry["timeout"] = timeout
        if env is not None:
            entry["env"] = env
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)

    def file(self, name: str, text: str = "", mode: int = 0o644) -> str:
        """Write a file into the image; gives its path on the host."""
        path = f"{self.rootfs}/{name.lstrip('/')}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, text)
        os.chmod(path, mode)
        return path

    def read(self, name: str) -> str:
        """Read a file of the image."""
        with open(f"{self.rootfs}/{name.lstrip('/')}", encoding="utf-8", errors="replace") as file:
            return file.read()

    def save(self) -> None:
        """Write config.json."""
        if self.frozen:
            return
        data = self.raw if self.raw is not None else json.dumps(self.config).encode()
        with open(f"{self.path}/config.json", "wb") as file:
            file.write(data)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
