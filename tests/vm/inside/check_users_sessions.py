"""The checks of `check_sessions.py` as an ordinary user, in a group that the user's systemd has delegated to a service."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from vm import guest, share

FILE = "tests/vm/inside/check_sessions.py"
REPORT = "/tmp/users-report.xml"
# A group with groups below holds no process: so the caller goes into one itself. systemd-run would read $$ as $.
BELOW = """group=/sys/fs/cgroup$(sed s/0::// /proc/self/cgroup)
mkdir $group/caller && echo 0 >$group/caller/cgroup.procs && exec "$@"
"""


@pytest.fixture(scope="module")
def cases() -> dict[str, str]:
    """Test -> what went wrong, "" for nothing."""
    words = ["systemd-run", "--user", "-M", f"{guest.USER}@", "--wait", "--pipe", "-q", "-p", "Delegate=yes"]
    words += [f"--working-directory={share.CHECKOUT}"]
    words += [f"--setenv={name}={value}" for name, value in share.ENVIRONMENT.items()]
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        f"--junit-xml={REPORT}",
        FILE,
    ]
    done = subprocess.run([*words, "sh", "-c", BELOW, "sh", *pytest_], capture_output=True, text=True, check=False)
    sys.stdout.write(done.stdout + done.stderr)
    assert done.returncode in (0, 1), done.stdout[-8000:] + done.stderr
    found = {}
    for case in ET.parse(REPORT).getroot().iter("testcase"):
        wrong = [one for kind in ("failure", "error", "skipped") for one in case.iter(kind)]
        found[case.get("name") or ""] = "\n".join(f"{one.get('message')}\n{one.text or ''}" for one in wrong)
    return found


@pytest.mark.parametrize("manager", ["systemd", "cgroupfs"])
def test_all_that_root_has(cases: dict[str, str], manager: str) -> None:
    own = {name: wrong for name, wrong in cases.items() if manager in name}
    assert len(own) > 8
    assert not any(own.values()), "\n".join(f"{name}: {wrong}" for name, wrong in own.items() if wrong)
