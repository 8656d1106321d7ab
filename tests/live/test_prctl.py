"""What a program in a container may do and is, by python-prctl: a second witness beside /proc/self/status."""

from __future__ import annotations

import json
import os
import sys
import sysconfig

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

PROBE = """
import json, sys
sys.path.append({packages!r})
import prctl
names = ("kill", "net_bind_service", "sys_admin")
print(json.dumps({{
    "no_new_privs": prctl.get_no_new_privs(),
    "dumpable": prctl.get_dumpable(),
    "keepcaps": prctl.get_keepcaps(),
    "pdeathsig": prctl.get_pdeathsig(),
    "seccomp": prctl.get_seccomp(),
    "timerslack": prctl.get_timerslack(),
    "subreaper": prctl.get_child_subreaper(),
    "securebits": prctl.get_securebits(),
    "bounding": [name for name in names if getattr(prctl.capbset, name)],
    "effective": [name for name in names if getattr(prctl.cap_effective, name)],
    "permitted": [name for name in names if getattr(prctl.cap_permitted, name)],
    "inheritable": [name for name in names if getattr(prctl.cap_inheritable, name)],
}}))
"""


def seen(live: Case, **process: Any) -> dict[str, Any]:
    """Run the probe in a container that sees this interpreter, with `process` in its config."""
    packages = sysconfig.get_path("purelib")
    bundle = live.bundle()
    bundle.process.update(process, args=[os.path.realpath(sys.executable), "-c", PROBE.format(packages=packages)])
    wanted = {"/usr", "/lib", "/lib64", sys.base_prefix, packages, sysconfig.get_path("platlib")}
    for path in sorted(wanted):
        if os.path.isdir(path) and not any(path.startswith(f"{above}/") for above in wanted):
            mount = {"destination": path, "type": "none", "source": os.path.realpath(path), "options": ["bind", "ro"]}
            bundle.config["mounts"].append(mount)
    result: dict[str, Any] = json.loads(live.output(bundle))
    return result


@pytest.mark.parametrize("hold", [True, False])
def test_what_a_program_is(live: Case, hold: bool) -> None:
    """Nothing that the helper was on its way is left: no death signal, no kept capabilities, no subreaper."""
    some = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
    sets = dict.fromkeys(("bounding", "permitted", "effective"), some)
    found = seen(live, noNewPrivileges=hold, capabilities=sets)
    assert found.pop("timerslack") > 0
    names = ["kill", "net_bind_service"]
    assert found == {
        "no_new_privs": int(hold),
        "dumpable": 1,
        "keepcaps": False,
        "pdeathsig": 0,
        "seccomp": False,
        "subreaper": 0,
        "securebits": 0,
        "bounding": names,
        "effective": names,
        "permitted": names,
        "inheritable": [],
    }
