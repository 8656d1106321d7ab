"""A safe config in one call, for `ocirun.run`, `Prepared`, `Container.create` and `aio`.

import ocirun
config = ocirun.sandbox("/srv/python", ["python3", "-c", "print(6 * 7)"])
print(ocirun.run(config=config, timeout=2.0).stdout)
"""

from __future__ import annotations

import copy
import os

from .._base import parameters
from .._base.boundary import raises_ocirun_errors
from ..commands import planning
from ..config import load
from ..errors import ConfigError, HostError, UnsupportedError, UsageError
from ..execute.options import MANAGERS, CreateOptions
from ..host import facts
from ..plan.mounts.upper import Upper
from . import config as configs
from . import ids as spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..errors import OcirunError
    from ..host.users import Span
    from ..plan.ops import Plan

REFUSE, LEAVE_OUT = "refuse", "leave out"
# What a host may lack, by the place in the config that its plan is refused for.
_LACKS = {
    "/linux/resources/memory": "memory",
    "/linux/resources/pids": "pids",
    "/linux/resources/cpu": "cpus",
    "/linux/seccomp": "seccomp",
}
# What is refused for other parameters; nothing of it is ever left out.
_PARAMETERS = {
    "/linux/namespaces": "ids",
    "/linux/uidMappings": "ids",
    "/linux/gidMappings": "ids",
    "/linux/cgroupsPath": "cgroup_manager",
    "/mounts": "mounts",
    "/process/args": "args",
    "/process/cwd": "cwd",
    "/process/env": "env",
    "/process/user": "user",
    "/process/capabilities": "capabilities",
    "/process/rlimits": "open_files",
    "/root": "rootfs",
}
_LAST_ID = (1 << 32) - 2


@raises_ocirun_errors
def sandbox(
    rootfs: str,
    args: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    user: tuple[int, int] = (0, 0),
    mounts: Sequence[Mapping[str, Any]] = (),
    memory: int | None = 256 << 20,
    pids: int | None = 64,
    cpus: float | None = 1.0,
    open_files: int | None = 256,
    file_size: int | None = 64 << 20,
    tmp: int | None = 64 << 20,
    shm: int | None = 16 << 20,
    disk: int | None = None,
    disk_inodes: int | None = None,
    capabilities: Sequence[str] = (),
    seccomp: bool = True,
    ids: tuple[int, int] | None = None,
    cgroup_manager: str = "",
    missing: str = REFUSE,
) -> dict[str, Any]:
    """Return a config, the keys of config.json in a dict, for a program that nobody trusts.

    It has namespaces of its own of all kinds but time, with ids that own nothing outside; no new privileges, no
    capabilities, the engines' seccomp filter, a read-only root, masked files of /proc and /sys, a network of
    nothing but loopback, and the limits below. Print it, change it, run it, save it with `save_config`.

    rootfs          directory with the root file system, which is only read
    args            the program and its arguments
    env             dict of variables, beside a PATH
    cwd             absolute path inside
    user            uid and gid inside
    mounts          list of mounts in the config's form, behind its own
    memory          limit in bytes, swap included where the kernel counts it; None here and below: no limit
    pids            limit of processes and threads
    cpus            limit of processor time as a number of processors, such as 0.5
    open_files      limit of descriptors of each process
    file_size       limit in bytes of each file that is written
    disk            the root may be written to, and what is written is thrown away: so many bytes fit. None: it is
                    read-only
    disk_inodes     how many files, directories and links fit into it; None: one for each 4096 bytes, but 1024 at least
    tmp, shm        size in bytes of a tmpfs on /tmp, and on /dev/shm; None: no such mount
    capabilities    names such as ``CAP_NET_BIND_SERVICE``; their rights end at the user namespace
    seccomp         with the filter; it needs libseccomp
    ids             first id and number of ids of the host that become the container's. None: for root 65536 that belong
                    to nobody, others each time; for an ordinary user the own one, and those of /etc/subuid
    cgroup_manager  "cgroupfs", "systemd" or "disabled", as it will be run; "" is cgroupfs
    missing         "refuse" or "leave out": what becomes of memory, pids, cpus and seccomp where this host cannot do
                    them. What was left out is named in the annotation ``org.ocirun.sandbox.left-out``
    Raises UsageError for a parameter, UnsupportedError for what this host cannot do, HostError.
    """
    wishes = configs.Wishes(
        rootfs=_directory(rootfs),
        args=_program(args),
        env=[] if env is None else parameters.environment("env", env),
        cwd=_absolute(cwd),
        user=parameters.pair("user", user, most=_LAST_ID),
        mounts=_mounts(mounts),
        memory=parameters.optional("memory", memory),
        pids=parameters.optional("pids", pids),
        cpus=parameters.processors("cpus", cpus),
        open_files=parameters.optional("open_files", open_files, least=3),
        file_size=parameters.optional("file_size", file_size, least=0),
        tmp=parameters.optional("tmp", tmp),
        shm=parameters.optional("shm", shm),
        upper=_upper(disk, disk_inodes),
        capabilities=parameters.words("capabilities", capabilities),
        seccomp=bool(seccomp),
    )
    parameters.one_of("cgroup_manager", cgroup_manager, MANAGERS)
    parameters.one_of("missing", missing, (REFUSE, LEAVE_OUT))
    uids, gids = spans.choose(_ids(ids))
    left_out: list[str] = []
    while True:
        made = configs.config(wishes, uids=uids, gids=gids, left_out=left_out)
        own = len(made["mounts"]) - len(wishes.mounts)
        lacking = _lacking(made, own, cgroup_manager, missing)
        if not lacking:
            return made
        left_out += lacking


def _lacking(made: dict[str, Any], own_mounts: int, cgroup_manager: str, missing: str) -> list[str]:
    """Return the parameters that are to be left out; the plan, which decides what a host can do, is asked.

    own_mounts   how many of the mounts are no parameter's
    Raises UsageError, UnsupportedError with the names of the parameters, HostError.
    """
    try:
        config = load.from_values(made, bundle="/", path="config")
        options = CreateOptions(activation=False, init=None, bound=True, cgroup_manager=cgroup_manager)
        plan, _ = planning.plan(config, "sandbox", "/", options, keeps_session=True, for_show=True)
        _refuse_lost_capabilities(plan)
        if "seccomp" in made["linux"]:
            from ..host import libseccomp

            libseccomp.load()
        return []
    except ConfigError as error:
        failure: OcirunError = error
        found = [(problem.pointer, problem.line()) for problem in error.problems if not problem.warning]
    except UnsupportedError as error:
        failure, found = error, [(error.pointer, error.message)]
    except HostError as error:
        if error.call != "dlopen":
            raise
        failure, found = error, [("/linux/seccomp", error.message)]
    others = [(pointer, text) for pointer, text in found if not _names([pointer], _LACKS)]
    if not others:
        lacking = _names([pointer for pointer, _ in found], _LACKS)
        if missing == LEAVE_OUT:
            return lacking
        without = f'give None (seccomp: False), or missing="{LEAVE_OUT}"'
        remedy = f"{failure.remedy}; or {without}" if failure.remedy else without
        pointer, text = found[0]
        raise UnsupportedError(f"{', '.join(lacking)}: {text}", pointer=pointer, remedy=remedy) from None
    pointer, text = others[0]
    # A mount of ours is no fault of the caller's list.
    ours = pointer.split("/")[1:3] in [["mounts", str(index)] for index in range(own_mounts)]
    names = [] if ours else _names([pointer], _PARAMETERS)
    kind = UsageError if isinstance(failure, ConfigError) else UnsupportedError
    raise kind(": ".join([*names, text]), pointer=pointer, remedy=failure.remedy) from None


def _refuse_lost_capabilities(plan: Plan) -> None:
    """Raise UnsupportedError for capabilities that a container would go without, with a warning only."""
    for problem in plan.warnings:
        if problem.pointer.startswith("/process/capabilities"):
            raise UnsupportedError(problem.line(), pointer=problem.pointer)


def _names(pointers: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """Return the parameters behind pointers into the config, each once."""
    found = [name for pointer in pointers for place, name in places.items() if f"{pointer}/".startswith(f"{place}/")]
    return list(dict.fromkeys(found))


def _directory(rootfs: object) -> str:
    """Return the absolute path of the root file system.  Raises UsageError, HostError where it is no directory."""
    path = os.path.abspath(parameters.text("rootfs", os.fspath(rootfs) if hasattr(rootfs, "__fspath__") else rootfs))
    try:
        status = os.stat(path)
    except OSError as error:
        raise HostError.from_os(f"rootfs: {path}", error, call="stat") from None
    if status.st_mode & 0o170000 != 0o040000:
        raise UsageError(f"rootfs: {path} is not a directory")
    return path


def _program(args: object) -> list[str]:
    found = parameters.words("args", args)
    if not found or not found[0]:
        raise parameters.wrong("args", "a program and its arguments", args)
    return found


def _absolute(cwd: object) -> str:
    path = parameters.text("cwd", cwd)
    if not path.startswith("/"):
        raise parameters.wrong("cwd", "an absolute path", cwd)
    return path


def _mounts(mounts: object) -> list[dict[str, Any]]:
    if isinstance(mounts, (list, tuple)) and all(hasattr(one, "items") for one in mounts):
        # Whole, so that a change of the config is none of what the caller has given.
        return [dict(copy.deepcopy(one)) for one in mounts]
    raise parameters.wrong("mounts", "a list of dicts", mounts)


def _upper(disk: object, inodes: object) -> Upper | None:
    """Return the layer for what is written; the files of the image belong to the ids inside, who are others outside."""
    size, count = parameters.optional("disk", disk), parameters.optional("disk_inodes", inodes)
    if size is not None:
        return Upper(size, count, idmap=facts.privileged())
    if count is not None:
        raise UsageError("disk_inodes: is for a root that may be written to, whose size `disk` gives")
    return None


def _ids(ids: object) -> Span | None:
    if ids is None:
        return None
    first, count = parameters.pair("ids", ids, most=_LAST_ID)
    if not count or first + count - 1 > _LAST_ID:
        raise parameters.wrong("ids", "a first id and the number of ids, all below 4294967295", ids)
    return first, count
