"""--no-pivot: no procfs or sysfs of the host may be left in the mount namespace of the container.

A user namespace may mount a procfs where the mount namespace has a whole one already (mount_too_revealing in
fs/namespace.c), wherever that is mounted and whatever covers the way to it.
"""

from __future__ import annotations

import pytest

from . import kernel
from .users import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .bundles import Bundle
    from .case import Case
    from .process import Result

REVEAL = (
    "unshare -mrpf sh -c 'mount -t proc none /proc && echo PROC'; "
    "unshare -mrpfn sh -c 'mount -t sysfs none /sys && echo SYSFS'; echo end"
)

LAYOUTS = {
    "one": "true",
    "second": "mkdir -p $D/p; mount -t proc proc $D/p; mkdir -p $D/s; mount -t sysfs sysfs $D/s",
    "stacked": "mount -t proc proc /proc; mount -t proc proc /proc; "
    "mkdir -p $D/k; mount --rbind /sys $D/k; mount -t sysfs sysfs /sys; mount --move $D/k /sys",
    "covered": "mkdir -p $D/a/p $D/a/s; mount -t proc proc $D/a/p; mount -t sysfs s $D/a/s; mount -t tmpfs t $D/a",
    "covered twice": "mkdir -p $D/a/b/p; mount -t proc proc $D/a/b/p; mount -t tmpfs t $D/a/b; mount -t tmpfs t $D/a",
    "in a root": "mkdir -p $D/r; mount -t tmpfs t $D/r; mkdir -p $D/r/proc; mount -t proc proc $D/r/proc",
    "under the root": "mkdir -p $B/rootfs/x; mount -t proc proc $B/rootfs/proc; mount --bind $B/rootfs $B/rootfs",
    "part of one": "mkdir -p $D/p; mount --bind /proc/sys $D/p",
    "read-only": "mkdir -p $D/p; mount -t proc -o ro proc $D/p",
    "odd name": "mkdir -p $D/a\\ b; mount -t proc proc $D/a\\ b; mkdir -p '$D/c\\n'; mount -t proc proc '$D/c\\n'",
}


def mountinfo() -> str:
    """The mounts of this session, which plays the host."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return file.read()


def masked(live: Case, script: str) -> Bundle:
    """A bundle whose own procfs and sysfs are covered in part, so that they let nobody mount another."""
    bundle = live.shell(script)
    bundle.mount("/sys", "sysfs", "ro", kind="sysfs")
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/sys/kernel"]
    return bundle


def run(live: Case, bundle: Bundle, layout: str, *options: str, propagation: str = "private") -> Result:
    """`run` in a mount namespace of its own, in which `layout` is set up first."""
    bundle.save()
    script = layout.replace("$D", live.dir).replace("$B", bundle.path) + '; exec "$@"'
    unshare = ["unshare", "-m", "--propagation", propagation, "sh", "-ec", script, "sh"]
    return live.command_in(unshare, "run", "--bundle", bundle.path, *options, bundle.id)


@pytest.mark.parametrize("propagation", ["", "shared"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_no_mount_of_the_host_is_left(live: Case, name: str, propagation: str) -> None:
    bundle = masked(live, REVEAL + "; cat /proc/self/mountinfo | wc -l")
    if propagation:
        bundle.linux["rootfsPropagation"] = propagation
    if (name, propagation) == ("stacked", "shared"):  # no longer private, it may be the host's: see below
        run(live, bundle, LAYOUTS[name], "--no-pivot").failed("shared with the host")
        return
    pivoted = run(live, bundle, LAYOUTS[name]).ok().out
    assert pivoted.startswith("end\n")
    assert run(live, bundle, LAYOUTS[name], "--no-pivot").ok().out == pivoted


def test_the_host_keeps_its_mounts(live: Case) -> None:
    # The mounts of this session are shared, as those of a host with systemd are.
    bundle = masked(live, "echo end")
    bundle.linux["rootfsPropagation"] = "rshared"
    assert live.run(bundle, "--no-pivot").ok().out == "end\n"
    live.assert_clean()


def test_stacked_mounts_shared_with_the_host(live: Case) -> None:
    # The upper of two mounts cannot be taken off without the host's going too: refused, and nothing is lost.
    bundle = live.bundle()
    bundle.linux["rootfsPropagation"] = "shared"
    kernel.mount("proc", "/proc", "proc")
    try:
        before = mountinfo()
        live.run(bundle, "--no-pivot").failed("/proc", "shared")
        assert mountinfo() == before
    finally:
        kernel.umount("/proc")


def test_runtime_in_a_chroot(live: Case) -> None:
    # The mounts of the chroot are not all there are.
    bundle = masked(live, REVEAL)
    layout = "mkdir -p $D/h; mount --rbind / $D/h; umount -l $D/h/proc; mount -t proc proc $D/h/proc"
    bundle.save()
    script = layout.replace("$D", live.dir) + f'; exec chroot {live.dir}/h "$@"'
    unshare = ["unshare", "-m", "--propagation", "private", "sh", "-ec", script, "sh"]
    result = live.command_in(unshare, "run", "--no-pivot", "--bundle", bundle.path, bundle.id)
    assert result.ok().out == "end\n"


@pytest.mark.parametrize("name", ["one", "second", "stacked"])
def test_in_a_user_namespace(live: Case, name: str) -> None:
    # There the kernel holds the mounts of the host fast: they are covered.
    bundle = masked(live, REVEAL)
    bundle.user_namespace()
    assert run(live, bundle, LAYOUTS[name], "--no-pivot").ok().out == "end\n"


def test_covered_in_a_user_namespace(live: Case) -> None:
    # What can neither be taken off nor reached is a reason to refuse.
    bundle = masked(live, REVEAL)
    bundle.user_namespace()
    run(live, bundle, LAYOUTS["covered"], "--no-pivot").failed("--no-pivot", f"{live.dir}/a/p")
    live.assert_clean()


@pytest.fixture
def user(live: Case) -> Iterator[User]:
    """An ordinary user of the host."""
    made = User(live)
    yield made
    made.close()


def test_ordinary_user(user: User) -> None:
    bundle = user.bundle(REVEAL)
    bundle.linux["maskedPaths"] = ["/proc/kcore"]
    assert user.make("run", bundle, "--no-pivot").ok().out == "end\n"
