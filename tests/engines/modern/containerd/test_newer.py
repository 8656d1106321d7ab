"""What only containerd 2 asks of a runtime."""

from __future__ import annotations

import json

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...containerd.cri import Client
    from ...containerd.daemon import Containerd

SLEEP = ("sleep", "1000")
MAP = [{"host_id": 400000, "container_id": 0, "length": 65536}]
USERNS = {"mode": 0, "uids": MAP, "gids": MAP}


def test_features(ctr: Containerd) -> None:
    """containerd shows the document, and a kubelet what follows from it."""
    shown = ctr("plugins", "inspect-runtime", "--runc-binary", ctr.path).out
    features = json.loads(shown)["Features"]
    assert "rro" in features["mountOptions"]
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True
    ours = json.loads(ctr.machine.run(ctr.path, "features").ok().out)
    assert (features["ociVersionMin"], features["hooks"]) == (ours["ociVersionMin"], ours["hooks"])


def test_features_of_the_handlers(cri: Client, daemon: Containerd) -> None:
    handlers = {handler.name: handler.features for handler in cri("Status").runtime_handlers}
    for name in ("", daemon.runtime.name, "handler"):
        assert handlers[name].recursive_read_only_mounts
        assert handlers[name].user_namespaces


def test_pod_in_a_user_namespace(cri: Client, daemon: Containerd) -> None:
    """The root is a snapshot that is mounted with other owners, and so is a volume."""
    store = daemon.machine.store
    daemon.machine.write(f"{store}/mapped/file", "kept\n")
    pod = cri.pod(userns_options=USERNS)
    volume = {
        "container_path": "/data",
        "host_path": f"{store}/mapped",
        "uidMappings": MAP,
        "gidMappings": MAP,
    }
    first, second = (cri.container(pod, SLEEP, mounts=[volume]) for _ in range(2))
    assert cri.output(first, "cat", "/proc/self/uid_map").split() == ["0", "400000", "65536"]
    one, two = (cri.output(container, "readlink", "/proc/self/ns/user") for container in (first, second))
    assert one == two
    # Owners are those of the disk on both sides.
    assert cri.output(first, "stat", "-c", "%u", "/bin/busybox", "/data/file", "/home/app").split() == [
        "0",
        "0",
        "1000",
    ]
    assert cri.output(first, "sh", "-c", "echo new > /data/new; cat /data/file") == "kept\n"
    assert daemon.machine.run("stat", "-c", "%u", f"{store}/mapped/new").words == ["0"]
    assert "eth0" in cri.output(first, "ip", "addr")
    answer = cri("ExecSync", container_id=first, cmd=["mount", "-o", "remount,rw", "/proc/sys"])
    assert answer.exit_code != 0
    update = {"memory_limit_in_bytes": 64 << 20}
    cri("UpdateContainerResources", container_id=first, linux=update)
    assert cri.output(first, "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").split() == [str(64 << 20)]
    cri("StopContainer", container_id=first, timeout=0)
    cri.remove(pod)


@pytest.mark.parametrize("recursive", [False, True], ids=["alone", "with all below"])
def test_read_only_volume(cri: Client, daemon: Containerd, recursive: bool) -> None:
    machine = daemon.machine
    below = f"{machine.store}/rro-pods/below"
    machine.run("mkdir", "-p", below).ok()
    machine.run("mount", "-t", "tmpfs", "t", below).ok()
    try:
        volume: dict[str, Any] = {"container_path": "/data", "host_path": f"{machine.store}/rro-pods", "readonly": True}
        container = cri.container(cri.pod(), SLEEP, mounts=[{**volume, "recursive_read_only": recursive}])
        assert cri("ExecSync", container_id=container, cmd=["touch", "/data/x"]).exit_code == 1
        assert cri("ExecSync", container_id=container, cmd=["touch", "/data/below/x"]).exit_code == int(recursive)
        cri.clear()
    finally:
        machine.run("umount", below).ok()


def test_device_by_its_name(cri: Client, daemon: Containerd) -> None:
    hook = {"hookName": "createContainer", "path": "/bin/sh", "args": ["sh", "-c", "cat > /run/cdi-state"]}
    edits = {"env": ["CDI=yes"], "deviceNodes": [{"path": "/dev/odd", "hostPath": "/dev/fuse"}], "hooks": [hook]}
    spec = {"cdiVersion": "0.6.0", "kind": "example.com/odd", "devices": [{"name": "one", "containerEdits": edits}]}
    daemon.machine.write("/etc/cni/devices/odd.json", json.dumps(spec))
    container = cri.container(cri.pod(), SLEEP, CDI_devices=[{"name": "example.com/odd=one"}])
    assert cri.output(container, "stat", "-c", "%t,%T", "/dev/odd") == "a,e5\n"
    assert "CDI=yes" in cri.output(container, "cat", "/proc/1/environ")
    state = json.loads(daemon.machine.run("cat", "/run/cdi-state").ok().out)
    assert (state["id"], state["status"]) == (container, "creating")


def test_failed_start_leaves_nothing(cri: Client, daemon: Containerd) -> None:
    """containerd 2 calls no delete after it as long as others of the pod live: the runtime has cleaned up itself."""
    pod = cri.pod()
    living = cri.container(pod, SLEEP)
    made = cri.container(pod, ["nosuchcmd"], start=False)
    with pytest.raises(Exception, match="executable file not found"):
        cri("StartContainer", container_id=made)
    assert made not in daemon.machine.run("ls", "/run/containerd/runc/k8s.io").words
    assert not [path for path in daemon.machine.groups() if made in path]
    cri.output(living, "true")
