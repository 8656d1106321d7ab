"""The guest is the host that the other tests count on.  Run by `test_guest`, in the guest only."""

from __future__ import annotations

import os
import subprocess

import pytest


def output(*argv: str) -> str:
    return subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True).stdout


def test_systemd_is_in_charge() -> None:
    assert output("systemctl", "is-system-running").strip() == "running"


@pytest.mark.parametrize("controller", ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"])
def test_every_controller_is_on_v2(controller: str) -> None:
    with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as file:
        assert controller in file.read().split()


def test_an_ordinary_user_has_a_delegated_group() -> None:
    text = output("systemd-run", "--user", "-M", "tester@", "--wait", "--pipe", "-q", "cat", "/proc/self/cgroup")
    assert text.startswith("0::/user.slice/user-1000.slice/user@1000.service/")
    with open(
        "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers", encoding="ascii"
    ) as file:
        assert {"cpu", "cpuset", "io", "memory", "pids"} <= set(file.read().split())


def test_apparmor_and_user_namespaces_are_there() -> None:
    with open("/sys/module/apparmor/parameters/enabled", encoding="ascii") as file:
        assert file.read().strip() == "Y"
    assert output("runuser", "-l", "tester", "-c", "unshare -Ur id -u").strip() == "0"
    assert os.path.exists("/usr/bin/newuidmap")
