"""Labels of security modules on a machine that has none (B01): refused, or written where they belong and nowhere else.

What the modules make of them is tried in a guest that has them, see tests/vm.
"""

from __future__ import annotations

import pytest

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

APPARMOR = "/sys/module/apparmor/parameters/enabled"

# A mount namespace whose /sys says that AppArmor is on.
PRETEND = f"""
mount -t tmpfs tmpfs /sys/module && mkdir -p {APPARMOR.rpartition("/")[0]} && echo Y > {APPARMOR}
"""


def _enabled(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read(1) == "Y"
    except OSError:
        return False


@pytest.fixture(autouse=True)
def without_modules() -> None:
    if _enabled(APPARMOR) or _enabled("/sys/fs/selinux/enforce"):
        pytest.skip("this machine has a security module that labels processes")


def pretending(live: Case, bundle: Bundle, script: str = "") -> Result:
    """create where AppArmor seems to be on, after a script in the same mount namespace."""
    bundle.save()
    line = f"{PRETEND}{script}\nexec {' '.join(live.argv('create', '--bundle', bundle.path, bundle.id))}"
    return process.run(["unshare", "-m", "sh", "-e", "-c", line], scratch=live.scratch)


@pytest.mark.parametrize(
    ("block", "key", "module"),
    [
        ("process", "apparmorProfile", "AppArmor"),
        ("process", "selinuxLabel", "SELinux"),
        ("linux", "mountLabel", "SELinux"),
    ],
)
def test_host_without_the_module(live: Case, block: str, key: str, module: str) -> None:
    bundle = live.bundle()
    bundle.config[block][key] = "system_u:system_r:container_t:s0"
    live.refused(bundle, f"/{block}/{key}: {module} is not enabled on this host")


def test_labels_of_one_line(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["apparmorProfile"] = "profile\nother"
    live.refused(bundle, "/process/apparmorProfile", "one line", verbs=("create",))


def test_exec_without_the_module(live: Case) -> None:
    bundle = execs.idle(live)
    for option, word in (("--apparmor", "/process/apparmorProfile"), ("--process-label", "/process/selinuxLabel")):
        execs.with_options(live, bundle, [option, "x"], "/bin/true").failed(word, "not enabled on this host")
    described: dict[str, Any] = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "selinuxLabel": "x"}
    execs.described(live, bundle, described).failed("/process/selinuxLabel", "not enabled on this host")


def test_the_kernel_is_asked(live: Case) -> None:
    # Where the module only seems to be on, the write itself fails, and with it the container.
    bundle = live.bundle()
    bundle.process["apparmorProfile"] = "some-profile"
    pretending(live, bundle).failed("/process/apparmorProfile", "exec some-profile", "invalid argument")
    live.assert_clean()


@pytest.mark.parametrize("name", ["attr/exec", "attr/apparmor/exec", "attr"])
def test_b01_covered_attribute(live: Case, name: str) -> None:
    # A file that takes any write, put over the attribute of the very process that will write it.
    bundle = live.bundle()
    bundle.process["apparmorProfile"] = "some-profile"
    scratch = bundle.file("/scratch", "untouched")
    source = f"{bundle.rootfs}/var" if name == "attr" else scratch
    bundle.file("/var/exec", "untouched")
    bundle.hook("createContainer", f"mount --bind {source} /proc/$PPID/{name} || true")
    pretending(live, bundle).failed("/process/apparmorProfile", "invalid argument")
    assert bundle.read("/scratch") == bundle.read("/var/exec") == "untouched"


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_b01_false_proc(live: Case, kind: str) -> None:
    bundle = live.bundle()
    bundle.process["apparmorProfile"] = "some-profile"
    fake = f"{live.dir}/fake"
    script = f"mkdir -p {fake}/thread-self/attr && echo untouched > {fake}/thread-self/attr/exec && "
    script += f"mount --bind {fake} /proc" if kind == "bind" else f"mount -t tmpfs fake /proc && cp -r {fake}/. /proc"
    result = pretending(live, bundle, script)
    assert result.code > 0
    with open(f"{fake}/thread-self/attr/exec", encoding="ascii") as file:
        assert file.read() == "untouched\n"


def test_b01_procfs_over_the_procfs(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["apparmorProfile"] = "some-profile"
    pretending(live, bundle, "mount -t proc proc /proc").failed("/process/apparmorProfile", "invalid argument")
