"""host.cgroups: the hierarchies from the texts of mountinfo and /proc/PID/cgroup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirun.host import cgroups
from ocirun.host.cgroups import Layout, Mount

V1_MOUNTS = """\
23 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:10 master:1 - cgroup cgroup rw,memory,xattr
34 31 0:31 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
"""
V1_OWN = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc:x\n"
V2_MOUNT = "40 23 0:38 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID_MOUNT = "40 31 0:38 / /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n"


def test_v1_with_controllers_mounted_together() -> None:
    layout = cgroups.parse(V1_MOUNTS, V1_OWN)
    assert layout.mode == "v1"
    assert layout.mounts["cpu"] is layout.mounts["cpuacct"]
    assert layout.mounts["cpu"].controllers == ("cpu", "cpuacct")
    assert layout.mounts["memory"].controllers == ("memory",)
    assert layout.mounts["memory"].device == "0:30"
    assert layout.mounts["name=systemd"].path == "/sys/fs/cgroup/systemd"
    assert [mount.path for mount in layout.hierarchies()] == [
        "/sys/fs/cgroup/cpu,cpuacct",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/systemd",
    ]
    assert layout.own["name=systemd"] == "/docker/abc:x"
    assert layout.unified is None


@pytest.mark.parametrize(
    ("mounts", "own", "mode"),
    [
        (V1_MOUNTS, V1_OWN, "v1"),
        (V1_MOUNTS + HYBRID_MOUNT, V1_OWN + "0::/user.slice\n", "hybrid"),
        (V2_MOUNT, "0::/user.slice/x\n", "v2"),
        # systemd's own hierarchy beside v2 holds no controller.
        (V1_MOUNTS.splitlines(keepends=True)[4] + V2_MOUNT, "1:name=systemd:/\n0::/\n", "v2"),
        ("23 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/\n", "none"),
        ("", "", "none"),
    ],
)
def test_mode(mounts: str, own: str, mode: str) -> None:
    assert cgroups.parse(mounts, own).mode == mode


def test_unified_mount() -> None:
    layout = cgroups.parse(V2_MOUNT, "0::/user.slice/x\n")
    assert layout.unified is not None
    assert (layout.unified.path, layout.own[""]) == ("/sys/fs/cgroup", "/user.slice/x")


@pytest.mark.parametrize(
    ("root", "own", "below"),
    [
        ("/", "/", ""),
        ("/", "/a/b", "a/b"),
        ("/docker/abc", "/docker/abc", ""),
        ("/docker/abc", "/docker/abc/x", "x"),
        ("/docker/abc", "/docker/abcd", None),
        ("/docker/abc", "/", None),
        ("/", "/a (deleted)", None),
        ("/", "/../other", None),
        ("/..", "/", None),
        ("/../../x", "/../../x", None),
        ("/", "", None),
    ],
)
def test_own_group_below_the_mount(root: str, own: str, below: str | None) -> None:
    layout = Layout({"memory": Mount("/m", root, controllers=("memory",))}, {"memory": own})
    assert layout.own_below("memory") == below


def test_own_group_of_a_controller_without_membership_is_unknown() -> None:
    assert Layout({"memory": Mount("/m", controllers=("memory",))}, {}).own_below("memory") is None


@pytest.mark.parametrize(
    ("lines", "chosen"),
    [
        # A bind mount of a part, as containers have it, against the whole.
        (["/x /part rw", "/ /sys/fs/cgroup/memory rw"], "/sys/fs/cgroup/memory"),
        (["/ /sys/fs/cgroup/memory rw", "/x /part rw"], "/sys/fs/cgroup/memory"),
        # The part that we are in against one that we are not in.
        (["/other /one rw", "/own /two rw"], "/two"),
        (["/ /one ro", "/own /two rw"], "/two"),
        (["/ /elsewhere rw", "/ /sys/fs/cgroup/memory rw"], "/sys/fs/cgroup/memory"),
        (["/ /first rw", "/ /second rw"], "/first"),
    ],
)
def test_one_hierarchy_mounted_more_than_once(lines: list[str], chosen: str) -> None:
    text = ""
    for number, line in enumerate(lines):
        root, path, flags = line.split()
        text += f"{30 + number} 23 0:30 {root} {path} {flags} - cgroup cgroup rw,memory\n"
    assert cgroups.parse(text, "4:memory:/own/deeper\n").mounts["memory"].path == chosen


def test_a_mount_on_the_same_place_covers_the_one_before() -> None:
    text = "30 1 0:30 / /m rw - cgroup cgroup rw,memory\n31 30 0:31 / /m rw - cgroup cgroup rw,cpu\n"
    layout = cgroups.parse(text, "1:memory:/\n2:cpu:/\n")
    assert list(layout.mounts) == ["cpu"]


def test_escapes_in_paths() -> None:
    text = "30 1 0:30 /a\\040b /m\\040n\\134040 rw - cgroup cgroup rw,memory\n"
    mount = cgroups.parse(text, "1:memory:/a b\n").mounts["memory"]
    assert (mount.path, mount.root) == ("/m n\\040", "/a b")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("", ""),
        ("/plain", "/plain"),
        ("\\040", " "),
        ("a\\011b\\012c", "a\tb\nc"),
        ("\\134", "\\"),
        ("\\134040", "\\040"),
        ("\\9x", "\\9x"),
        ("end\\", "end\\"),
        ("\\08", "\\08"),
        ("\\777", "\\777"),
    ],
)
def test_unescape(text: str, plain: str) -> None:
    assert cgroups.unescape(text) == plain


@given(st.text())
def test_unescape_is_the_reverse_of_the_kernels_mangling(text: str) -> None:
    mangled = "".join(f"\\{ord(char):03o}" if char in " \t\n\\" else char for char in text)
    assert cgroups.unescape(mangled) == text


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_newlines_end_a_line(separator: str) -> None:
    assert cgroups.parse_own(f"4:memory:/a{separator}b\n") == {"memory": f"/a{separator}b"}


@given(st.text(), st.text())
def test_any_text_is_parsed(mountinfo: str, own: str) -> None:
    cgroups.parse(mountinfo, own)


@pytest.mark.parametrize(
    "line", ["x - cgroup a rw,memory", "1 2 3 - cgroup", "30 1 0:30 / /m rw - cgroupx c rw,memory"]
)
def test_lines_that_are_no_cgroup_mount(line: str) -> None:
    assert cgroups.parse(line + "\n", "1:memory:/\n").mounts == {}


def test_file_facts() -> None:
    mount = Mount("/nowhere", controllers=("blkio",))
    assert Layout({"blkio": mount}, {}, files={"blkio": ["blkio.bfq.weight"]}).has_file("blkio", "blkio.bfq.weight")
    assert not Layout({"blkio": mount}, {}, files={"blkio": ["blkio.bfq.weight"]}).has_file("blkio", "blkio.weight")
    # Nothing to look at: the write will tell.
    assert Layout({"blkio": mount}, {}).has_file("blkio", "blkio.weight")
    assert not Layout({"blkio": mount}, {}).has_file("memory", "memory.limit_in_bytes")


def test_this_host_can_be_read() -> None:
    assert cgroups.read_layout().mode in ("v1", "v2", "hybrid", "none")
