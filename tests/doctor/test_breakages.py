"""A dozen hosts on which something is broken: the doctor names what refuses, and the command that mends it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from check.rootfs import make

from .stage import AS_NOBODY, CHROOT, CLONE3, MOUNT_SETATTR, NOBODY, ROOM, SETHOSTNAME, UNSHARE, Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any


EPERM, ENOSYS = 1, 38
# A user namespace with ids enough for two users, in which root may do what it may to itself.
NESTED = "--user --map-root-user --mount"
NO_USER_NAMESPACES = "echo 0 >/proc/sys/user/max_user_namespaces; "


@pytest.fixture
def stage(open_program: str, open_directory: Path) -> Stage:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Stage(open_program, open_directory / "state")


def test_nothing_is_broken(stage: Stage) -> None:
    found = stage.look()
    assert (found.status, found.record["ready"], found.missing()) == (0, True, set())
    assert found.check("mounts", "change of root")["verdict"] == "ok"
    assert os.listdir(stage.root) == []


@pytest.mark.parametrize("by", ["", AS_NOBODY])
def test_nothing_is_changed(stage: Stage, by: str) -> None:
    seen = "cat /proc/self/mountinfo; find /sys/fs/cgroup -name '*doctor*'; hostname; ls /proc/self/ns"
    look = f"{by} {stage.program} --root {stage.root} doctor >/dev/null || [ $? = 1 ]"
    script = f'before=$({seen}); {look}; [ "$before" = "$({seen})" ]'
    done = subprocess.run(["unshare", "--mount", "sh", "-ec", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not stage.root.exists()


def test_for_an_ordinary_user(stage: Stage) -> None:
    found = stage.look(by=AS_NOBODY)
    assert (found.status, found.missing()) == (0, set())
    assert found.check("namespaces", "mount")["verdict"] == "refused"
    assert "needs CAP_SYS_ADMIN" in found.check("namespaces", "mount")["note"]
    assert found.check("mounts", "proc")["verdict"] == "untried"
    assert found.check("with a user namespace", "user") == {
        "group": "with a user namespace", "name": "user", "verdict": "ok", "needed": True,
        "note": "", "remedy": "", "call": "", "errno": 0,
    }  # fmt: skip


def test_user_namespaces_off_by_sysctl(stage: Stage) -> None:
    # Of the namespace of the stage; the host has its own.
    without = "setpriv --bounding-set -sys_admin"
    found = stage.look(NO_USER_NAMESPACES, by=without, namespaces=NESTED)
    check = found.check("with a user namespace", "user")
    assert (check["verdict"], check["note"]) == ("refused", "user.max_user_namespaces is 0")
    assert check["remedy"] == "`sysctl user.max_user_namespaces=10000`, as root"
    assert check["call"] == "clone3"
    assert found.status == 1
    assert ("with a user namespace", "user") in found.missing()
    assert found.check("ids", "own ids")["verdict"] == "untried"


def test_one_kind_of_namespace_off_by_sysctl(stage: Stage) -> None:
    found = stage.look("echo 0 >/proc/sys/user/max_net_namespaces; ", namespaces=NESTED)
    assert found.check("namespaces", "network")["note"] == "user.max_net_namespaces is 0"
    assert found.check("namespaces", "ipc")["verdict"] == "ok"
    # The limits of the namespace above count in the one below, too.
    assert found.check("with a user namespace", "network")["note"] == "user.max_net_namespaces is 0"
    assert found.check("mounts", "sysfs")["verdict"] == "untried"
    assert found.check("mounts", "change of root")["verdict"] == "ok"
    assert found.missing() == {("namespaces", "network"), ("mounts", "sysfs"), ("program", "loopback")}


def test_nested_without_privilege(stage: Stage) -> None:
    # As in an engine's container: no CAP_SYS_ADMIN, and parts of /proc are masked.
    masked = "mount --bind /dev/null /proc/cpuinfo; "
    found = stage.look(masked, by="setpriv --bounding-set -sys_admin")
    assert "needs CAP_SYS_ADMIN" in found.check("namespaces", "mount")["note"]
    check = found.check("mounts in a user namespace", "proc")
    assert check["verdict"] == "refused"
    assert "parts of /proc are masked here (/proc/cpuinfo)" in check["note"]
    assert "systempaths=unconfined" in check["remedy"]
    assert ("mounts in a user namespace", "proc") in found.missing()
    assert ("mounts in a user namespace", "tmpfs") not in found.missing()


def test_no_delegation(stage: Stage) -> None:
    found = stage.look(by=AS_NOBODY)
    check = found.check("cgroups", "groups")
    assert check["verdict"] == "refused"
    assert "none is delegated to nobody" in check["note"]
    assert "chown" in check["remedy"] or "Delegate=yes" in check["remedy"]
    # A container without limits does without.
    assert not check["needed"]


def test_state_root_with_noexec(stage: Stage) -> None:
    found = stage.look(f"mount -t tmpfs -o noexec,mode=700 tmpfs {stage.root}; ")
    check = found.check("rest", "state root")
    assert (check["verdict"], check["note"]) == ("ok", f"{stage.root}; noexec there does no harm")
    assert found.status == 0


def test_state_root_that_is_read_only(stage: Stage) -> None:
    found = stage.look(f"mount -t tmpfs -o ro,mode=700 tmpfs {stage.root}; ")
    assert f"{stage.root} is on a file system that is mounted read-only" in found.check("rest", "state root")["note"]
    assert found.missing() == {("rest", "state root")}


def test_state_root_of_somebody_else(stage: Stage) -> None:
    found = stage.look(f"chmod 777 {stage.root}; ")
    assert "must be the caller's own alone" in found.check("rest", "state root")["note"]
    assert found.status == 1


@pytest.mark.parametrize("errno", [EPERM, ENOSYS])
def test_outer_filter_on_clone3(stage: Stage, errno: int) -> None:
    found = stage.look(refuse=(CLONE3, errno))
    check = found.check("base", "start of a process")
    assert "the seccomp filter that ocirun runs under refuses clone3" in check["note"]
    assert "--security-opt seccomp=" in check["remedy"]
    assert (check["errno"], check["needed"], found.status) == (errno, True, 1)


def test_outer_filter_on_unshare(stage: Stage) -> None:
    found = stage.look(namespaces="", refuse=(UNSHARE, EPERM))
    check = found.check("namespaces", "cgroup")
    assert check["note"] == "the seccomp filter that ocirun runs under refuses unshare (EPERM)"
    assert found.check("namespaces", "mount")["verdict"] == "ok"


def test_outer_filter_that_kills(stage: Stage) -> None:
    found = stage.look(namespaces="", refuse=(UNSHARE, 0))
    check = found.check("namespaces", "time")
    assert check["note"] == "a seccomp filter that ocirun runs under kills for it"
    assert found.check("namespaces", "uts")["verdict"] == "ok"


def test_hidepid_that_is_harmless(stage: Stage) -> None:
    script = "mount -t proc -o hidepid=invisible proc /proc; "
    found = stage.look(script, by=AS_NOBODY, namespaces="--mount --pid")
    assert "hidepid=invisible, which hides others' processes" in found.check("base", "procfs")["note"]
    assert found.status == 0


def test_hidepid_that_hides_our_own(stage: Stage) -> None:
    # The group 0 is always shown everything (proc(5), gid=).
    without = f"setpriv --regid {NOBODY} --clear-groups --bounding-set -sys_ptrace"
    script = "mount -t proc -o hidepid=invisible proc /proc; "
    found = stage.look(script, by=without, namespaces="--mount --pid")
    check = found.check("mounts", "first process in /proc")
    assert "/proc is mounted with hidepid=invisible and does not show" in check["note"]
    assert "hidepid=0" in check["remedy"]
    assert found.missing() == {("mounts", "first process in /proc")}


def test_no_newuidmap(stage: Stage) -> None:
    found = stage.look("mount --bind /dev/null /usr/bin/newuidmap; ", by=AS_NOBODY)
    check = found.check("ids", "a range of ids")
    assert check["note"] == "/usr/bin/newuidmap is not there"
    assert "uidmap" in check["remedy"]
    assert found.status == 0


@pytest.mark.parametrize(("more", "verdict"), [("", "ok"), (" --no-new-privs", "refused")])
def test_a_range_of_ids(stage: Stage, more: str, verdict: str) -> None:
    found = stage.look(_ranges("nobody:200000:65536"), by=AS_NOBODY + more)
    check = found.check("ids", "a range of ids")
    assert check["verdict"] == verdict, check
    assert ("200000 to 265535, by newuidmap" if verdict == "ok" else "no_new_privs") in check["note"]


def test_range_of_somebody_else(stage: Stage) -> None:
    found = stage.look(_ranges("somebody:200000:65536"), by=AS_NOBODY)
    check = found.check("ids", "a range of ids")
    assert check["note"] == "/etc/subuid gives none to nobody"
    assert check["remedy"].startswith("`usermod --add-subuids ")


def test_ranges_that_newuidmap_alone_may_read(stage: Stage) -> None:
    """That a file is closed does not say that it gives nothing."""
    found = stage.look(_ranges("nobody:200000:65536") + "chmod 600 /mnt/ids; ", by=AS_NOBODY)
    check = found.check("ids", "a range of ids")
    assert check["verdict"] == "untried"
    assert check["note"].startswith("/etc/subuid is closed, or ")


def _ranges(line: str) -> str:
    files = " ".join(f"mount --bind /mnt/ids /etc/sub{kind};" for kind in ("uid", "gid"))
    return f"{ROOM} echo {line} >/mnt/ids; {files} "


def test_ids_of_a_bundle_that_are_not_mine(stage: Stage, open_directory: Path) -> None:
    bundle = _bundle(open_directory)
    maps = [{"containerID": 0, "hostID": 500000, "size": 65536}]
    bundle["linux"]["namespaces"].append({"type": "user"})
    bundle["linux"] |= {"uidMappings": maps, "gidMappings": maps}
    (open_directory / "config.json").write_text(json.dumps(bundle))
    found = stage.look(_ranges("nobody:200000:65536"), str(open_directory), by=AS_NOBODY)
    assert found.status == 1
    ((pointer, message),) = found.errors()
    assert pointer == "/linux/uidMappings/0/hostID"
    assert "the ids 500000 to 565535 are not given to nobody in /etc/subuid, which has: 200000 to 265535" in message
    assert "`usermod --add-subuids 500000-565535 nobody`" in message


def test_program_on_a_mount_with_noexec(stage: Stage, open_directory: Path) -> None:
    (open_directory / "config.json").write_text(json.dumps(_bundle(open_directory)))
    rootfs = open_directory / "rootfs"
    script = f"mount --bind {rootfs} {rootfs}; mount -o remount,bind,noexec {rootfs}; "
    found = stage.look(script, str(open_directory))
    assert found.errors() == [("/process/args/0", "/bin/true: is on a mount with noexec, the root file system")]
    assert (found.status, found.missing()) == (1, set())
    assert stage.look("", str(open_directory)).record["ready"]


def test_bundle_that_needs_what_is_refused(stage: Stage, open_directory: Path) -> None:
    bundle = _bundle(open_directory)
    bundle["linux"]["resources"] = {"pids": {"limit": 5}}
    (open_directory / "config.json").write_text(json.dumps(bundle))
    found = stage.look("", str(open_directory), by=AS_NOBODY)
    assert {("namespaces", "mount"), ("namespaces", "pid"), ("mounts", "change of root")} <= found.missing()
    assert ("cgroups", "groups") in found.missing()
    assert ("mounts", "tmpfs") not in found.missing()
    assert "only root can make a container" in str(found.errors())


def _bundle(top: Path) -> dict[str, Any]:
    """Return a config; its rootfs is made in `top`."""
    make(top / "rootfs")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["/bin/true"], "user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
    }


def test_cgroups_read_only(stage: Stage) -> None:
    script = (
        "for one in $(grep -o ' /sys/fs/cgroup[^ ]*' /proc/self/mountinfo); do mount -o remount,bind,ro $one; done; "
    )
    found = stage.look(script)
    check = found.check("cgroups", "groups")
    assert "is mounted read-only" in check["note"]
    assert "`mount -o remount,rw /sys/fs/cgroup" in check["remedy"]
    assert found.missing() == {("cgroups", "groups")}


def test_no_cgroups_mounted(stage: Stage) -> None:
    found = stage.look("umount -R /sys/fs/cgroup; ")
    check = found.check("cgroups", "hierarchy")
    assert check["note"] == "no cgroup file system is mounted"
    assert "`mount -t cgroup2 cgroup2 /sys/fs/cgroup`" in check["remedy"]
    assert found.missing() == {("cgroups", "hierarchy"), ("cgroups", "groups")}


@pytest.mark.parametrize(
    ("capability", "name"),
    [("net_admin", "loopback"), ("mknod", "devices"), ("setgid", "groups"), ("setpcap", "capabilities")],
)
def test_root_without_one_capability(stage: Stage, capability: str, name: str) -> None:
    found = stage.look(by=f"setpriv --bounding-set -{capability}")
    assert (found.status, found.missing()) == (1, {("program", name)})
    assert f"needs CAP_{capability.upper()}, which this process has not" in found.check("program", name)["note"]
    assert f"--cap-add {capability.upper()}" in found.check("program", name)["remedy"]


def test_no_hierarchy_for_devices(stage: Stage) -> None:
    if not os.path.ismount("/sys/fs/cgroup/devices"):
        pytest.skip("needs cgroup v1")
    found = stage.look("umount /sys/fs/cgroup/devices; ")
    assert (found.status, found.missing()) == (1, {("cgroups", "groups")})
    assert found.check("cgroups", "groups")["note"] == "no hierarchy has the controller devices"
    assert stage.look("umount /sys/fs/cgroup/devices; ", by=AS_NOBODY).status == 0


@pytest.mark.parametrize("capability", ["setuid", "setgid"])
def test_root_that_may_map_no_ids(stage: Stage, capability: str) -> None:
    check = stage.look(by=f"setpriv --bounding-set -{capability}").check("ids", "a range of ids")
    assert check["note"] == f"needs CAP_{capability.upper()}, which this process has not"  # and is no ordinary user
    assert f"--cap-add {capability.upper()}" in check["remedy"]


@pytest.mark.parametrize("by", ["", AS_NOBODY])
def test_no_devices_on_the_host(stage: Stage, by: str) -> None:
    group = "program in a user namespace" if by else "program"
    found = stage.look("mount -t tmpfs none /dev; ", by=by)
    assert found.status == 1
    assert (group, "hidden files") in found.missing()
    assert ((group, "devices") in found.missing()) == bool(by)  # root makes them
    assert "/dev/null" in found.check(group, "hidden files")["note"]


def test_outer_filter_on_the_host_name(stage: Stage) -> None:
    found = stage.look(refuse=(SETHOSTNAME, EPERM))
    assert (found.status, found.missing()) == (1, {("program", "host name")})
    assert (
        "the seccomp filter that ocirun runs under refuses sethostname" in found.check("program", "host name")["note"]
    )


def test_mounts_whose_options_cannot_be_set(stage: Stage) -> None:
    found = stage.look(refuse=(MOUNT_SETATTR, ENOSYS))
    assert (found.status, found.missing()) == (1, {("mounts", "bind")})


def test_groups_that_a_user_namespace_forbids(stage: Stage) -> None:
    found = stage.look(namespaces=NESTED)
    assert (found.status, found.missing()) == (0, set())


def test_state_root_without_room(stage: Stage) -> None:
    script = f"mount -t tmpfs -o size=4k,mode=700 none {stage.root}; echo x >{stage.root}/x; "
    found = stage.look(script)
    assert (found.status, found.missing()) == (1, {("rest", "state root")})
    assert "has no room left" in found.check("rest", "state root")["note"]


def test_chroot(stage: Stage) -> None:
    found = stage.look(CHROOT, by="chroot /mnt/root")
    check = found.check("mounts", "change of root")
    assert "the root directory is a plain directory (chroot)" in check["note"]
    assert "mount --bind" in check["remedy"]
    assert found.missing() == {("mounts", "change of root"), ("mounts", "terminal"), ("program", "devices")}
    check = found.check("with a user namespace", "user")
    assert "(chroot), or an initramfs, in which the kernel makes no user namespace" in check["note"]


def test_no_procfs(stage: Stage) -> None:
    found = stage.look("umount -R /proc; ")
    assert found.missing() == {("base", "procfs")}
    assert found.status == 1
