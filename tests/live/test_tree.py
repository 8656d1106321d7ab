"""A mount namespace of the root file system alone: whole containers, on a kernel that makes one.

An older kernel has the one call answered in its place.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ocirun.host import facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

KERNEL = [sys.executable, str(Path(__file__).with_name("tree_kernel.py"))]
OF_THE_KERNEL = facts.tree_namespace()


def run(live: Case, bundle: Bundle, *options: str) -> tuple[list[str], bool]:
    """What the program says, and if it was entered by a namespace of its root."""
    bundle.save()
    command = ("run", *options, "--bundle", bundle.path, bundle.id)
    if OF_THE_KERNEL:
        planned = "the mount namespace that begins with" in live.command("explain", "--bundle", bundle.path).ok().out
        return live.command(*command).ok().out.splitlines(), planned
    result = live.command_in(KERNEL, *command).ok()
    tree = result.err.rpartition("trees:")[2].strip()
    assert tree in ("", bundle.rootfs)
    return result.out.splitlines(), bool(tree)


def the_old_way(live: Case, bundle: Bundle) -> list[str]:
    """What the same program says when the namespace is a copy of the caller's, as hooks would have it."""
    bundle.hook("createContainer", "true")
    lines, entered = run(live, bundle)
    assert not entered
    return lines


def with_sources(live: Case, script: str) -> Bundle:
    bundle = live.shell(script)
    os.makedirs(f"{live.dir}/source/below")
    Path(f"{live.dir}/source/file").write_text("kept\n", encoding="ascii")
    live.mount("below", f"{live.dir}/source/below", "tmpfs")
    Path(f"{live.dir}/source/below/inner").touch()
    bundle.mount("/m", f"{live.dir}/source", "rbind", "ro")
    bundle.mount("/own", f"{bundle.rootfs}/bin", "bind")
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/acpi", "/etc/group"]
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    return bundle


SCRIPT = (
    "cat /m/file; ls /m/below; touch /m/x 2>/dev/null || echo closed; test -x /own/sh && echo own;"
    "wc -c < /etc/group; echo x > /proc/sys/kernel/hostname 2>/dev/null || echo read-only;"
    "cd /; cat /proc/self/mountinfo"
)


def test_what_the_program_finds(live: Case) -> None:
    bundle = with_sources(live, SCRIPT)
    lines, entered = run(live, bundle)
    assert entered
    assert lines[:6] == ["kept", "inner", "closed", "own", "0", "read-only"]
    seen = [line.split()[4] for line in lines[6:]]
    assert seen[0] == "/", "programs like CRIU take the mounts in the order in which they were made"
    other = [line.split()[4] for line in the_old_way(live, bundle) if " - " in line]
    assert sorted(seen) == sorted(other), "the same mounts as with a change of root"
    assert os.path.exists(f"{live.dir}/source/below/inner")


def test_nothing_reaches_the_host(live: Case) -> None:
    """The root lies on a shared mount, and the program may mount."""
    before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    bundle = live.shell("mount -t tmpfs mine /mnt && grep -c mine /proc/self/mountinfo; ls /.. | wc -l; ls / | wc -l")
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"].setdefault(kind, []).append("CAP_SYS_ADMIN")
    lines, entered = run(live, bundle)
    assert entered
    assert lines[0] == "1"
    assert lines[1] == lines[2]
    live.assert_clean()
    assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("word", ["", "rprivate", "rslave"])
def test_nothing_reaches_the_sources_on_the_host(live: Case, word: str) -> None:
    """They lie on shared mounts, too: /dev/null of the masked paths, the bound directory, and the mount in it."""
    script = (
        "mount --bind /bin/sh /etc/group && mount -t tmpfs mine /m/below && mount -t tmpfs mine /m/empty &&"
        "umount /m/below && umount /m/below && grep -c ' /m/' /proc/self/mountinfo"
    )
    bundle = with_sources(live, script)
    for name in ("empty", "late"):
        os.mkdir(f"{live.dir}/source/{name}")
    bundle.mounts[-2]["options"].remove("ro")
    bundle.mount("/m/late", "tmpfs", kind="tmpfs")
    if word:
        bundle.linux["rootfsPropagation"] = word
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"].setdefault(kind, []).append("CAP_SYS_ADMIN")
    before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    lines, entered = run(live, bundle)
    assert entered
    assert lines == ["2"]
    assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_exec_and_the_hook_inside(live: Case, options: tuple[str, ...]) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.hook("startContainer", "touch /hooked")
    _, entered = run(live, bundle, "--detach", *options)
    assert entered
    assert sorted(live.command("exec", bundle.id, "/bin/ls", "/").ok().out.split()) == sorted(os.listdir(bundle.rootfs))
    assert os.path.exists(f"{bundle.rootfs}/hooked")
    live.delete(bundle, "--force")
    live.assert_clean()


def test_hooks_before_the_change_of_root_have_the_old_way(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("createContainer", f"ls {bundle.rootfs} /usr > {live.dir}/seen")
    _, entered = run(live, bundle)
    assert not entered
    assert "bin" in Path(f"{live.dir}/seen").read_text(encoding="utf-8")


def test_a_file_system_of_paths_of_the_host_has_the_old_way(live: Case) -> None:
    bundle = live.shell("cat /mnt/file")
    for name in ("lower", "upper", "work"):
        os.mkdir(f"{live.dir}/{name}")
    Path(f"{live.dir}/lower/file").write_text("below\n", encoding="ascii")
    places = [f"lowerdir={live.dir}/lower", f"upperdir={live.dir}/upper", f"workdir={live.dir}/work"]
    bundle.mount("/mnt", "overlay", *places, kind="overlay")
    assert run(live, bundle) == (["below"], False)
