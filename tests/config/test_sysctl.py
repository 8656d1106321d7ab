"""Names of kernel parameters and the namespaces they need."""

from __future__ import annotations

from typing import Any

import pytest

from config.samples import changed, minimal
from ocirun.config import sysctl
from ocirun.config.check import check

ALL = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup")
IPC = ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("kernel", "kernel"),
        # Nothing may lead out of the directory or to another file.
        ("", ""),
        (".", ""),
        ("..", ""),
        ("net..x", ""),
        (".net.x", ""),
        ("net.x.", ""),
        ("/net/x", ""),
        ("net//x", ""),
        ("net/../kernel/core_pattern", ""),
        ("net/./x", ""),
        ("net/..", ""),
        ("net.../../kernel/core_pattern", ""),
        ("net.//.kernel.core_pattern", ""),
        ("net./.x", ""),
        ("net.a\0b", ""),
    ],
)
def test_path(key: str, file: str) -> None:
    assert sysctl.path(key) == file


def config(key: str, namespaces: Any, **more: Any) -> dict[str, Any]:
    mapping = [{"containerID": 0, "hostID": 0, "size": 1}]
    changes: dict[str, Any] = {
        "/linux/sysctl": {key: "1"},
        "/linux/namespaces": [{"type": kind} for kind in namespaces],
    }
    if "user" in namespaces:
        changes |= {"/linux/uidMappings": mapping, "/linux/gidMappings": mapping}
    return changed(minimal(), changes | {f"/{name}": value for name, value in more.items()})


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("net.core.somaxconn", "network"),
        ("net/core/somaxconn", "network"),
        ("net.ipv6.conf.eth0/1.accept_ra", "network"),
        *((f"kernel.{name}", "ipc") for name in IPC),
        ("kernel/msgmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.domainname", "uts"),
        ("user.max_net_namespaces", "user"),
    ],
)
def test_a_parameter_needs_its_namespace(key: str, kind: str) -> None:
    assert check(config(key, ALL)) == []
    (problem,) = check(config(key, [other for other in ALL if other != kind]))
    assert problem.pointer == "/linux/sysctl/" + key.replace("/", "~1")
    assert problem.message == f"needs a {kind} namespace"


def test_a_namespace_by_path_will_do() -> None:
    data = config("net.core.somaxconn", ALL)
    data["linux"]["namespaces"][1]["path"] = "/run/netns/a"
    assert check(data) == []


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern", "kernel.modprobe", "kernel.pid_max", "kernel.msgmax.x", "kernel.sem_next_id", "kernel",
        "vm.swappiness", "fs.file-max", "fs.mqueue", "fs/mqueue", "dev.cdrom.info", "net", "user", "Net.core.somaxconn",
        "network.x", "abi.vsyscall32", "debug.exception-trace", "kernel.Domainname",
    ],
)  # fmt: skip
def test_a_parameter_of_the_host_is_refused(key: str) -> None:
    (problem,) = check(config(key, ALL))
    assert "is not part of any namespace" in problem.message


@pytest.mark.parametrize("key", ["net.../../kernel/core_pattern", "net/../kernel/core_pattern", "net..x", "/net/x"])
def test_a_key_that_is_no_name_is_refused(key: str) -> None:
    (problem,) = check(config(key, ALL))
    assert problem.message == "cannot be the name of a kernel parameter"


@pytest.mark.parametrize("key", ["kernel.hostname", "kernel/hostname"])
def test_the_host_name_is_no_parameter(key: str) -> None:
    (problem,) = check(config(key, ALL, hostname="a"))
    assert problem.message == "is set by hostname, not as a parameter"


def test_domainname_may_be_given_twice_if_equal() -> None:
    assert check(config("kernel.domainname", ALL, domainname="1")) == []
    (problem,) = check(config("kernel.domainname", ALL, domainname="2"))
    assert (problem.pointer, problem.message) == ("/linux/sysctl/kernel.domainname", "differs from domainname, '2'")


def test_one_parameter_in_two_notations_is_refused() -> None:
    data = config("net.core.somaxconn", ALL)
    data["linux"]["sysctl"]["net/core/somaxconn"] = "2"
    (problem,) = check(data)
    assert problem.pointer == "/linux/sysctl/net~1core~1somaxconn"
    assert problem.message == "is the same parameter as 'net.core.somaxconn'"
