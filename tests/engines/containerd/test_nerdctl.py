"""nerdctl's containers: its network is made by hooks of config.json, which are its own program and read the state.

ctr hands on a whole config.json, so that these get to the runtime as those of nerdctl do.
"""

from __future__ import annotations

import json

import pytest

from ..calls.bare import config, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..machine import Result
    from .daemon import Containerd

#: Keeps the state that it was given, and gives the container's network an address.
HOOK = """#!/bin/sh
cat > {store}/hook-$1.json
readlink /proc/self/ns/net > {store}/hook-$1.net
ls /proc/self/fd | wc -l > {store}/hook-$1.fds
case $1 in
createRuntime)
    pid=$(grep -o '"pid": *[0-9]*' {store}/hook-$1.json | grep -o '[0-9]*$')
    nsenter -t "$pid" -n ip link set lo up && nsenter -t "$pid" -n ip addr add 10.99.0.1/32 dev lo;;
failing)
    echo 'network: no address left' >&2; exit 7;;
esac
"""


@pytest.fixture
def nerdctl(ctr: Containerd, busybox: str) -> Callable[..., Result]:
    """Runs a container c1 with hooks, stage by stage, which are called with the words given."""
    store = ctr.machine.store
    ctr.machine.run("rm", "-rf", f"{store}/nerdctl").ok()
    rootfs = unpack(busybox, f"{store}/nerdctl")
    hook = ctr.machine.write(f"{store}/hook", HOOK.format(store=store), 0o755)

    def run(program: list[str], hooks: dict[str, str], *options: str) -> Result:
        document: dict[str, Any] = config(rootfs, "/default/c1", tuple(program))
        document["hooks"] = {
            stage: [{"path": hook, "args": ["nerdctl", word], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]
            for stage, word in hooks.items()
        }
        path = ctr.machine.write(f"{store}/nerdctl.json", json.dumps(document))
        return ctr("run", "--runc-binary", ctr.path, "--config", path, *options, "c1", check=False)

    return run


def test_network_by_hooks(ctr: Containerd, nerdctl: Callable[..., Result]) -> None:
    store = ctr.machine.store
    seen = nerdctl(["ip", "addr"], {"createRuntime": "createRuntime", "poststop": "poststop"}, "--rm").ok()
    assert "10.99.0.1" in seen.out
    host = ctr.machine.run("readlink", "/proc/1/ns/net").out
    for stage, status in (("createRuntime", "creating"), ("poststop", "stopped")):
        ctr.until(lambda stage=stage: ctr.machine.run("cat", f"{store}/hook-{stage}.fds").code == 0, "the hook ran")
        state = json.loads(ctr.machine.run("cat", f"{store}/hook-{stage}.json").ok().out)
        assert (state["id"], state["status"]) == ("c1", status)
        assert state["bundle"].endswith("/io.containerd.runtime.v2.task/default/c1")
        assert state["annotations"]["nerdctl/name"] == "one two"
        assert bool(state.get("pid")) is (stage == "createRuntime")
        # The hook is a process of the host, and gets nothing but its three streams.
        assert ctr.machine.run("cat", f"{store}/hook-{stage}.net").out == host
        assert ctr.machine.run("cat", f"{store}/hook-{stage}.fds").words == ["4"]


def test_failing_hook(ctr: Containerd, nerdctl: Callable[..., Result]) -> None:
    """The container is not made, and the user reads what the hook has written."""
    result = nerdctl(["true"], {"createRuntime": "failing"}, "--rm").ends(1)
    assert "network: no address left" in result.err
    if ctr.runtime.ours:
        assert "/hooks/createRuntime/0" in result.err
        assert "7" in result.err
    assert ctr("tasks", "ls", "-q").words == []


def test_missing_hook(ctr: Containerd, nerdctl: Callable[..., Result]) -> None:
    result = nerdctl(["true"], {"createRuntime": "createRuntime"}, "--rm")
    result.ok()
    ctr.machine.run("rm", f"{ctr.machine.store}/hook").ok()
    result = ctr("run", "--rm", "--runc-binary", ctr.path, "--config", f"{ctr.machine.store}/nerdctl.json", "c1",
                 check=False)  # fmt: skip
    assert result.ends(1).err.count("no such file or directory") == 1
