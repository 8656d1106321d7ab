"""Network devices of ours that are moved into the container."""

from __future__ import annotations

import subprocess

from ..registry import covers, need

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from live.bundles import Bundle

    from ..bench import Bench

IDLE = ["/bin/sleep", "70000"]


def _ip(*words: str, pid: int = 0) -> str:
    """`ip` of the host, in our network namespace or in that of a process."""
    where = ["nsenter", f"--net=/proc/{pid}/ns/net"] if pid else []
    done = subprocess.run([*where, "ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout


def _devices(shown: str) -> dict[str, set[str]]:
    """The devices of what `ip` shows, with their flags."""
    found = {}
    for line in shown.splitlines():
        if line[:1].isdigit():
            name = line.split(": ")[1].partition("@")[0]
            found[name] = set(line.partition("<")[2].partition(">")[0].split(","))
    return found


def _add(bundle: Bundle, name: str, inside: str = "") -> None:
    made = False
    for kind in (["dummy"], ["veth", "peer", "name", f"{name}peer"]):
        words = ["ip", "link", "add", name, "type", *kind]
        made = made or subprocess.run(words, capture_output=True, check=False).returncode == 0
    need(made, "no network device of the types dummy or veth can be made here")
    bundle.linux.setdefault("netDevices", {})[name] = {"name": inside} if inside else {}


def _remove(*names: str) -> None:
    for name in names:
        subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)


def _moved(bench: Bench) -> Any:
    """Two devices, one renamed, with addresses, MTU and MAC; what `ip` shows of them inside, and after deletion outside."""
    bundle = bench.bundle(IDLE)
    try:
        _add(bundle, "conf0")
        _add(bundle, "conf1", "inside1")
        _ip("link", "set", "conf0", "mtu", "1345", "address", "02:11:22:33:44:55")
        _ip("addr", "add", "192.0.2.7/24", "dev", "conf0")
        _ip("addr", "add", "2001:db8::7/64", "dev", "conf0", "nodad")
        bench.launch(bundle)
        pid = bench.pid(bundle)
        found = {"inside": _ip("addr", "show", pid=pid), "outside": _ip("link", "show")}
        bench.kill(bundle, "KILL")
        bench.ended(bundle)
        found["after"] = _ip("link", "show")
        return found
    finally:
        _remove("conf0", "conf1", "inside1")


def _seen(bench: Bench) -> Any:
    return bench.once("network devices", _moved)


@covers("config-linux.netDevices.available")
def available(bench: Bench) -> None:
    found = _seen(bench)
    assert {"conf0", "inside1"} <= set(_devices(found["inside"])), found["inside"]
    assert not {"conf0", "conf1", "inside1"} & set(_devices(found["outside"])), found["outside"]


@covers("config-linux.netDevices.addresses")
def addresses(bench: Bench) -> None:
    found = _seen(bench)["inside"]
    for wanted in ("192.0.2.7/24", "2001:db8::7/64", "mtu 1345", "02:11:22:33:44:55"):
        assert wanted in found, f"{wanted} is not in {found}"


@covers("config-linux.netDevices.up")
def device_up(bench: Bench) -> None:
    found = _devices(_seen(bench)["inside"])
    assert "UP" in found["conf0"] & found["inside1"], found


@covers("config-linux.netDevices.not-moved-back")
def not_moved_back(bench: Bench) -> None:
    """A virtual device ends with the namespace."""
    found = _seen(bench)["after"]
    assert not {"conf0", "conf1", "inside1"} & set(_devices(found)), found


@covers("config-linux.netDevices.not-managed")
def not_managed(bench: Bench) -> None:
    """What is changed inside stays so while other commands of the runtime work on the container, and after deletion."""
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep 70000"], stdout=subprocess.PIPE)
    bundle = bench.bundle(IDLE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"ready\n"
        bundle.namespace("network", f"/proc/{holder.pid}/ns/net")
        _add(bundle, "conf2", "inside2")
        bench.create(bundle)
        _ip("addr", "add", "198.51.100.3/24", "dev", "inside2", pid=holder.pid)
        _ip("link", "set", "inside2", "down", pid=holder.pid)
        bench.start(bundle)
        bench.kill(bundle, "KILL")
        bench.ended(bundle)
        found = _ip("addr", "show", "dev", "inside2", pid=holder.pid)
        assert "198.51.100.3/24" in found and "UP" not in _devices(found)["inside2"], found
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()
        _remove("conf2", "inside2")


@covers("config-linux.netDevices.possible")
def possible(bench: Bench) -> None:
    """One that is not there, one that the kernel never moves, and no namespace to move to."""
    for name in ("nosuchdev0", "lo"):
        bundle = bench.bundle()
        bundle.linux["netDevices"] = {name: {}}
        bench.fails(bundle)
    bundle = bench.bundle()
    bundle.share_host("network")
    try:
        _add(bundle, "conf3")
        bench.fails(bundle)
        assert "conf3" in _devices(_ip("link", "show")), "the device has gone"
    finally:
        _remove("conf3")


@covers("config-linux.netDevices.name-taken")
def name_taken(bench: Bench) -> None:
    """The device stays where it was."""
    bundle = bench.bundle()
    try:
        _add(bundle, "conf4", "lo")
        bench.fails(bundle)
        assert "conf4" in _devices(_ip("link", "show")), "the device has gone"
    finally:
        _remove("conf4")


@covers("config-linux.netDevices.template")
def template(bench: Bench) -> None:
    bundle = bench.bundle(IDLE)
    try:
        _add(bundle, "conf5", "conf%d")
        bench.launch(bundle)
        found = _ip("link", "show", pid=bench.pid(bundle))
        assert "conf0" in _devices(found), found
    finally:
        _remove("conf5")
