"""`features` says what is true: configs made of its lists run, on this host as far as the host has the thing."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from ocirun.host import facts

from . import process
from .test_idmap import mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .bundles import Bundle
    from .case import Case


@pytest.fixture(scope="module")
def told(session: Any) -> Any:
    """The document."""
    return process.run([session.runtime, "features"], scratch=session.top).ok().json()


def test_namespaces_and_versions(live: Case, told: Any) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.linux["namespaces"] = [{"type": kind} for kind in told["linux"]["namespaces"]]
    bundle.config["ociVersion"] = told["ociVersionMax"]
    seen = live.probe(bundle)["ns"]
    files = {"network": "net", "mount": "mnt"}
    for kind in told["linux"]["namespaces"]:
        name = files.get(kind, kind)
        assert seen[name] != os.readlink(f"/proc/self/ns/{name}"), kind
    bundle = live.bundle()
    bundle.config["ociVersion"] = told["ociVersionMin"]
    live.run(bundle).ok()


def test_hooks(live: Case, told: Any) -> None:
    bundle = live.bundle()
    for kind in told["hooks"]:
        place = "/tmp" if kind == "startContainer" else live.dir
        bundle.hook(kind, f"touch {place}/{kind}")
    live.run(bundle).ok()
    made = set(os.listdir(live.dir)) | set(os.listdir(f"{bundle.rootfs}/tmp"))
    assert set(told["hooks"]) <= made


def test_mount_options(live: Case, told: Any) -> None:
    source = f"{live.dir}/source"
    os.mkdir(source)
    bundle = live.shell("ls /m | wc -l")
    for word in told["mountOptions"]:
        point = f"/m/{word}"
        if word in ("bind", "rbind"):
            bundle.mount(point, source, word)
            continue
        if word in ("src-nofollow", "dest-nofollow", "copy-symlink"):
            bundle.mount(point, source, "bind", word)
            continue
        if word == "remount":
            bundle.mount(point, "tmpfs", kind="tmpfs")
        index = bundle.mount(point, "tmpfs", word, kind="tmpfs")
        if word in ("idmap", "ridmap"):
            bundle.mounts[index] |= {"uidMappings": mapping(5000), "gidMappings": mapping(5000)}
    assert int(live.output(bundle)) == len(told["mountOptions"])


def test_capabilities(live: Case, told: Any) -> None:
    names = told["linux"]["capabilities"]
    bundle = live.bundle()
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "permitted", "effective"), names)
    result = live.run(bundle).ok()
    # Left out, each with a warning, is only what this process does not have itself.
    permitted, bounding = facts.own_capabilities()
    assert result.err.count("it is left out") == sum(not (permitted & bounding) >> bit & 1 for bit in range(len(names)))


def test_cgroups(live: Case, told: Any) -> None:
    there = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1"
    assert told["linux"]["cgroup"][there]
    bundle = live.bundle()
    bundle.linux["resources"] = {"pids": {"limit": 50}, "memory": {"limit": 64 << 20}}
    live.run(bundle).ok()


def profile(bundle: Bundle, **more: Any) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", **more}


def test_seccomp_actions_and_operators(live: Case, told: Any) -> None:
    seccomp = told["linux"]["seccomp"]
    calls = iter(
        ("acct", "swapon", "swapoff", "reboot", "quotactl", "nfsservctl", "uselib", "ustat", "vhangup", "sysfs")
    )
    rules: list[dict[str, Any]] = [{"names": [next(calls)], "action": action} for action in seccomp["actions"]]
    compare = [{"index": 0, "value": 7, "valueTwo": 7, "op": operator} for operator in seccomp["operators"]]
    rules += [{"names": ["pivot_root"], "action": "SCMP_ACT_ERRNO", "args": [one]} for one in compare]
    bundle = live.bundle()
    profile(bundle, syscalls=rules)
    with listener(live, bundle):
        live.run(bundle).ok()


@contextlib.contextmanager
def listener(live: Case, bundle: Bundle) -> Iterator[None]:
    """Somebody who takes the descriptor for notifications."""
    path = f"{live.dir}/agent"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.bind(path)
        agent.listen(5)
        bundle.linux["seccomp"]["listenerPath"] = path
        yield
    os.unlink(path)


def test_seccomp_architectures(live: Case, told: Any) -> None:
    bundle = live.bundle()
    profile(
        bundle,
        architectures=told["linux"]["seccomp"]["archs"],
        syscalls=[{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
    )
    live.run(bundle).ok()


def test_seccomp_flags(live: Case, told: Any) -> None:
    for flag in told["linux"]["seccomp"]["supportedFlags"]:
        bundle = live.bundle()
        # One of them speaks of notifications, and the kernel wants one with it.
        profile(bundle, flags=[flag], syscalls=[{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}])
        with listener(live, bundle):
            live.run(bundle).ok()


def test_memory_policies(live: Case, told: Any) -> None:
    policy = told["linux"]["memoryPolicy"]
    for mode in policy["modes"]:
        bundle = live.bundle()
        bundle.linux["memoryPolicy"] = {"mode": mode}
        if mode not in ("MPOL_DEFAULT", "MPOL_LOCAL"):
            bundle.linux["memoryPolicy"]["nodes"] = "0"
        live.run(bundle).ok()
    for flag in policy["flags"]:
        bundle = live.bundle()
        bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
        live.run(bundle).ok()


def test_what_needs_more_than_this_host_may_have(told: Any) -> None:
    # Run for real in test_netdevices, test_idmap, test_rdt, and in the guest: check_apparmor.
    linux = told["linux"]
    assert linux["netDevices"]["enabled"]
    assert linux["mountExtensions"]["idmap"]["enabled"]
    assert linux["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert linux["apparmor"]["enabled"] and linux["selinux"]["enabled"]
