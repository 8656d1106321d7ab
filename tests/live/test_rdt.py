"""Intel RDT on a machine without it: a tree of files plays resctrl, and a mount table of ours says that it is mounted.

That table lies over /proc/PID/mountinfo of the shell that becomes the runtime,
in a mount namespace of its own.
"""

from __future__ import annotations

import os

from . import execs, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case
    from .process import Result


class Resctrl:
    """The tree, and commands of a runtime that takes it for resctrl."""

    def __init__(self, live: Case) -> None:
        self.live = live
        self.path = f"{live.dir}/resctrl"
        self.group(self.path, "L3:0=ff\nMB:0=100\n")
        self.table = f"{live.dir}/mountinfo"
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            text = file.read()
        with open(self.table, "w", encoding="utf-8") as file:
            file.write(f"{text}9999 1 0:999 / {self.path} rw - resctrl resctrl rw\n")

    def group(self, path: str, schemata: str = "") -> str:
        os.makedirs(f"{path}/mon_groups")
        for name, text in (("schemata", schemata), ("tasks", "")):
            with open(f"{path}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        return path

    def command(self, *words: str) -> Result:
        line = f"mount --bind {self.table} /proc/$$/mountinfo && exec {' '.join(self.live.argv(*words))}"
        return process.run(["unshare", "-m", "sh", "-c", line], scratch=self.live.scratch)

    def create(self, bundle: Bundle) -> Result:
        bundle.save()
        return self.command("create", "--bundle", bundle.path, bundle.id)

    def read(self, name: str) -> str:
        with open(f"{self.path}/{name}", encoding="ascii") as file:
            return file.read()


def test_without_resctrl(live: Case) -> None:
    for block in ({}, {"closID": "gold"}, {"l3CacheSchema": "L3:0=f"}):
        bundle = live.bundle()
        bundle.linux["intelRdt"] = block
        live.refused(bundle, "/linux/intelRdt: there is no resctrl file system", verbs=("create",))


def test_container_and_exec_become_tasks(live: Case) -> None:
    tree = Resctrl(live)
    tree.group(f"{tree.path}/gold", "    L3:0=0f\n    MB:0= 50\n")
    bundle = live.bundle(execs.IDLE)
    bundle.linux["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=50"}
    tree.create(bundle).ok()
    assert tree.read("gold/tasks") == f"{live.pid(bundle)}\n"
    assert tree.read("gold/schemata") == "    L3:0=0f\n    MB:0= 50\n"
    live.start(bundle)
    written = tree.command("exec", "--pid-file", f"{live.dir}/pid", bundle.id, "/bin/true").ok()
    assert written.out == ""
    with open(f"{live.dir}/pid", encoding="ascii") as file:
        # One write replaces nothing in the kernel's file; in ours the second lies over the first.
        assert file.read() in tree.read("gold/tasks")
    tree.command("update", "--l3-cache-schema", "L3:0=3", "--mem-bw-schema", "MB:0=10", bundle.id).ok()
    assert tree.read("gold/schemata").startswith("L3:0=3\nMB:0=10\n")
    tree.command("delete", "--force", bundle.id).ok()
    assert os.path.isdir(f"{tree.path}/gold"), "it is not the container's"


def test_other_values(live: Case) -> None:
    tree = Resctrl(live)
    tree.group(f"{tree.path}/gold", "L3:0=0f\n")
    bundle = live.bundle()
    bundle.linux["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=1f"}
    tree.create(bundle).failed("/linux/intelRdt/closID", "has other values: L3:0=1f")
    bundle.linux["intelRdt"] = {"closID": "silver"}
    tree.create(bundle).failed("/linux/intelRdt/closID", f"{tree.path}/silver does not exist")
    live.assert_clean()


def test_group_of_the_container_goes_with_it(live: Case) -> None:
    tree = Resctrl(live)
    bundle = live.bundle(execs.IDLE)
    group = f"{tree.path}/{bundle.id}"
    bundle.linux["intelRdt"] = {"enableMonitoring": False}
    # The kernel fills a new group by itself; here somebody has to do it.
    bundle.hook("createRuntime", f"touch {group}/tasks")
    tree.create(bundle).ok()
    with open(f"{group}/tasks", encoding="ascii") as file:
        assert file.read() == f"{live.pid(bundle)}\n"
    os.unlink(f"{group}/tasks")
    tree.command("delete", "--force", bundle.id).ok()
    assert not os.path.exists(group)


def test_group_of_a_container_that_fails(live: Case) -> None:
    tree = Resctrl(live)
    bundle = live.bundle(["/no/such/program"])
    bundle.linux["intelRdt"] = {}
    tree.create(bundle).failed("/no/such/program")
    assert sorted(os.listdir(tree.path)) == ["mon_groups", "schemata", "tasks"]
    # Without monitoring groups of its own in the tree there is nothing to put one in.
    bundle.process["args"] = ["/bin/true"]
    bundle.linux["intelRdt"] = {"enableMonitoring": True}
    tree.create(bundle).failed("/linux/intelRdt/enableMonitoring", "no such file")
    assert sorted(os.listdir(tree.path)) == ["mon_groups", "schemata", "tasks"]


def test_update_without_a_group(live: Case) -> None:
    bundle = execs.idle(live)
    live.command("update", "--l3-cache-schema", "L3:0=3", bundle.id).failed("no resctrl group")
    live.command("update", "--mem-bw-schema", "L3:0=3", bundle.id).failed("--mem-bw-schema", "MB:")
