"""What a test makes for itself goes however the test ends: a failure leaves nothing to the next one."""

from __future__ import annotations

import json
import os

from . import process
from .users import User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_mounts_and_groups_of_a_test_that_stops_half_way(live: Case) -> None:
    place = f"{live.dir}/place"
    os.mkdir(place)
    live.mount("one", place, "tmpfs")
    os.mkdir(f"{place}/inner")
    live.mount("two", f"{place}/inner", "tmpfs")
    controller = next(
        name for name in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if os.path.exists(f"{name}/cgroup.procs")
    )
    group = live.group(f"{controller}{live.session.parent}/{live.session.mark}-own")
    os.mkdir(f"{group}/below")
    live.remove()
    live.assert_clean()


def test_a_config_that_a_test_changes(live: Case) -> None:
    """Those of later tests have nothing of it."""
    before = json.dumps(live.bundle(["/bin/true"]).config["mounts"])
    for mount in live.bundle(["/bin/true"]).mounts:
        mount.setdefault("options", []).append("ro")
    assert json.dumps(live.bundle(["/bin/true"]).config["mounts"]) == before


def test_a_command_that_nobody_waits_for(live: Case) -> None:
    """Each of the tests to come would wait for its end."""
    left, _, _ = process.spawn(["sleep", "600"], scratch=live.scratch)
    live.clear()
    assert left.returncode == -9
    assert process.descendants() == []


def test_a_user_whose_runtime_cannot_be_started(live: Case) -> None:
    before = _covered()
    user = User(live)
    os.mkdir(f"{live.root}/one")
    user.argv = lambda *args: ["/nonexistent/runtime", *args]  # type: ignore[method-assign]
    try:
        user.close()
    except FileNotFoundError:
        pass
    os.rmdir(f"{live.root}/one")
    live.remove()
    live.assert_clean()
    assert _covered() == before


def _covered() -> list[int]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [int(line.split()[0]) for line in file if line.split()[4].startswith("/etc/")]
