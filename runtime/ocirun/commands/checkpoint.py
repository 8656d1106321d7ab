"""`checkpoint`: the processes of a container saved to files by CRIU."""

from __future__ import annotations

import os

from ..errors import HostError, OcirunError, StateError, UnsupportedError, UsageError, option
from ..execute.criu import images, service
from ..execute.mounts import mountinfo
from ..plan.restore_plan import refuse
from ..state import record as records
from ..state import saved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..execute.criu.options import CheckpointOptions
    from ..state.record import Record

LOG = "dump.log"
# Namespaces that CRIU can leave to whoever has made them; of the others it saves the content.
_EXTERNAL = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}
_CONTENT = ("ipc", "uts")


def checkpoint(record: Record, cgroup: Driver, directory: int, options: CheckpointOptions) -> None:
    """Save a running or paused container; it is gone then unless it is to go on.

    directory   of the container
    Raises StateError, UnsupportedError, UsageError, and HostError with the end of CRIU's log.
    """
    _check(record, directory, options)
    data = saved.config(directory, record.bundle)
    refuse(data)
    program = service.find_criu(options.criu)
    image_path = os.path.abspath(options.image_path or "checkpoint")
    image = images.open_directory(image_path, create=True)
    work_path = os.path.abspath(options.work_path) if options.work_path else image_path
    work = -1
    connection = service.Connection()
    was_frozen = cgroup.frozen()
    try:
        work = images.open_directory(work_path, create=True)
        _check_parent(image, options)
        images.let_in(image, data)
        inside, host = mountinfo.mounts(record.pid), mountinfo.mounts()
        mounts = images.external_mounts(inside, host, cgroup.directories())
        wanted = _options(record, cgroup, data, options, image, work)
        wanted["external"] = [f"mnt[{mount['mountpoint']}]:{mount['mountpoint']}" for mount in mounts]
        wanted["external"] += _external_namespaces(record, data)
        if not options.pre_dump:
            images.save(image, images.DESCRIPTORS, _streams(record.pid))
        images.save(image, images.MOUNTS, {"mounts": mounts})
        connection.start(program)
        connection.version()
        _check_features(connection, options)
        kind = service.PRE_DUMP if options.pre_dump else service.DUMP
        answer = connection.serve(kind, wanted, _ignore)
        if not answer.get("success"):
            raise service.failure(f"checkpoint of {record.container_id}", answer, work, LOG, f"{work_path}/{LOG}")
    except OSError as error:
        raise HostError.from_os(f"checkpoint of {record.container_id}", error) from None
    finally:
        connection.close()
        for fd in (image, work):
            if fd >= 0:
                os.close(fd)
        # A CRIU that was killed leaves everything stopped.
        if not was_frozen and cgroup.frozen():
            cgroup.thaw()


def _ignore(_: str, __: int, fd: int) -> None:
    """Do nothing, as nothing has to be done at any moment of a dump."""
    if fd >= 0:
        os.close(fd)


def _check(record: Record, directory: int, options: CheckpointOptions) -> None:
    status = records.status(record, records.load_progress(directory))
    if status != records.RUNNING:
        raise StateError(f"container cannot be checkpointed in {status} state", status=status)
    if os.geteuid() != 0:
        raise UnsupportedError("checkpoint needs the host's root: CRIU reads all of a process")
    if options.manage_cgroups_mode and options.manage_cgroups_mode not in service.CGROUP_MODES:
        raise UsageError(
            f"invalid manage-cgroups mode {options.manage_cgroups_mode!a}",
            remedy=f"one of {', '.join(service.CGROUP_MODES)}",
        )
    if options.parent_path.startswith("/"):
        raise UsageError(
            f"{option('parent-path')} must be relative",
            remedy="CRIU looks for it from the image directory, as ../parent",
        )


def _check_parent(image: int, options: CheckpointOptions) -> None:
    """Check the parent: CRIU takes a missing one for none, and the next pre-dump would not be one."""
    if not options.parent_path:
        return
    try:
        parent = os.stat(options.parent_path, dir_fd=image)
    except OSError as error:
        raise HostError.from_os(f"{option('parent-path')} {options.parent_path}", error, call="stat") from None
    if parent.st_mode & 0o170000 != 0o040000:
        raise UsageError(f"{option('parent-path')} {options.parent_path}: is not a directory")


def _check_features(connection: service.Connection, options: CheckpointOptions) -> None:
    if (options.pre_dump or options.parent_path) and not connection.can("mem_track"):
        raise UnsupportedError(
            "a pre-dump needs memory tracking, which this kernel does not have",
            remedy=f"CONFIG_MEM_SOFT_DIRTY; leave out {option('pre-dump')} and {option('parent-path')}",
        )
    if options.lazy_pages and not connection.can("lazy_pages"):
        raise UnsupportedError(f"{option('lazy-pages')} needs userfaultfd, which this kernel has not, or not for us")


def _options(
    record: Record, cgroup: Driver, data: dict[str, Any], options: CheckpointOptions, image: int, work: int
) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        **service.shared_options(options, data),
        "images_dir_fd": image,
        "work_dir_fd": work,
        "log_file": LOG,
        "pid": record.pid,
        "root": record.rootfs,
        "manage_cgroups_mode": service.CGROUP_MODES[options.manage_cgroups_mode or service.cgroup_mode(record.pid)],
        "leave_running": options.leave_running or options.pre_dump,
        "tcp_skip_in_flight": options.tcp_skip_in_flight,
        "status_fd": options.status_fd if options.status_fd >= 0 else None,
    }
    if options.pre_dump or options.parent_path:
        wanted["track_mem"] = True
    if options.parent_path:
        wanted["parent_img"] = options.parent_path
    if options.page_server:
        address, colon, port = options.page_server.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit() and len(port) < 6):
            raise UsageError(f"{option('page-server')} {options.page_server!a}: is not ADDRESS:PORT")
        wanted["ps"] = {"address": address, "port": int(port)}
    freezer = _freezer(cgroup)
    if freezer:
        wanted["freeze_cgroup"] = freezer
    return wanted


def _freezer(cgroup: Driver) -> str:
    """Return the cgroup by which all processes can be stopped at once, or ""."""
    try:
        return cgroup.path("freezer")
    except KeyError:
        directories = cgroup.directories()
        return directories[0][1] if len(directories) == 1 else ""


def _external_namespaces(record: Record, data: dict[str, Any]) -> list[str]:
    """Return ``net[INODE]:NAME`` for namespaces that somebody else has made.  Raises UnsupportedError for some."""
    found = []
    for index, entry in enumerate((data.get("linux") or {}).get("namespaces") or ()):
        kind = entry["type"]
        if not entry.get("path") or kind in _CONTENT:
            continue
        pointer = f"/linux/namespaces/{index}/path"
        if kind not in _EXTERNAL:
            raise UnsupportedError(f"{pointer}: CRIU cannot restore into a {kind} namespace", pointer=pointer)
        name, key = _EXTERNAL[kind]
        found.append(f"{name}[{os.stat(f'/proc/{record.pid}/ns/{name}').st_ino}]:{key}")
    return found


def _streams(pid: int) -> list[str]:
    """Return what standard input, output and error are: ``pipe:[17]``, ``/dev/null``."""
    found = []
    for fd in range(3):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:  # closed
            found.append("")
    return found


def remove(root: str, record: Record, cgroup: Driver, directory: int) -> list[str]:
    """Remove the container of which there is a checkpoint now; returns and raises as destroy.destroy."""
    from . import delete

    try:
        return delete.delete_container(root, record, cgroup, directory)
    except OcirunError as error:
        error.message = f"the checkpoint is complete, but the container is still there: {error.message}"
        raise
