"""Programs with groups of their own in containers of systemd's, and in those of an ordinary user with delegated groups.

The tests are those of tests/api/test_sessions.py. `check_users_sessions.py` runs this file again, as an ordinary user.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from api.conftest import SAMPLES, shell
from api.conftest import root as root
from api.test_sessions import groups, others
from api.test_sessions import test_a_program_that_forks_without_end as test_a_program_that_forks_without_end
from api.test_sessions import test_a_program_that_lies as test_a_program_that_lies
from api.test_sessions import test_each_has_its_own_limits as test_each_has_its_own_limits
from api.test_sessions import test_each_has_its_own_numbers as test_each_has_its_own_numbers
from api.test_sessions import test_many_at_once as test_many_at_once
from api.test_sessions import test_the_plan_shows_it as test_the_plan_shows_it
from api.test_sessions import test_the_whole_tree_goes as test_the_whole_tree_goes
from api.test_sessions import test_usage_of_a_process as test_usage_of_a_process
from live import kernel
from vm import share

import ocirun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

TOP = "/sys/fs/cgroup"
MANAGERS = ("systemd",) if os.geteuid() == 0 else ("systemd", "cgroupfs")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A root file system of whoever runs this."""
    made = tmp_path_factory.mktemp("sessions")
    programs = made / "rootfs" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", programs)
    for name in subprocess.check_output([programs / "busybox", "--list"], text=True).split():
        if name != "busybox":
            (programs / name).symlink_to("busybox")
    return str(made)


@pytest.fixture
def config() -> dict[str, Any]:
    """Of a container that waits; an ordinary user is root in a user namespace of its own."""
    found: dict[str, Any] = json.loads((SAMPLES / "hello" / "config.json").read_bytes())
    found["process"]["args"] = ["/bin/sleep", "600"]
    found["mounts"].append({"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["size=32m"]})
    if os.geteuid():
        found["linux"]["namespaces"].append({"type": "user"})
        for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
            found["linux"][f"{kind}Mappings"] = [{"containerID": 0, "hostID": own, "size": 1}]
    return found


@pytest.fixture(params=MANAGERS)
def container(
    request: pytest.FixtureRequest, bundle: str, root: str, config: dict[str, Any]
) -> Iterator[ocirun.Container]:
    """One that waits, by the API; when it is deleted its group has gone with all that was below, and so has its unit."""
    null = os.open("/dev/null", os.O_RDWR)
    options = ocirun.CreateOptions(bundle=bundle, stdio=(null, null, null), cgroup_manager=request.param)
    name = f"api-s-{os.getpid()}"
    with ocirun.Container.create(name, root=root, options=options, config=config, memory=100 << 20, pids=200) as one:
        one.start()
        (group,) = one.cgroup.groups
        yield one
    os.close(null)
    assert not os.path.exists(group.path)
    assert ocirun.list_ids(root) == []
    words = [
        "systemctl",
        *(["--user"] if os.geteuid() else []),
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "ocirun-*",
    ]
    assert subprocess.check_output(words) == b""


def test_where_it_is(container: ocirun.Container, request: pytest.FixtureRequest) -> None:
    """Systemd's unit, or beside the caller's own group; the first process and each program have a leaf below."""
    (group,) = container.cgroup.groups
    own = Path("/proc/self/cgroup").read_text(encoding="ascii").strip().removeprefix("0::")
    by_systemd = "ocirun-" in group.path
    assert by_systemd or group.path == f"{TOP}{os.path.dirname(own)}/{container.id}"
    where = group.path.removeprefix(TOP)
    assert Path(f"/proc/{container.pid}/cgroup").read_text(encoding="ascii") == f"0::{where}/init\n"
    assert {"cpu", "memory", "pids"} <= set(
        Path(group.path, "cgroup.subtree_control").read_text(encoding="ascii").split()
    )
    with container.popen(["/bin/sleep", "600"], stdin=ocirun.DEVNULL) as process:
        (name,) = groups(container)
        assert Path(f"/proc/{process.pid}/cgroup").read_text(encoding="ascii") == f"0::{where}/{name}\n"
    assert sorted(entry.name for entry in os.scandir(group.path) if entry.is_dir()) == ["init"]


def test_a_process_beside(container: ocirun.Container) -> None:
    """One of the command line is with the first process, and ends with the container, not with a program."""
    words = [share.CHECKOUT + "/build/bin/ocirun", "--root", container.root, "exec", "--detach", container.id]
    # The first process ends when all others of its pid namespace are reaped, each by its parent: this process.
    kernel.become_subreaper()
    subprocess.run([*words, "/bin/sleep", "600"], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    (pid,) = others(container)
    threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
    (group,) = container.cgroup.groups
    assert Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").endswith("/init\n")
    assert container.run(shell("sleep 600 & exit 3")).exit_code == 3
    assert others(container) == [pid]
    container.pause()
    container.resume()
    container.update({"memory": {"limit": 90 << 20}})
    assert Path(group.path, "memory.max").read_text(encoding="ascii") == f"{90 << 20}\n"
    assert groups(container) == []
