"""A day with nerdctl: its own commands, with ocirun as the runtime of each container."""

from __future__ import annotations

import json

import pytest

from ..leaks import Quiet
from .nerdctl import Nerdctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .node import Node

SLEEP = ("sleep", "1000")
STAYS = (" containerd", "registry.py", "cgroup /default", "cgroup /k8s.io", "/nerdctl/data")


@pytest.fixture(scope="module")
def client(node: Node) -> Nerdctl:
    """nerdctl on the node."""
    made = Nerdctl(node)
    # The first container makes the bridge.
    made.run("true").ok()
    return made


@pytest.fixture(scope="module")
def quiet(client: Nerdctl) -> Quiet:
    """What the node looks like without containers."""
    return Quiet(client.machine, ("/run/containerd/runc/default",), STAYS)


@pytest.fixture
def nerdctl(client: Nerdctl, quiet: Quiet) -> Iterator[Nerdctl]:
    """nerdctl; afterwards its containers are removed, and nothing of them may be left."""
    yield client
    if names := client("ps", "-aq").words:
        client("rm", "-f", *names)
    quiet.check()


def test_output_status_and_network(nerdctl: Nerdctl) -> None:
    store = nerdctl.machine.store
    nerdctl.run("sh", "-c", "echo out; echo err >&2; exit 7").ends(7, "out", "err")
    assert "eth0" in nerdctl.run("ip", "-o", "addr").ok().out
    # nerdctl, with any runtime, does not notice if standard input ends before the container runs.
    line = 'while [ ! -e "$0/begun" ]; do sleep 0.1; done; echo through'
    given = f"sh -c '{line}' {store} | {nerdctl.shell} run --rm -i -v {store}:{store} --runtime {nerdctl.path} {nerdctl.image}"
    nerdctl.machine.run("sh", "-c", f"{given} sh -c 'touch {store}/begun; exec cat'").says("through")
    assert nerdctl.run("/missing").code != 0


def test_the_runtime_has_it(nerdctl: Nerdctl) -> None:
    name = nerdctl.keep("-d", "--", *SLEEP).words[0]
    states = json.loads(
        nerdctl.machine.run(nerdctl.path, "--root", "/run/containerd/runc/default", "list", "-f", "json").ok().out
    )
    assert [(state["id"], state["status"]) for state in states] == [(name, "running")]


def test_day(nerdctl: Nerdctl) -> None:
    nerdctl.keep("-d", "--name", "day", "--hostname", "day", "--", "sh", "-c", "echo begun; exec sleep 1000")
    nerdctl("logs", "day").says("begun")
    nerdctl("exec", "day", "hostname").says("day")
    nerdctl("exec", "-u", "1000", "-w", "/tmp", "-e", "A=b", "day", "sh", "-c", "id -u; pwd; echo $A").says(
        "1000\n/tmp\nb"
    )
    nerdctl("exec", "day", "sh", "-c", "exit 9", check=False).ends(1, "exit code 9")
    assert "sleep 1000" in nerdctl("top", "day").out
    assert nerdctl("ps", "--format", "{{.Names}}").words == ["day"]
    nerdctl("stats", "--no-stream", "day")
    nerdctl("pause", "day")
    assert nerdctl.inspect("day", ".State.Status") == "paused"
    nerdctl("unpause", "day")
    nerdctl("rename", "day", "later")
    nerdctl("stop", "-t", "1", "later")
    assert nerdctl.inspect("later", ".State.Status") == "exited"
    nerdctl("start", "later")
    nerdctl("restart", "-t", "1", "later")
    nerdctl("kill", "later")
    nerdctl("wait", "later").says("137")
    nerdctl("rm", "later")


def test_files_and_volumes(nerdctl: Nerdctl) -> None:
    store = nerdctl.machine.store
    nerdctl.machine.write(f"{store}/bound/file", "bound\n")
    nerdctl("volume", "create", "kept")
    nerdctl.run("-v", "kept:/kept", "--", "sh", "-c", "echo written >/kept/file").ok()
    nerdctl.run("-v", "kept:/kept:ro", "-v", f"{store}/bound:/bound:ro", "--", "cat", "/kept/file", "/bound/file").says(
        "written\nbound"
    )
    assert nerdctl.run("-v", "kept:/kept:ro", "--", "touch", "/kept/file").code != 0
    nerdctl.run("--tmpfs", "/scratch:size=1m,mode=0700", "--", "stat", "-f", "-c", "%T", "/scratch").says("tmpfs")
    nerdctl("volume", "rm", "kept")
    nerdctl.keep("-d", "--name", "copied", "--", *SLEEP)
    nerdctl("cp", f"{store}/bound/file", "copied:/tmp/file")
    nerdctl("exec", "copied", "cat", "/tmp/file").says("bound")
    nerdctl("cp", "copied:/etc/passwd", f"{store}/passwd")
    nerdctl("commit", "copied", "committed")
    nerdctl("run", "--rm", "committed", "cat", "/tmp/file").says("bound")
    nerdctl("rm", "-f", "copied")
    nerdctl("rmi", "committed")


def test_limits(nerdctl: Nerdctl) -> None:
    nerdctl.run("-m", "32m", "--", "eat").ends(137)
    nerdctl.keep("-d", "--name", "limited", "-m", "64m", "--cpus", "0.5", "--pids-limit", "50", "--", *SLEEP)
    group = "/sys/fs/cgroup"
    nerdctl("exec", "limited", "cat", f"{group}/memory/memory.limit_in_bytes").says(str(64 << 20))
    nerdctl("exec", "limited", "cat", f"{group}/pids/pids.max").says("50")
    nerdctl("update", "-m", "96m", "--memory-swap", "96m", "limited")
    nerdctl("exec", "limited", "cat", f"{group}/memory/memory.limit_in_bytes").says(str(96 << 20))


def test_security(nerdctl: Nerdctl) -> None:
    nerdctl.run("--user", "1000:1000", "--", "id", "-u").says("1000")
    nerdctl.run("--read-only", "--", "touch", "/file").ends(1, "Read-only file system")
    nerdctl.run("--cap-drop", "ALL", "--", "grep", "CapEff", "/proc/self/status").says("CapEff:\t0000000000000000")
    nerdctl.run("--security-opt", "no-new-privileges", "--", "grep", "NoNewPrivs", "/proc/self/status").says(
        "NoNewPrivs:\t1"
    )
    nerdctl.run("grep", "Seccomp:", "/proc/self/status").says("Seccomp:\t2")
    nerdctl.run("--sysctl", "net.ipv4.ip_forward=1", "--", "cat", "/proc/sys/net/ipv4/ip_forward").says("1")
    nerdctl.run("--ulimit", "nofile=77:88", "--", "sh", "-c", "ulimit -n; ulimit -Hn").says("77\n88")
    nerdctl.run("--init=false", "--pid", "host", "--", "true").ok()


def test_ports_and_names(nerdctl: Nerdctl) -> None:
    nerdctl("network", "create", "--subnet", "10.66.0.0/24", "web")
    server = ("httpd", "-f", "-p", "80", "-h", "/www")
    nerdctl.keep("-d", "--name", "server", "--net", "web", "-p", "127.0.0.1:8080:80", "--", *server)
    nerdctl.until(lambda: nerdctl.machine.fetch("http://127.0.0.1:8080/") == "it works\n", "the port is published")
    nerdctl.run("--net", "web", "--", "wget", "-qO-", "http://server/").says("it works")
    nerdctl.run("--net", "container:server", "--", "wget", "-qO-", "http://127.0.0.1/").says("it works")
    nerdctl("rm", "-f", "server")
    nerdctl("network", "rm", "web")


def test_restart_policy(nerdctl: Nerdctl) -> None:
    nerdctl.keep("-d", "--name", "again", "--restart", "always", "--", *SLEEP)
    pid = nerdctl.inspect("again", ".State.Pid")
    nerdctl.machine.run("kill", "-9", pid).ok()
    nerdctl.until(
        lambda: (
            nerdctl.inspect("again", ".State.Status") == "running" and nerdctl.inspect("again", ".State.Pid") != pid
        ),
        "containerd starts it again",
    )


def test_compose(nerdctl: Nerdctl) -> None:
    store = nerdctl.machine.store
    text = f"""services:
  one:
    image: {nerdctl.image}
    command: ["httpd", "-f", "-p", "80", "-h", "/www"]
  two:
    image: {nerdctl.image}
    command: ["sh", "-c", "until wget -qO- http://one/; do sleep 0.1; done; sleep 1000"]
    depends_on: [one]
"""
    nerdctl.machine.write(
        f"{store}/project/compose.yaml", text.replace("    image", f"    runtime: {nerdctl.path}\n    image")
    )
    compose = ("compose", "-f", f"{store}/project/compose.yaml")
    nerdctl(*compose, "up", "-d")
    nerdctl.until(lambda: "it works" in nerdctl(*compose, "logs").out, "one service reaches the other")
    nerdctl(*compose, "exec", "-T", "two", "true")
    nerdctl(*compose, "down")
    assert not nerdctl("ps", "-aq").words
