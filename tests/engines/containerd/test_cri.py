"""Pods as a kubelet makes them: the CRI plugin with ocirun as its default and as a handler of its own."""

from __future__ import annotations

import json
import time

import pytest

from .cri import Failed
from .schema import EXITED, NODE, POD, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cri import Client
    from .daemon import Containerd

SLEEP = ("sleep", "1000")


def test_version(cri: Client) -> None:
    answer = cri("Version")
    assert (answer.runtime_name, answer.runtime_api_version) == ("containerd", "v1")


@pytest.mark.parametrize("handler", ["", "handler"])
def test_pod_with_two_containers(cri: Client, daemon: Containerd, handler: str) -> None:
    pod = cri.pod(handler)
    roots = {"": "/run/containerd/runc/k8s.io", "handler": "/run/handler/k8s.io"}
    assert pod in daemon.machine.run("ls", roots[handler]).words
    address = cri("PodSandboxStatus", pod_sandbox_id=pod).status.network.ip
    assert address.startswith("10.77.")
    first, second = cri.container(pod, SLEEP), cri.container(pod, SLEEP)
    assert cri.status(first).state == RUNNING
    # One network, host name and IPC for both; process numbers of their own.
    assert address in cri.output(first, "ip", "addr")
    for name in ("net", "ipc", "uts"):
        one, two = (cri.output(container, "readlink", f"/proc/self/ns/{name}") for container in (first, second))
        assert one == two
    assert cri.output(first, "hostname").startswith("pod")
    assert cri.output(first, "readlink", "/proc/1/ns/pid") != cri.output(second, "readlink", "/proc/1/ns/pid")
    cri.remove(pod)


def test_unknown_handler(cri: Client) -> None:
    with pytest.raises(Failed, match="no runtime for"):
        cri.pod("nosuch")


def test_exec_sync(cri: Client) -> None:
    pod = cri.pod()
    container = cri.container(pod, SLEEP)
    answer = cri("ExecSync", container_id=container, cmd=["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 3)
    with pytest.raises(Failed, match="executable file not found"):
        cri("ExecSync", container_id=container, cmd=["nosuchcmd"])
    with pytest.raises(Failed, match="timeout"):
        cri("ExecSync", container_id=container, cmd=["sleep", "100"], timeout=1)
    assert cri.output(container, "echo", "e") == "e\n"


def test_program_that_cannot_start(cri: Client) -> None:
    pod = cri.pod()
    made = cri.container(pod, ["nosuchcmd"], start=False)
    with pytest.raises(Failed, match="executable file not found"):
        cri("StartContainer", container_id=made)
    status = cri.status(made)
    assert (status.state, status.exit_code, status.reason) == (EXITED, 128, "StartError")
    assert "executable file not found" in status.message


def test_output_and_status(cri: Client, daemon: Containerd) -> None:
    pod = cri.pod()
    container = cri.container(pod, ["sh", "-c", "echo out; exit 9"])
    daemon.until(lambda: cri.status(container).state == EXITED, "the program ends")
    assert cri.status(container).exit_code == 9
    assert "stdout F out" in daemon.machine.run("sh", "-c", "cat /run/pod-logs/*.log").out


def test_resources_and_update(cri: Client) -> None:
    pod = cri.pod()
    limits = {"cpu_period": 100000, "cpu_quota": 20000, "memory_limit_in_bytes": 64 << 20, "oom_score_adj": 500}
    container = cri.container(pod, SLEEP, linux={"resources": limits})
    files = ("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us", "cpu/cpu.shares")
    paths = [f"/sys/fs/cgroup/{name}" for name in files]
    assert cri.output(container, "cat", *paths[:2]).split() == [str(64 << 20), "20000"]
    assert cri.output(container, "cat", "/proc/1/oom_score_adj") == "500\n"
    update = {"cpu_shares": 256, "cpu_quota": 50000, "cpu_period": 100000, "memory_limit_in_bytes": 128 << 20}
    cri("UpdateContainerResources", container_id=container, linux=update)
    assert cri.output(container, "cat", *paths).split() == [str(128 << 20), "50000", "256"]
    # Such an update carries a rule that denies all devices; those that were allowed stay so.
    assert cri.output(container, "sh", "-c", "head -c 4 /dev/zero | wc -c").strip() == "4"
    stats = cri("ContainerStats", container_id=container).stats
    assert stats.memory.working_set_bytes.value > 0


def test_stop_with_and_without_patience(cri: Client, daemon: Containerd) -> None:
    pod = cri.pod()
    willing = cri.container(pod, ["sh", "-c", "trap 'exit 7' TERM; while true; do sleep 0.1; done"])
    deaf = cri.container(pod, SLEEP)
    time.sleep(0.5)
    cri("StopContainer", container_id=willing, timeout=20)
    assert cri.status(willing).exit_code == 7
    cri("StopContainer", container_id=deaf, timeout=1)
    assert cri.status(deaf).exit_code == 137
    cri("RemoveContainer", container_id=deaf)
    with pytest.raises(Failed):
        cri.status(deaf)


def test_shared_processes(cri: Client) -> None:
    """Pod and node: the process namespace of the sandbox, and that of the host."""
    pod = cri.pod(pid=POD)
    container = cri.container(pod, SLEEP)
    assert "sleep 100000" in cri.output(container, "ps")
    cri("StopContainer", container_id=container, timeout=0)
    cri.remove(pod)
    pod = cri.pod(pid=NODE)
    assert "containerd" in cri.output(cri.container(pod, SLEEP), "ps")
    cri.remove(pod)


def test_network_of_the_node(cri: Client, daemon: Containerd) -> None:
    pod = cri.pod(host_network=True)
    container = cri.container(pod, SLEEP)
    there = daemon.machine.run("readlink", "/proc/1/ns/net").out
    assert cri.output(container, "readlink", "/proc/self/ns/net") == there


def test_security_context(cri: Client) -> None:
    pod = cri.pod()
    context = {
        "run_as_user": {"value": 1000}, "run_as_group": {"value": 1000}, "supplemental_groups": [2000],
        "readonly_rootfs": True, "no_new_privs": True, "capabilities": {"drop_capabilities": ["ALL"]},
        "masked_paths": ["/proc/timer_list"], "readonly_paths": ["/proc/sys"],
    }  # fmt: skip
    container = cri.container(pod, SLEEP, linux={"security_context": context})
    shown = dict(line.split(":", 1) for line in cri.output(container, "cat", "/proc/self/status").splitlines())
    assert shown["Uid"].split() == ["1000"] * 4
    assert "2000" in shown["Groups"].split()
    assert shown["Seccomp"].strip() == "2"
    assert (shown["NoNewPrivs"].strip(), shown["CapBnd"].strip().strip("0")) == ("1", "")
    assert "exit_code: 1" in str(cri("ExecSync", container_id=container, cmd=["touch", "/x"]))
    assert cri.output(container, "wc", "-c", "/proc/timer_list").split()[0] == "0"


def test_volume(cri: Client, daemon: Containerd) -> None:
    where = f"{daemon.machine.store}/volume"
    daemon.machine.write(f"{where}/file", "kept\n")
    mounts = [{"container_path": "/data", "host_path": where, "readonly": True}]
    container = cri.container(cri.pod(), SLEEP, mounts=mounts)
    assert cri.output(container, "cat", "/data/file") == "kept\n"
    assert cri("ExecSync", container_id=container, cmd=["touch", "/data/x"]).exit_code == 1


def test_events_reach_the_log_of_the_runtime(cri: Client, daemon: Containerd) -> None:
    """A mount that cannot be made is told with its place in config.json."""
    where = f"{daemon.machine.store}/volume"
    daemon.machine.write(f"{where}/file", "kept\n")
    made = cri.container(cri.pod(), SLEEP, start=False, mounts=[{"container_path": "/etc/passwd", "host_path": where}])
    with pytest.raises(Failed) as caught:
        cri("StartContainer", container_id=made)
    assert "/etc/passwd" in json.dumps(str(caught.value))
