"""linux.sysctl: set inside, never outside (B02, B05; the oracle watches the host's values)."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.core.somaxconn", "123"),
        ("net/core/somaxconn", "124"),
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ip_unprivileged_port_start", "80"),
        ("kernel.msgmax", "4096"),
        ("kernel.shm_rmid_forced", "1"),
        ("kernel.sem", "250 32000 100 128"),
        ("fs.mqueue.msg_max", "7"),
        ("kernel.domainname", "example"),
    ],
)
def test_value_is_set_inside(live: Case, key: str, value: str) -> None:
    path = "/proc/sys/" + key.replace(".", "/")
    bundle = live.bundle(["/bin/cat", path])
    bundle.linux["sysctl"] = {key: value}
    assert live.output(bundle).split() == value.split()


@pytest.mark.parametrize(
    ("key", "namespace"),
    [
        ("kernel.msgmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("net.core.somaxconn", "network"),
        ("kernel.domainname", "uts"),
    ],
)
def test_namespace_is_needed(live: Case, key: str, namespace: str) -> None:
    bundle = live.bundle()
    bundle.share_host(namespace)
    bundle.config.pop("hostname")
    bundle.linux["sysctl"] = {key: "5"}
    live.refused(bundle, "/linux/sysctl/" + key)


@pytest.mark.parametrize("key", ["kernel.msgmax", "net.core.somaxconn"])
def test_the_hosts_own_namespace_by_path_is_no_namespace(live: Case, key: str) -> None:
    # B05: a path may name the namespace we are in.
    bundle = live.bundle()
    for kind, name in (("ipc", "ipc"), ("network", "net")):
        bundle.namespace(kind, f"/proc/self/ns/{name}")
    bundle.linux["sysctl"] = {key: "5"}
    live.refused(bundle, "/linux/")


@pytest.mark.parametrize(
    "key",
    [
        "kernel.core_pattern",
        "kernel.hostname",
        "kernel.modprobe",
        "vm.swappiness",
        "fs.file-max",
        "net/../kernel/core_pattern",
        "net.core./../../../kernel/core_pattern",
        "/proc/sys/net/core/somaxconn",
        "net",
        "net.",
        "",
        "net.core.somaxconn\n",
    ],
)
def test_refused_keys(live: Case, key: str) -> None:
    bundle = live.bundle()
    bundle.linux["sysctl"] = {key: "1"}
    live.refused(bundle, "/linux/sysctl", verbs=["create"])


def test_unknown_key_of_a_known_family(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["sysctl"] = {"net.core.nosuchkey": "1"}
    live.refused(bundle, "/linux/sysctl/net.core.nosuchkey", "no such file or directory")


def test_value_the_kernel_refuses(live: Case) -> None:
    bundle = live.bundle()
    bundle.linux["sysctl"] = {"net.core.somaxconn": "many"}
    live.refused(bundle, "/linux/sysctl/net.core.somaxconn", "invalid argument")


def test_with_a_readonly_proc_sys(live: Case) -> None:
    bundle = live.bundle(["/bin/cat", "/proc/sys/net/core/somaxconn"])
    bundle.linux["sysctl"] = {"net.core.somaxconn": "99"}
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    assert live.output(bundle) == "99\n"


def test_without_proc_in_the_container(live: Case) -> None:
    # The write goes through a procfs of the runtime's own.
    bundle = live.bundle()
    bundle.config["mounts"] = []
    bundle.linux["sysctl"] = {"net.core.somaxconn": "77", "kernel.msgmax": "4444"}
    live.run(bundle).ok()


def test_in_a_user_namespace(live: Case) -> None:
    bundle = live.bundle(["/bin/cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"])
    bundle.user_namespace()
    bundle.linux["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    assert live.output(bundle) == "0\n"


def test_domainname_conflict(live: Case) -> None:
    bundle = live.bundle(["/bin/cat", "/proc/sys/kernel/domainname"])
    bundle.config["domainname"] = "one"
    bundle.linux["sysctl"] = {"kernel.domainname": "two"}
    live.refused(bundle, "kernel.domainname")
    bundle.linux["sysctl"] = {"kernel.domainname": "one"}
    assert live.output(bundle) == "one\n"
