"""Hooks: which are called when, in what order, in which namespaces, with what.

One container with two hooks of each kind shows most of it. A hook is a copy of
the shell whose path means another file on the host than in the container, and
writes what it sees to a directory that both have at the same path.
"""

from __future__ import annotations

import json
import os
import shutil

from .. import host
from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
INSIDE = ("createContainer", "startContainer")
NAMESPACES = ("mnt", "uts", "ipc", "net", "pid")
STATUS = {"prestart": "creating", "createRuntime": "creating", "createContainer": "creating", "startContainer": "created",
          "poststart": "running", "poststop": "stopped"}  # fmt: skip
# $1: directory to write to; $2: kind; $3: number.  Only programs of busybox, which both sides have at /bin/busybox.
SCRIPT = r"""
b=/bin/busybox; out=$1/$2-$3
$b cat >$out.state
pid=$($b sed -n 's/.*"pid"[: ]*\([0-9]*\).*/\1/p' $out.state)
{ for name in mnt uts ipc net pid; do echo $name=$($b readlink /proc/self/ns/$name); done
  echo file=$WHERE
  echo marker=$($b test -e $1/../marker && echo seen)
  echo target_marker=$($b test -n "$pid" -a -e /proc/$pid/root$1/../marker && echo seen)
  echo target_exe=$($b readlink /proc/$pid/exe)
  for name in mnt uts ipc net pid; do echo target_$name=$($b readlink /proc/$pid/ns/$name); done
  echo target_mounts=$($b grep -c ' [^ ]*rootfs/dev/shm ' /proc/$pid/mountinfo)
} >$out.facts 2>/dev/null
$b sleep $(test $2 = startContainer && echo 0.2 || echo 0.05)
echo $2-$3 >>$1/order
"""


def _hooked(bench: Bench) -> Bundle:
    """A container whose program also writes to the order, and stays."""
    top = bench.directory("hooks")
    out = f"{top}/out"
    os.mkdir(out)
    os.chmod(out, 0o777)
    bundle = bench.bundle(["/bin/sh", "-c", f"echo program >>{out}/order; sleep 70000"])
    for where, root in (("host", ""), ("container", bundle.rootfs)):
        path = f"{root}{top}/hook"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/busybox sh\nWHERE={where}\n{SCRIPT}")
        os.chmod(path, 0o755)
    with open(f"{top}/marker", "w", encoding="ascii"):
        pass
    bundle.mount(out, out, "bind")
    bundle.config["hooks"] = {
        kind: [{"path": f"{top}/hook", "args": ["hook", out, kind, str(number)]} for number in (1, 2)] for kind in KINDS
    }
    return bundle


def _life(bench: Bench) -> Any:
    """A whole life of that container; what its hooks have written, and the order as it was after each command."""
    bundle = _hooked(bench)
    out = bundle.config["hooks"]["prestart"][0]["args"][1]
    orders = {}

    def note(command: str) -> None:
        orders[command] = host.text(f"{out}/order").split()

    bench.create(bundle)
    note("create")
    bench.start(bundle)
    note("start")
    process = bench.pid(bundle)
    namespaces = {name: os.readlink(f"/proc/{process}/ns/{name}") for name in NAMESPACES}
    bench.kill(bundle, "KILL")
    bench.until(bundle, "stopped")
    note("kill")
    bench.delete(bundle)
    note("delete")
    facts, states = {}, {}
    for kind in KINDS:
        for number in (1, 2):
            lines = host.text(f"{out}/{kind}-{number}.facts").splitlines()
            facts[f"{kind}-{number}"] = dict(line.split("=", 1) for line in lines if "=" in line)
            states[f"{kind}-{number}"] = host.text(f"{out}/{kind}-{number}.state")
    shutil.rmtree(out)
    return {
        "facts": facts,
        "states": states,
        "orders": orders,
        "namespaces": namespaces,
        "bundle": bundle.path,
        "id": bundle.id,
    }


def life(bench: Bench) -> Any:
    """That, once for all checks."""
    return bench.once("life with hooks", _life)


def called(order: list[str], kind: str) -> bool:
    """Both hooks of a kind are in an order."""
    return {f"{kind}-1", f"{kind}-2"} <= set(order)


@covers("config.hooks.order")
def order(bench: Bench) -> None:
    """The two of each kind."""
    found = life(bench)["orders"]["delete"]
    for kind in KINDS:
        pair = [one for one in found if one.startswith(f"{kind}-")]
        assert pair == [f"{kind}-1", f"{kind}-2"], found


@covers("config.hooks.state")
def state(bench: Bench) -> None:
    """JSON with the container's id and bundle, and the status of the time."""
    known = life(bench)
    for name, text in known["states"].items():
        found = json.loads(text or "{}")
        kind = name.partition("-")[0]
        assert found.get("id") == known["id"] and found.get("ociVersion"), f"{name}: {text!r}"
        assert found.get("bundle") == known["bundle"], f"{name}: {text!r}"
        assert found.get("status") == STATUS[kind], f"{name}: {STATUS[kind]} is wanted: {text!r}"
        if kind in INSIDE:
            assert found.get("pid") == 1, f"{name}: the pid as the container sees it is wanted: {text!r}"
        elif kind != "poststop":
            assert found.get("pid", 0) > 1, f"{name}: {text!r}"


@covers("config.hooks.prestart.before-createRuntime")
def before_create_runtime(bench: Bench) -> None:
    found = life(bench)["orders"]["create"]
    assert found.index("prestart-2") < found.index("createRuntime-1"), found


@covers("config.hooks.createContainer.after-createRuntime")
def after_create_runtime(bench: Bench) -> None:
    found = life(bench)["orders"]["create"]
    assert found.index("createRuntime-2") < found.index("createContainer-1"), found


def _kind(kind: str) -> None:
    @covers(f"config.hooks.{kind}.path.resolves")
    def resolves(bench: Bench) -> None:
        """The path is of two files; which of them was executed."""
        facts = life(bench)["facts"][f"{kind}-1"]
        wanted = "container" if kind == "startContainer" else "host"
        assert facts.get("file") == wanted, facts

    @covers(f"config.hooks.{kind}.executed")
    def executed(bench: Bench) -> None:
        known = life(bench)
        facts = known["facts"][f"{kind}-1"]
        for name in NAMESPACES:
            ours, theirs = os.readlink(f"/proc/self/ns/{name}"), known["namespaces"][name]
            wanted = theirs if kind in INSIDE else ours
            assert facts.get(name) == wanted, f"{name} namespace: {facts.get(name)}; container {theirs}, runtime {ours}"


for _one in KINDS:
    _kind(_one)


def _before_pivot(kind: str) -> None:
    @covers(f"config.hooks.{kind}.when", f"runtime.lifecycle.{kind}")
    def when(bench: Bench) -> None:
        """The process has its namespaces and mounts, and still the host's root."""
        known = life(bench)
        assert called(known["orders"]["create"], kind), known["orders"]["create"]
        facts = known["facts"][f"{kind}-1"]
        if kind in INSIDE:
            assert facts.get("marker") == "seen", f"the root is the container's already: {facts}"
        else:
            assert facts.get("target_marker") == "seen", f"the root is the container's already: {facts}"
            for name in NAMESPACES:
                assert facts.get(f"target_{name}") == known["namespaces"][name], f"{name} namespace: {facts}"
            assert facts.get("target_mounts") == "1", f"the mounts are not there: {facts}"


for _one in ("prestart", "createRuntime", "createContainer"):
    _before_pivot(_one)


@covers("config.hooks.startContainer.when", "runtime.lifecycle.startContainer")
def start_container(bench: Bench) -> None:
    orders = life(bench)["orders"]
    assert not called(orders["create"], "startContainer"), orders["create"]
    found = orders["delete"]
    assert called(orders["start"], "startContainer"), orders["start"]
    assert found.index("startContainer-2") < found.index("program"), found


@covers("config.hooks.poststart.when", "runtime.lifecycle.poststart")
def poststart(bench: Bench) -> None:
    """The process is the program already; start has waited for the hook."""
    known = life(bench)
    assert not called(known["orders"]["create"], "poststart") and called(known["orders"]["start"], "poststart"), known[
        "orders"
    ]
    assert known["facts"]["poststart-1"].get("target_exe", "").endswith("/busybox"), known["facts"]["poststart-1"]


@covers("config.hooks.poststop.when", "runtime.lifecycle.poststop")
def poststop(bench: Bench) -> None:
    """delete has waited for the hook, and the cgroup that create made has gone before it."""
    orders = life(bench)["orders"]
    assert not called(orders["kill"], "poststop") and called(orders["delete"], "poststop"), orders
    bundle = bench.bundle()
    path = host.cgroup(bundle.linux["cgroupsPath"], "pids")
    seen = f"{bench.directory('seen')}/state"
    script = f"test -d '{path or '/nowhere'}' && echo cgroup >{seen}; echo called >>{seen}"
    bundle.hook("poststop", script)
    bench.create(bundle)
    assert not path or os.path.isdir(path)
    bench.start(bundle)
    bench.ended(bundle)
    assert host.text(seen) == "called\n"
