"""Know what usually is the matter when an operation of the helper fails, and what to do."""

from __future__ import annotations

import os
from errno import (
    EACCES,
    EEXIST,
    EFBIG,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOSYS,
    ENOTDIR,
    ENOTSUP,
    EPERM,
    EROFS,
    ESRCH,
    EXDEV,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..plan.ops import Op, Plan


_LAYERS = "a root that begins from a snapshot needs Linux 6.7, and its layers must be there"
_STRANGERS = "it has files of an id that is not mapped in the user namespace, and which nobody in there can give them"
# What usually is the matter, by operation, call and errno: another call of the same operation has other reasons.
_REMEDIES = {
    ("clone_tree", "open_tree", ENOENT): "make the source, or correct it",
    ("clone_tree", "open_tree", EINVAL): "in a user namespace a directory with mounts below it can be bound by "
    "rbind only",
    # The operation's own look at what it has opened; where the call was openat2, it is a directory on the way.
    ("open_path", "statx", ENOTDIR): "source and destination must both be directories or both be files",
    ("make_link", "readlinkat", EEXIST): "what is at the destination already is not that link: remove it, or choose "
    "another destination",
    ("open_path", "statx", EACCES): "the source of the bind is there, but may not be looked at: FUSE shows its files "
    "to its own user only, NFS none to root, unless they are told otherwise",
    ("new_filesystem", "fsopen", ENODEV): "the kernel has no such file system type",
    ("set_scheduler", "sched_setattr", EPERM): "in a cgroup v1 cpu group a real-time policy needs "
    "resources.cpu.realtimeRuntime",
    ("set_label", "write", ENOENT): "the profile must be loaded; see `aa-status`",
    ("set_label", "write", EINVAL): "the security module does not take this label; see `seinfo -t` or `aa-status`",
    ("set_label", "write", EACCES): "the policy does not let the runtime's own domain choose this label",
    ("set_label", "openat2", EXDEV): "something is mounted over a file of the host's /proc",
    ("set_memory_policy", "set_mempolicy", EINVAL): "the nodes must exist and be in the cpuset; see "
    "`numactl --hardware`. MPOL_PREFERRED_MANY came with Linux 5.15, MPOL_WEIGHTED_INTERLEAVE with 6.9",
    ("set_memory_policy", "set_mempolicy", ENOSYS): "the kernel is built without NUMA",
    ("set_personality", "personality", EINVAL): "LINUX32 needs a processor that runs 32-bit programs, as not all "
    "for arm64 do",
    ("unmount", "mount", EINVAL): "nothing is mounted there: the container has taken it off itself, or leads elsewhere "
    "by a link",
    ("copy_up", "sendfile", EINVAL): "files of procfs cannot be copied: choose a directory without them",
    ("copy_up", "openat", EACCES): "the container's root may not read all that is in it; in a user namespace what an "
    "id outside of it owns is read as anybody reads it",
    ("copy_up", "fchown", EINVAL): _STRANGERS,
    ("copy_up", "fchownat", EINVAL): _STRANGERS,
    ("copy_up", "mknodat", EPERM): "a device cannot be made: choose a directory without them",
    ("get_file", "statx", EINVAL): "a regular file is taken, and neither a device nor a fifo nor a socket",
    ("get_file", "statx", EISDIR): "name a file in it",
    ("put_file", "renameat", EISDIR): "name a file in it",
    ("put_link", "renameat", EISDIR): "a directory of the container has the name of a link: remove it first",
    ("put_directory", "openat2", ENOTDIR): "a file of the container has the name of a directory: remove it first",
    ("set_time", "utimensat", EPERM): "the directory belongs to an id that the container does not have: put what is in "
    "it by a path of its own",
    ("new_overlay", "fsopen", ENODEV): "the kernel has no overlay: `modprobe overlay`",
    ("add_layer", "fsopen", ENODEV): "the kernel has no overlay: `modprobe overlay`",
    ("add_layer", "fsconfig", EINVAL): _LAYERS,
    ("prepare_upper", "fsetxattr", ENOTSUP): "a tmpfs has the attributes that an overlay in a user namespace needs "
    "since Linux 6.6",
    ("new_overlay", "fsconfig", EPERM): "in a user namespace an overlay needs Linux 5.11",
    ("open_root", "openat", ENOENT): "root.path must be a directory, absolute or below the bundle",
    ("open_path", "mkdirat", EACCES): "make the mount point beforehand: the container's root may not write to its root "
    "file system, which others own",
    ("open_path", "mkdirat", EROFS): "make the mount point beforehand: the file system above it is read-only",
    (
        "propagate",
        "mount",
        EINVAL,
    ): "/ of this process is no mount point, as after a plain chroot: `mount --bind DIR DIR` "
    "before chroot makes it one",
    ("set_ids", "setresuid", EINVAL): "the id is not mapped in the user namespace",
    ("set_ids", "setresgid", EINVAL): "the id is not mapped in the user namespace",
    ("copy_up", "statx", ELOOP): "tmpcopyup copies trees of at most 64 levels of directories",
    (
        "find_home",
        "read",
        EFBIG,
    ): "set HOME in process.env: /etc/passwd of the container has no line of the user in its first 64 MiB",
    ("set_groups", "setgroups", EPERM): "an unprivileged user namespace has no setgroups",
    ("join_namespace", "setns", ESRCH): "the container has stopped meanwhile",
    ("join_namespace", "setns", EPERM): "who joins it needs CAP_SYS_ADMIN in the user namespace that owns it",
}


# Attributes that a user namespace may not take from a mount: bits, word, the word that would take it.
LOCKED = (
    (1, "ro", "rw"),
    (2, "nosuid", "suid"),
    (4, "nodev", "dev"),
    (8, "noexec", "exec"),
    (0xF0, "its access time mode", ""),
)


def locked(bits: int) -> str:
    """Return what to write in the options of a mount whose source has these attributes."""
    found = [f"give {kept}, or leave {taken} out" for bit, kept, taken in LOCKED[:4] if bits & bit]
    if bits & 0xF0:
        found.append("leave the word for another access time mode out")
    return "; ".join(found)


# What a user namespace may not mount (EPERM), by type.
_MOUNT_REMEDIES = {
    "proc": "where parts of the /proc of the caller are covered, a user namespace may not mount another: start the "
    "container around ocirun with `--security-opt systempaths=unconfined` (Docker), `--security-opt unmask=ALL` "
    "(podman), or `procMount: Unmasked` and `hostUsers: false` (Kubernetes)",
    "sysfs": "it needs a network namespace of the same user namespace; or bind /sys with rbind and ro",
    "mqueue": "it needs an ipc namespace of the same user namespace",
}
# Where struct sched_attr has the policy.
_POLICY = 4
_SCHED_DEADLINE = 6
# sched(7): EPERM is its answer to an affinity that leaves out a processor, too.
_DEADLINE = (
    "SCHED_DEADLINE needs CAP_SYS_NICE, and all processors of the machine or of an exclusive cpuset: "
    "resources.cpu.cpus and execCPUAffinity may leave none out"
)
_MAKES = ("open_path", "make_node", "make_link")
_MOUNT_CALLS = ("fsopen", "fsconfig", "fsmount", "mount")


def usual(op: Op, call: str, errno: int) -> str:
    """Return what the reader can do about a call that failed with `errno`; "" where that is not known."""
    if op.pointer == "/process/cwd" and errno == ENOTDIR:
        return "cwd must be a directory"
    if call in _MOUNT_CALLS and errno == EPERM and op.args.get("type") in _MOUNT_REMEDIES:
        return _MOUNT_REMEDIES[op.args["type"]]
    if op.name == "new_filesystem" and call == "fsopen" and op.args.get("type") == "bind":
        return "a bind mount is asked for by the option bind or rbind, not by the type"
    if op.name == "new_overlay" and call == "fsconfig" and errno == EINVAL and op.args.get("layers"):
        return _LAYERS  # which kernels before Linux 6.5 look at only now
    if errno == ENAMETOOLONG:
        return "a name has at most 255 bytes, a path 4095"
    if op.name == "set_scheduler" and errno == EPERM and op.args["attr"][_POLICY] == _SCHED_DEADLINE:
        return _DEADLINE
    if errno == EACCES and op.name in ("open_root", "clone_tree") and call in ("openat", "open_tree"):
        return _closed(op.args["path"])
    if op.name == "write_proc" and op.pointer.startswith("/linux/sysctl/") and errno == ENOENT:
        return _parameter(op.args["path"])
    known = _REMEDIES.get((op.name, call, errno), "")
    return known or (filtered(call) if errno in (EPERM, ENOSYS) else "")


def filtered(call: str) -> str:
    """Return what may help where a seccomp filter is around this process, as in a container; "" where none is."""
    from .._base import procfile

    if "\nSeccomp:\t2\n" not in procfile.text("/proc/self/status", 1 << 16):
        return ""
    return (
        f"the seccomp filter around ocirun may refuse {call or 'that'}: start the container around it with "
        "`--security-opt seccomp=unconfined` (Docker, podman) or `seccompProfile: {type: Unconfined}` (Kubernetes), "
        "or with a filter that allows what ocirun does"
    )


def _closed(path: str) -> str:
    from .._base.searching import closed

    found = closed(path)
    rule = "every directory above it must be searchable for the root of the user namespace"
    return f"{rule}: {found}" if found else rule


def _parameter(path: str) -> str:
    """Return the remedy for a parameter that is not there; its neighbours on the host have the same names."""
    from .._base import near, procfile

    folder, _, name = f"/proc/{path}".rpartition("/")
    meant = near.did_you_mean(name, procfile.names(folder))
    return meant or "this kernel has no such parameter, or not yet: some come with a module"


def of_program(plan: Plan, op: Op, *, by_path: bool) -> str:
    """Return what to say about a program that is not there.

    by_path   it was looked for in the directories of PATH
    """
    root = next((one.args["path"] for one in plan.ops if one.name == "open_root" and one.args["path"] != "/"), "")
    if root and _is_bare(root, plan):
        return f"{root} has no files but mount points; `ocirun bundle IMAGE DIR` makes a bundle with those of an image"
    if by_path and "search" in op.args:  # not of a program that came later, for a container made ahead
        return f"it was looked for in {op.args['search']} of the container's root file system"
    return "programs are those in the container's root file system, not the host's"


def of_hook(kind: str) -> str:
    """Return what to say about a hook whose program is not there."""
    where = "in the container" if kind == "startContainer" else "on the host"
    return f"a {kind} hook is looked for {where}; a script also needs the interpreter that its first line names"


def _is_bare(root: str, plan: Plan) -> bool:
    """Return whether a root file system has nothing in it but what a plan makes there."""
    made = {op.args["path"].strip("/").partition("/")[0] for op in plan.ops if op.name in _MAKES}
    try:
        return set(os.listdir(root)) <= made
    except OSError:
        return False
