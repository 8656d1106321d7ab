"""A mount namespace of the root file system alone: whole containers, with the one call answered in the kernel's place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case

KERNEL = [sys.executable, str(Path(__file__).with_name("tree_kernel.py"))]


def run(live: Case, bundle: Bundle, *options: str) -> tuple[list[str], str]:
    """What the program says, and the tree that was asked for."""
    bundle.save()
    result = live.command_in(KERNEL, "run", *options, "--bundle", bundle.path, bundle.id).ok()
    trees = result.err.rpartition("trees:")[2].strip()
    return result.out.splitlines(), trees


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
    lines, tree = run(live, bundle)
    assert tree == bundle.rootfs
    assert lines[:6] == ["kept", "inner", "closed", "own", "0", "read-only"]
    seen = [line.split()[4] for line in lines[6:]]
    assert "/" in seen
    out = live.run(bundle).ok().out.splitlines()
    other = [line.split()[4] for line in out if " - " in line]
    assert sorted(seen) == sorted(other), "the same mounts as with a change of root"
    assert os.path.exists(f"{live.dir}/source/below/inner")


def test_nothing_reaches_the_host(live: Case) -> None:
    """The root lies on a shared mount, and the program may mount."""
    before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    bundle = live.shell("mount -t tmpfs mine /mnt && grep -c mine /proc/self/mountinfo; ls /.. | wc -l; ls / | wc -l")
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"].setdefault(kind, []).append("CAP_SYS_ADMIN")
    lines, tree = run(live, bundle)
    assert tree == bundle.rootfs
    assert lines[0] == "1"
    assert lines[1] == lines[2]
    live.assert_clean()
    assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_exec_and_the_hook_inside(live: Case, options: tuple[str, ...]) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.hook("startContainer", "touch /hooked")
    bundle.save()
    created = live.command_in(KERNEL, "run", "--detach", *options, "--bundle", bundle.path, bundle.id).ok()
    assert bundle.rootfs in created.err
    assert sorted(live.command("exec", bundle.id, "/bin/ls", "/").ok().out.split()) == sorted(os.listdir(bundle.rootfs))
    assert os.path.exists(f"{bundle.rootfs}/hooked")
    live.delete(bundle, "--force")
    live.assert_clean()


def test_hooks_before_the_change_of_root_have_the_old_way(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("createContainer", f"ls {bundle.rootfs} /usr > {live.dir}/seen")
    _, tree = run(live, bundle)
    assert tree == ""
    assert "bin" in Path(f"{live.dir}/seen").read_text(encoding="utf-8")
