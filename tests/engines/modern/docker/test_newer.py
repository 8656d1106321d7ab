"""What only a newer dockerd asks of a runtime."""

from __future__ import annotations

import json
import re
import signal

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...docker.daemon import Docker

FEATURES = "org.opencontainers.runtime-spec.features"
FRONT = '#!/bin/sh\nunset IFS; echo "$*" >> {log}\nexec {path} "$@"\n'


@pytest.fixture
def changed(docker: Docker) -> Iterator[Docker]:
    """The daemon, whose settings are those of before again afterwards."""
    before = dict(docker.settings)
    yield docker
    docker.settings.clear()
    docker.configure(**before)
    docker.signal(signal.SIGHUP)


def hang_up(docker: Docker, name: str, **runtime: object) -> None:
    """Give the running daemon one more runtime."""
    docker.configure(runtimes={**docker.settings.get("runtimes", {}), name: runtime})
    docker.signal(signal.SIGHUP)
    docker.until(lambda: name in known(docker), "the runtime is known")


def known(docker: Docker) -> dict[str, dict[str, dict[str, str]]]:
    """The runtimes that docker info shows."""
    shown: dict[str, dict[str, dict[str, str]]] = json.loads(docker("info", "-f", "{{json .Runtimes}}").out)
    return shown


def front(docker: Docker, name: str) -> tuple[str, str]:
    """A program that writes down its arguments and becomes the runtime; its path, and that of what it writes."""
    log = f"{docker.machine.store}/{name}.log"
    return docker.machine.write(f"/usr/local/bin/{name}", FRONT.format(log=log, path=docker.path), 0o755), log


def calls(docker: Docker, log: str) -> list[str]:
    """What was written down."""
    return docker.machine.run("cat", log).ok().out.splitlines()


def test_features_are_asked_for(changed: Docker) -> None:
    """At the start of the daemon and when a runtime is added; docker info shows the whole document."""
    ours = json.loads(changed.machine.run(changed.path, "features").ok().out)

    def check(name: str) -> None:
        shown = json.loads(known(changed)[name]["status"][FEATURES])
        assert within(shown, ours)
        assert shown["mountOptions"] == ours["mountOptions"]

    check(changed.runtime.name)
    path, log = front(changed, "front")
    hang_up(changed, "front", path=path)
    assert calls(changed, log) == ["features"]
    check("front")


def within(shown: object, ours: object) -> bool:
    """Whether one document is the other, without fields that dockerd is too old to know."""
    if isinstance(shown, dict) and isinstance(ours, dict):
        return all(key in ours and within(value, ours[key]) for key, value in shown.items())
    return shown == ours


def test_runtime_by_its_type(changed: Docker) -> None:
    """A runtime that is registered as containerd knows it, with a root of its own."""
    hang_up(
        changed,
        "typed",
        runtimeType="io.containerd.runc.v2",
        options={"BinaryName": changed.path, "Root": "/run/typed"},
    )
    changed.keep("-d", "--name=c1", "--runtime=typed", "--", "sleep", "1000").ok()
    name = changed.inspect("c1", ".Id")
    assert name in changed.machine.run(changed.path, "--root=/run/typed/moby", "list", "-q").words
    changed("exec", "c1", "echo", "e").says("e")


def test_an_update_of_nothing(changed: Docker) -> None:
    """One that changes the restart policy only has an empty document for the runtime."""
    path, log = front(changed, "noted")
    hang_up(changed, "noted", path=path)
    changed.keep("-d", "--name=c1", "--memory=32m", "--runtime=noted", "--", "sleep", "1000").ok()
    changed("update", "--restart=on-failure", "c1")
    changed("update", "--memory=64m", "--memory-swap=64m", "c1")
    assert [call.split()[-3:-1] for call in calls(changed, log) if "update" in call] == [
        ["update", "--resources=-"],
        ["update", "--resources=-"],
    ]
    changed("exec", "c1", "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").says(str(64 << 20))


def test_exec_that_cannot_start(docker: Docker) -> None:
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    docker("exec", "c1", "nosuchcmd", check=False).ends(127, 'exec: "nosuchcmd": executable file not found in $PATH')
    docker("exec", "c1", "/no/such", check=False).ends(127, "no such file or directory")
    docker("exec", "-w", "/nosuch", "c1", "true", check=False).ends(127, "/nosuch")
    docker("exec", "c1", "/etc/passwd", check=False).ends(126, "permission denied")
    docker("exec", "c1", "/etc", check=False).ends(126)


def test_network_is_there_before_the_program(docker: Docker) -> None:
    """dockerd plugs it into the namespace of a created container, and no hook is called."""
    docker("network", "create", "--subnet=10.66.0.0/24", "net1")
    try:
        out = docker.run("--network=net1", "--ip=10.66.0.9", "--", "ip", "-4", "addr", "show", "eth0").ok().out
        assert "10.66.0.9/24" in out
        assert docker.run("ip", "route").ok().out.startswith("default via ")
        docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
        config = f"/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/{docker.inspect('c1', '.Id')}/config.json"
        assert "prestart" not in docker.machine.run("cat", config).ok().out
        docker("network", "connect", "net1", "c1")
        docker("exec", "c1", "ip", "addr", "show", "eth1")
    finally:
        docker("rm", "-f", "c1")
        docker("network", "rm", "net1")


def capabilities(docker: Docker, *words: str) -> int:
    """The effective set that a docker command with `grep` prints."""
    return int(docker(*words, "grep", "CapEff", "/proc/self/status").words[1], 16)


def test_privileged(docker: Docker) -> None:
    """Newer dockerd asks for those capabilities only that it has itself, so runc can do it too."""
    with open("/proc/self/status", encoding="ascii") as file:
        (bounding,) = re.findall(r"CapBnd:\s+(\w+)", file.read())
    everything = int(bounding, 16)
    assert capabilities(docker, "run", "--rm", "--privileged", "bb") == everything
    assert capabilities(docker, "run", "--rm", "--cap-add=ALL", "bb") == everything
    docker.keep("-d", "--name=c1", "--", "sleep", "1000").ok()
    assert capabilities(docker, "exec", "--privileged", "c1") == everything
    docker.run("--privileged", "--", "sh", "-c", "test -w /sys && mount -t tmpfs t /tmp && test -c /dev/fuse").ok()


def test_read_only_with_all_below(docker: Docker) -> None:
    """A volume that is read-only is so with what is mounted below it, unless asked for otherwise."""
    machine = docker.machine
    below = f"{machine.store}/rro/below"
    machine.run("mkdir", "-p", below).ok()
    machine.run("mount", "-t", "tmpfs", "t", below).ok()
    try:
        docker.run("-v", f"{machine.store}/rro:/m:ro", "--", "touch", "/m/below/x").ends(1, "Read-only file system")
        mount = f"--mount=type=bind,src={machine.store}/rro,dst=/m,readonly,bind-propagation=rprivate"
        docker.run(f"{mount},bind-recursive=readonly", "--", "touch", "/m/below/x").ends(1, "Read-only file system")
        script = "touch /m/below/x && ! touch /m/x"
        docker.run(f"{mount},bind-recursive=writable", "--", "sh", "-c", script).ok()
        docker.run(f"{mount},bind-recursive=disabled", "--", "ls", "/m/below").says("")
    finally:
        machine.run("umount", "-R", below).ok()


def test_writable_cgroups(docker: Docker) -> None:
    options = ["--cgroupns=private", "--security-opt=writable-cgroups=true"]
    docker.run(*options, "--", "mkdir", "/sys/fs/cgroup/pids/below").ok()
    docker.run("--cgroupns=private", "--", "mkdir", "/sys/fs/cgroup/pids/below").ends(1, "Read-only file system")


def test_part_of_a_volume(docker: Docker) -> None:
    docker.run("-v", "vol1:/v", "--", "sh", "-c", "mkdir /v/part; echo inner > /v/part/file").ok()
    mount = "--mount=type=volume,src=vol1,dst=/m,volume-subpath=part"
    docker.run(mount, "--", "cat", "/m/file").says("inner")
    docker("volume", "rm", "vol1")


def test_device_by_its_name(changed: Docker) -> None:
    """A CDI specification brings a device, a variable, a mount and hooks of every kind."""
    store = changed.machine.store
    stages = ("createRuntime", "createContainer", "startContainer", "poststop")
    hook = {stage: f"{store}/cdi-{stage}" for stage in stages}
    hooks = [
        {"hookName": stage, "path": "/bin/sh", "args": ["sh", "-c", f"echo {stage} > {hook[stage]}"]}
        for stage in stages
        if stage != "startContainer"
    ]
    hooks.append({"hookName": "startContainer", "path": "/bin/sh", "args": ["sh", "-c", "echo inside > /started"]})
    edits = {
        "env": ["CDI=yes"],
        "deviceNodes": [{"path": "/dev/odd", "hostPath": "/dev/fuse", "permissions": "rw"}],
        "mounts": [{"hostPath": "/etc/debian_version", "containerPath": "/version", "options": ["ro", "bind"]}],
        "hooks": hooks,
    }
    spec = {"cdiVersion": "0.6.0", "kind": "example.com/odd", "devices": [{"name": "one", "containerEdits": edits}]}
    changed.machine.write(f"{store}/cdi/odd.json", json.dumps(spec))
    changed.stop()
    changed.configure(**{"features": {"cdi": True}, "cdi-spec-dirs": [f"{store}/cdi"]})
    changed.start()
    script = "echo $CDI; stat -c %t,%T /dev/odd; test -s /version && cat /started"
    changed.run("--device=example.com/odd=one", "--", "sh", "-c", script).says("yes\na,e5\ninside")
    for stage, path in hook.items():
        if stage != "startContainer":
            assert changed.machine.run("cat", path).words == [stage]
