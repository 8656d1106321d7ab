"""Containers that are services: units of podman, readiness told from inside, and systemd itself in a container."""

from __future__ import annotations

from ...podman.engine import IMAGE
from .guest import group, values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .podman import SystemdPodman

# As quadlet writes them.
UNIT = """[Service]
Environment=PODMAN_SYSTEMD_UNIT=%n
Delegate=yes
Type=notify
NotifyAccess=all
KillMode=mixed
SyslogIdentifier=%N
ExecStart=/usr/bin/podman run --name=web --cidfile=%t/%N.cid --replace --rm -d --cgroups=split --sdnotify=container \
 --network=none --memory=40m --rootfs /:O sh -c '{script}'
ExecStopPost=-/usr/bin/podman rm -f -i --cidfile=%t/%N.cid
"""
# Not before the file is there it says that it is ready.
SCRIPT = (
    'trap "exit 0" TERM; sleep 1; echo /proc/1/cgroup >/tmp/done; systemd-notify --ready; while :; do sleep 0.1; done'
)
WAITING = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")


def test_a_unit_with_its_own_group_divided(podman: SystemdPodman) -> None:
    machine = podman.machine
    machine.write("/run/systemd/system/web.service", UNIT.format(script=SCRIPT))
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "web")
    podman("exec", "web", "cat", "/tmp/done").says("/proc/1/cgroup")
    pid = podman.inspect("web", ".State.Pid")
    where = group(pid)
    assert where.startswith("/system.slice/web.service/libpod-payload-")
    assert values(where, "memory.max") == [str(40 << 20)]
    shown = machine.properties("web", "ActiveState", "StatusText", "MainPID")
    assert group(shown["MainPID"]) == "/system.slice/web.service/runtime"
    machine.systemctl("stop", "web")
    assert machine.properties("web", "Result", "ActiveState") == {"Result": "success", "ActiveState": "inactive"}


def test_a_generated_unit(podman: SystemdPodman) -> None:
    machine = podman.machine
    podman("create", "--name=web", "--network=none", IMAGE, *WAITING)
    machine.write("/run/systemd/system/container-web.service", podman("generate", "systemd", "--new", "web").out)
    podman("rm", "web")
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "container-web")
    assert group(podman.inspect("web", ".State.Pid")).startswith("/machine.slice/libpod-")
    machine.systemctl("stop", "container-web")
    assert machine.properties("container-web", "Result", "ActiveState") == {
        "Result": "success",
        "ActiveState": "inactive",
    }


def test_systemd_inside(podman: SystemdPodman) -> None:
    podman(
        "run",
        "-d",
        "--name=c1",
        "--network=none",
        "--systemd=always",
        "--rootfs",
        "/:O",
        "/sbin/init",
        "--unit=basic.target",
    )
    where = group(podman.inspect("c1", ".State.Pid"))
    assert where.startswith("/machine.slice/libpod-") and where.endswith(".scope/init.scope")
    podman.until(
        lambda: podman("exec", "c1", "systemctl", "is-system-running", check=False).out == "running\n", "it has come up"
    )
    # A unit of the inner systemd, with a limit of its own, and the processes of exec beside it.
    script = "cat /proc/self/cgroup; systemd-run --wait -q --pipe -p MemoryMax=20M cat /proc/self/cgroup"
    own, inner = podman("exec", "c1", "sh", "-c", script).words
    assert own == "0::/init.scope"
    assert inner.startswith("0::/system.slice/run-u")
    podman("stop", "-t", "60", "c1")
    assert podman.inspect("c1", ".State.ExitCode") in ("0", "130")
    podman("rm", "c1")
