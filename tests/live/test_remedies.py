"""Mistakes of newcomers that only a try finds: each error has its remedy."""

from __future__ import annotations

import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

# A plain chroot into a tree with all that the runtime needs, whose root is no mount point, or is one.
CHROOT = """
set -e
tree=$1; point=$2; shift 2
mount --make-rprivate /
[ "$point" = no ] || mount --bind "$tree" "$tree"
cd "$tree"
for name in *; do mount --rbind "/$name" "$name"; done
exec chroot . "$@"
"""


def test_root_file_system_without_files(live: Case) -> None:
    """What a plan makes in it is no file of it: the second try has the same error."""
    bundle = live.bundle()
    os.mkdir(f"{live.dir}/empty")
    bundle.config["root"]["path"] = f"{live.dir}/empty"
    for _ in range(2):
        words = (f"{live.dir}/empty has no files but mount points", "`ocirun bundle IMAGE DIR`")
        live.run(bundle).failed("stat /bin/true: no such file or directory", *words)
    assert os.listdir(f"{live.dir}/empty")
    live.assert_clean()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/bin/nosuch", "programs are those in the container's root file system, not the host's"),
        ("nosuch", "it was looked for in /sbin:/usr/bin of the container's root file system"),
    ],
)
def test_program_that_is_not_there(live: Case, program: str, words: str) -> None:
    bundle = live.bundle([program])
    bundle.process["env"] = ["PATH=/sbin:/usr/bin"]
    live.refused(bundle, program, words)


@pytest.mark.parametrize(
    ("key", "meant"),
    [("net.ipv4.ip_fowrard", "did you mean"), ("net.nosuch.at_all", "no such parameter")],
)
def test_kernel_parameter_that_is_not_there(live: Case, key: str, meant: str) -> None:
    bundle = live.bundle()
    bundle.config["linux"]["sysctl"] = {key: "1"}
    live.refused(bundle, f"/linux/sysctl/{key}", meant)


def test_hook_that_is_not_there(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["hooks"] = {"createRuntime": [{"path": "/nosuch"}]}
    live.refused(bundle, "cannot execute /nosuch", "a createRuntime hook is looked for on the host")


@pytest.mark.parametrize("point", ["no", "yes"])
def test_plain_chroot(live: Case, point: str) -> None:
    bundle = live.bundle()
    bundle.save()
    tree = f"{live.dir}/tree"
    for name in os.listdir("/"):
        if os.path.isdir(f"/{name}"):
            os.makedirs(f"{tree}/{name}")
    prefix = ["unshare", "--mount", "sh", "-c", CHROOT, "sh", tree, point]
    result = live.command_in(prefix, "run", "--bundle", bundle.path, bundle.id)
    if point == "yes":
        result.ok()
    else:
        result.failed("set the propagation of /", "as after a plain chroot: `mount --bind DIR DIR` before chroot")
    live.assert_clean()
