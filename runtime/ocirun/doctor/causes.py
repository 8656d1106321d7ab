"""From a refused system call to what refused it, and the command that mends that.  Pure."""

from __future__ import annotations

from _signal import SIGSYS
from errno import EACCES, EINVAL, ENODEV, ENOSPC, ENOSYS, EPERM, EUSERS, errorcode

from ..errors import errno_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt import Failure
    from .situation import Situation

OLDEST_KERNEL = (5, 14)

Cause = tuple[str, str]

CHROOT = "the root directory is a plain directory (chroot), or an initramfs"
_ROOTLESS = "call it as root, or give the container a user namespace: `ocirun spec --rootless`"
_PIVOT = "pivot_root(2) in place of chroot(2): `unshare --mount`, a bind mount of the directory, `pivot_root`"
_FILTER = "allow that call in the filter; of Docker and podman: `--security-opt seccomp=FILE`, or `=unconfined`"


def kernel_version(release: str) -> tuple[int, int]:
    """Return major and minor number of a kernel's release, (0, 0) for none that can be read."""
    major, _, rest = release.partition(".")
    minor = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def start(failure: Failure, s: Situation) -> Cause:
    """Tell why the helper, the first process of every container, cannot be started without any namespace."""
    return _filtered(failure, s) or _old(failure, s) or (failure.words, failure.remedy)


def namespace(kind: str, failure: Failure, s: Situation, *, user: bool) -> Cause:
    """Tell why a namespace cannot be made.

    user   together with a user namespace, by which one has the right to it
    """
    if failure.errno in (ENOSPC, EUSERS):
        return _limit(kind, s, user=user)
    if kind in s.absent:
        return "the kernel is built without it", ""
    return in_namespaces(failure, s, user=user)


def in_namespaces(failure: Failure, s: Situation, *, user: bool) -> Cause:
    """Tell why something that needs CAP_SYS_ADMIN over a namespace is refused."""
    if failure.errno == EPERM:
        if user and s.caller.locked:
            return s.caller.locked, s.caller.remedy
        if not user and not s.direct:
            return "needs CAP_SYS_ADMIN, which this process has not", _ROOTLESS
        if user and failure.call in ("clone3", "unshare") and not _mapped(s):
            text = f"uid {s.caller.uid} or gid {s.caller.gid} is not mapped in the user namespace that ocirun runs in"
            return text, "call it as a user that /proc/self/uid_map has"
        if user and failure.call in ("clone3", "unshare") and not s.rooted:
            return f"{CHROOT}, in which the kernel makes no user namespace", _PIVOT
    return _filtered(failure, s) or _old(failure, s) or _confined(failure, s) or (failure.words, failure.remedy)


def mount(kind: str, failure: Failure, s: Situation, *, user: bool) -> Cause:
    """Tell why a file system cannot be mounted, or the root not be changed."""
    if failure.errno == ENODEV and failure.call == "fsopen":
        return f"the kernel has no file system {kind}", f"`modprobe {kind}`, as root"
    if failure.errno == EINVAL and not s.rooted and failure.call in ("mount", "pivot_root"):
        return f"{CHROOT}, and no mount", "make it one: `mount --bind DIR DIR` before chroot(2), or pivot_root(2)"
    if user and failure.errno == EPERM and kind in ("proc", "sysfs") and not s.caller.locked:
        top = "/proc" if kind == "proc" else "/sys"
        hidden = [path for path in s.covered if path.startswith(top + "/")]
        if hidden:
            more = f" and {len(hidden) - 3} more" if len(hidden) > 3 else ""
            text = f"parts of {top} are masked here ({', '.join(hidden[:3])}{more}), so that none can be mounted anew"
            return text, f"unmask them (`--security-opt systempaths=unconfined`), or bind {top} with rbind"
    return in_namespaces(failure, s, user=user)


def lacks(capability: str) -> Cause:
    """Tell of a capability that this process has not."""
    short = capability.removeprefix("CAP_")
    remedy = f"give it to ocirun: `--cap-add {short}` of Docker and podman, CapabilityBoundingSet= of systemd"
    return f"needs {capability}, which this process has not", remedy


def _limit(kind: str, s: Situation, *, user: bool) -> Cause:
    for each in ("user", kind) if user else (kind,):
        sysctl, value = s.limits.get(each, ("", ""))
        if value == "0":
            return f"{sysctl} is 0", f"`sysctl {sysctl}=10000`, as root"
    sysctl = s.limits.get("user" if user else kind, (f"user.max_{kind}_namespaces", ""))[0]
    text = f"a limit is reached: {sysctl} here or in a user namespace above, or 32 levels of user namespaces"
    return text, f"`sysctl {sysctl}=10000`, as root of the host"


def _filtered(failure: Failure, s: Situation) -> Cause | None:
    """Tell of a seccomp filter that this process runs under: the kernel does not."""
    if failure.signal == SIGSYS:
        return "a seccomp filter that ocirun runs under kills for it", _FILTER
    if s.filtered and failure.call and failure.errno in (EPERM, EACCES, ENOSYS):
        text = f"the seccomp filter that ocirun runs under refuses {failure.call} ({errorcode[failure.errno]})"
        return text, _FILTER
    return None


def _old(failure: Failure, s: Situation) -> Cause | None:
    if failure.errno != ENOSYS or kernel_version(s.kernel) >= OLDEST_KERNEL:
        return None
    return f"Linux {s.kernel} has no {failure.call}: ocirun needs 5.14", "a newer kernel"


def _confined(failure: Failure, s: Situation) -> Cause | None:
    if failure.errno not in (EPERM, EACCES):
        return None
    if s.profile:
        text = f"the AppArmor profile {s.profile} that ocirun runs under refuses {failure.call}"
        return text, "allow it in that profile, or run ocirun unconfined: `aa-exec -p unconfined`"
    if failure.call in ("clone3", "unshare"):
        return f"{failure.call}: {errno_words(failure.errno)}: {CHROOT}, or a security module refuses it", _PIVOT
    return None


def _mapped(s: Situation) -> bool:
    spans = ((s.caller.uid, s.caller.uid_map), (s.caller.gid, s.caller.gid_map))
    return all(any(first <= own < first + count for first, count in known) for own, known in spans)
