"""Labels of security modules: AppArmor profile and SELinux context of the program, contexts of keys and mounts.

The labels of the program are written by the helper itself, as the kernel lets
a task write its own attributes only, through the host's procfs: what the
container shows as /proc has no say.  They take effect at execve(2) and pass to
children, so for `exec` they are written before the process can be seen.
"""

from __future__ import annotations

from ...errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..builder import Builder
    from .options import MountOptions

# File systems that share one superblock or get their labels from the policy: no context= for them.
_WITHOUT_CONTEXT = frozenset(
    (
        *("proc", "sysfs", "mqueue", "cgroup", "cgroup2", "securityfs", "selinuxfs"),
        *("debugfs", "tracefs", "configfs", "pstore", "efivarfs", "binfmt_misc"),
    )
)
_CONTEXTS = ("context", "fscontext", "defcontext", "rootcontext")
MOUNT_LABEL = "/linux/mountLabel"


def wanted(builder: Builder) -> bool:
    """Return whether the program has a label."""
    return bool(builder.process.get("apparmorProfile") or builder.process.get("selinuxLabel"))


def for_program(builder: Builder) -> None:
    """Plan AppArmor profile and SELinux context, for execve(2); needs the slot ``proc``.

    Raises UnsupportedError where the host does not have the module.
    """
    profile, label = builder.process.get("apparmorProfile"), builder.process.get("selinuxLabel")
    if profile:
        pointer = "/process/apparmorProfile"
        if not builder.facts.apparmor:
            raise _missing(pointer, "AppArmor")
        path = f"thread-self/{builder.facts.apparmor}"
        builder.init("set_label", pointer, proc="proc", path=path, value=f"exec {profile}")
    if label:
        pointer = "/process/selinuxLabel"
        _need_selinux(builder, pointer)
        builder.init("set_label", pointer, proc="proc", path="thread-self/attr/exec", value=label)


def for_keyring(builder: Builder) -> None:
    """Give the session keyring the context of the program; execve(2) ends that.  Needs the slot ``proc``."""
    label = builder.process.get("selinuxLabel")
    if label:
        pointer = "/process/selinuxLabel"
        _need_selinux(builder, pointer)
        builder.init("set_label", pointer, proc="proc", path="thread-self/attr/keycreate", value=label)


def mount_context(builder: Builder, fstype: str, parsed: MountOptions | None = None) -> str:
    """Return the context of ``linux.mountLabel`` for a new file system, or "".

    "" for types that take none, and where the options of the mount say more than mountLabel does.
    Raises UnsupportedError where the host has no SELinux.
    """
    label: str = builder.linux.get("mountLabel") or ""
    if not label:
        return ""
    _need_selinux(builder, MOUNT_LABEL)
    if fstype in _WITHOUT_CONTEXT or (parsed and any(parsed.data_value(key)[0] for key in _CONTEXTS)):
        return ""
    return label


def label_root(builder: Builder, fstype: str, slot: str) -> None:
    """Label the root of an mqueue, which takes no option for it but an extended attribute."""
    if fstype == "mqueue" and builder.linux.get("mountLabel"):
        builder.init("set_file_label", MOUNT_LABEL, slot=slot, label=builder.linux["mountLabel"])


def _need_selinux(builder: Builder, pointer: str) -> None:
    if not builder.facts.selinux:
        raise _missing(pointer, "SELinux")


def _missing(pointer: str, module: str) -> UnsupportedError:
    return UnsupportedError(
        f"{pointer}: {module} is not enabled on this host",
        pointer=pointer,
        remedy=f"leave {pointer.rpartition('/')[2]} out, or boot the host with {module}",
    )
