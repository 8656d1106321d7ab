"""The processes of a checkpoint, made by CRIU, which the helper has become."""

from __future__ import annotations

import os

from ...errors import HostError
from ...plan.builder import below, clean, join
from ...plan.mounts import words
from ...plan.mounts.devices import DEFAULT_DEVICES
from .. import spawn
from . import images, service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ...cgroup.driver import Driver
    from ...config.load import Config
    from ..context import Context
    from .options import RestoreOptions

LOG = "restore.log"
# Kinds of namespaces that CRIU enters by path, and gets by descriptor.
_ENTERED = {"ipc": "ipc", "uts": "uts"}
_INHERITED = {"network": "extRootNetNS", "pid": "extRootPidNS"}


class Restoration:
    """What `make_processes` needs beside the session: open descriptors, and what CRIU is to be told.

    keep   descriptors that CRIU gets, by what they are
    """

    def __init__(self, config: Config, options: RestoreOptions) -> None:
        self.data: Any = config.data
        self.options = options
        self.image_path = os.path.abspath(options.image_path or "checkpoint")
        self.work_path = os.path.abspath(options.work_path) if options.work_path else self.image_path
        self.image = self.work = -1
        self.keep: dict[str, int] = {}
        self.connection = service.Connection(os.memfd_create("criu", os.MFD_CLOEXEC))
        self.null = -1

    def open(self) -> None:
        """Open directories, standard streams and namespaces.  Raises HostError."""
        self.image = images.open_directory(self.image_path, create=False)
        images.check_images(self.image, self.image_path)
        images.check_way_in(self.image, self.image_path, self.data)
        self.work = images.open_directory(self.work_path, create=True)
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.keep["socket"] = self.connection.other
        for fd, name in enumerate(images.read_image(self.image, images.DESCRIPTORS) or ()):
            # What the container had open as a pipe becomes what we were given; all else it opens itself.
            if isinstance(name, str) and name.startswith("pipe:"):
                self.keep[name] = os.dup(fd)
        for index, entry in enumerate((self.data.get("linux") or {}).get("namespaces") or ()):
            if entry.get("path") and entry["type"] in _INHERITED:
                self.keep[_INHERITED[entry["type"]]] = _open(entry["path"], f"/linux/namespaces/{index}/path")
        for fd in self.keep.values():
            os.set_inheritable(fd, True)

    def external(self, cgroup: Driver) -> list[tuple[str, str]]:
        """Return (mount point, path on the host) of the mounts that show what is the host's:
        by the config where it tells.
        """
        binds = _binds(self.data, self.options.bundle)
        groups = dict(cgroup.directories())
        found: dict[str, str] = dict(binds)
        for path in (self.data.get("linux") or {}).get("maskedPaths") or ():
            found.setdefault(path, "/dev/null")
        saved = images.read_image(self.image, images.MOUNTS)
        entries = saved.get("mounts") if isinstance(saved, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
                raise HostError(f"{self.image_path}/{images.MOUNTS}: is not what a checkpoint writes")
            point = entry.get("mountpoint", "")
            if entry.get("node"):
                found[point] = _host_node(self.data, point)
                continue
            found[point] = binds.get(point) or groups.get(entry.get("cgroup", "")) or entry.get("source", "")
        return [(point, source) for point, source in found.items() if source]

    def close(self) -> None:
        """Give up all descriptors."""
        self.connection.other = -1  # among those to keep
        self.connection.close()
        for fd in (self.image, self.work, self.null, *self.keep.values()):
            if fd >= 0:
                os.close(fd)
        self.image = self.work = self.null = -1
        self.keep.clear()


def _host_node(data: dict[str, Any], path: str) -> str:
    """Return the host's node for a device of a container in a user namespace: CRIU binds it, as it makes none there.

    Raises HostError where the host has another one of that path, or none.
    """
    numbers = {name: (major, minor) for name, major, minor in DEFAULT_DEVICES}
    for device in (data.get("linux") or {}).get("devices") or ():
        numbers[clean(device["path"])] = (device.get("major", 0), device.get("minor", 0))
    try:
        node = os.stat(path, follow_symlinks=False).st_rdev
    except OSError as error:
        raise HostError.from_os(f"device {path}", error, pointer="/linux/devices", call="stat") from None
    if (os.major(node), os.minor(node)) != numbers.get(path):
        raise HostError(
            f"device {path}: the node of that path on the host is another device",
            pointer="/linux/devices",
            remedy="a device of a container in a user namespace comes back from the host's node of its path",
        )
    return path


def _open(path: str, pointer: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostError.from_os(f"{pointer}: {path}", error, pointer=pointer, call="open") from None


def _binds(data: dict[str, Any], bundle: str) -> dict[str, str]:
    found = {}
    rootfs = join(bundle, (data.get("root") or {}).get("path", ""))
    for mount in data.get("mounts") or ():
        if words.given(mount) & {"bind", "rbind"}:
            found[below(rootfs, mount["destination"])] = os.path.join(bundle, mount.get("source") or "")
    return found


def make_processes(context: Context, external: list[list[str]], pass_console: Callable[[Context, str], None]) -> None:
    """Have CRIU, which the helper has become, make the processes; the first of them is then the session's.

    pass_console   gives the terminal that the session was sent to a console socket

    Raises HostError with the end of the log.
    """
    r: Restoration = context.restoration
    os.close(r.connection.other)
    r.connection.other = r.keep["socket"] = -1
    r.connection.version()

    def notify(moment: str, pid: int, fd: int) -> None:
        if moment == "setup-namespaces":
            context.hook_pid = pid
            for kind in ("prestart", "createRuntime"):
                for number in context.hook_numbers(kind):
                    context.run_hook(number)
        elif moment == "orphan-pts-master" and fd >= 0:
            context.side.native.message = fd
            pass_console(context, r.options.console_socket)
        elif fd >= 0:
            os.close(fd)

    try:
        answer = r.connection.serve(service.RESTORE, _request(context, r, external), notify)
    except HostError as error:
        tail = service.log_tail(r.work, LOG)
        if error.call in ("recvmsg", "sendmsg"):
            raise HostError(f"{error.message}" + (f": {tail}" if tail else ""), call="criu") from None
        raise
    if not answer.get("success"):
        what = f"restore of {context.record.container_id}"
        raise service.failure(what, answer, r.work, LOG, f"{r.work_path}/{LOG}")
    pid = (answer.get("restore") or {}).get("pid", 0)
    helper = context.helper
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        raise HostError.from_os(f"restored process {pid}", error, call="pidfd_open") from None
    # CRIU has done its work.
    r.connection.close()
    spawn.end(helper.pidfd, grace=10.0)
    os.close(helper.pidfd)
    helper.pid, helper.pidfd = pid, pidfd


def _request(context: Context, restoration: Restoration, external: list[list[str]]) -> dict[str, Any]:
    options = restoration.options
    mode = options.manage_cgroups_mode or service.cgroup_mode(context.helper.pid)
    request: dict[str, Any] = {
        **service.shared_options(options, restoration.data),
        "images_dir_fd": restoration.image,
        "work_dir_fd": restoration.work,
        "log_file": LOG,
        "root": context.record.rootfs,
        "rst_sibling": True,
        "evasive_devices": True,
        "manage_cgroups_mode": service.CGROUP_MODES[mode],
        "external": [f"mnt[{point}]:{source}" for point, source in external],
        "inherit_fd": [{"key": key, "fd": fd} for key, fd in restoration.keep.items() if key != "socket"],
        "tcp_close": options.tcp_close,
        "lsm_profile": options.lsm_profile or None,
        "lsm_mount_context": options.lsm_mount_context or None,
    }
    if mode != "ignore":
        request["cg_root"] = _cgroup_roots(context.helper.pid)
    request["join_ns"] = [
        {"ns": _ENTERED[entry["type"]], "ns_file": entry["path"]}
        for entry in (restoration.data.get("linux") or {}).get("namespaces") or ()
        if entry.get("path") and entry["type"] in _ENTERED
    ]
    return request


def _cgroup_roots(pid: int) -> list[dict[str, Any]]:
    """Return the groups of CRIU, which are those of the container, as the places for the saved ones."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        words = [line.rstrip("\n").split(":", 2) for line in file]
    return [{"ctrl": name.removeprefix("name=") or None, "path": path} for _, name, path in words]
