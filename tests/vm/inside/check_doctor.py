"""The doctor under an AppArmor profile, and on a host with systemd and cgroup v2."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RUNTIME = os.path.join(CHECKOUT, "build", "bin", "ocirun")
NAME = "ocirun-doctor-test"
# All but what makes and mounts namespaces.
PROFILE = f"""\
profile {NAME} flags=(attach_disconnected,mediate_deleted) {{
  file,
  network,
  signal,
  unix,
  ptrace,
  capability,
  deny capability sys_admin,
}}
"""


@pytest.fixture
def profile() -> Iterator[str]:
    subprocess.run(["apparmor_parser", "-a", "-K"], input=PROFILE, text=True, check=True)
    yield NAME
    subprocess.run(["apparmor_parser", "-R"], input=PROFILE, text=True, check=True)


def look(*before: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    """The doctor's status and answers, called behind other words."""
    done = subprocess.run(
        [*before, RUNTIME, "--root", "/run/ocirun-doctor-test", "doctor", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, {(one["group"], one["name"]): one for one in json.loads(done.stdout)["checks"]}


def test_under_a_profile(profile: str) -> None:
    status, found = look("aa-exec", "-p", profile, "--")
    assert status == 1
    check = found["namespaces", "mount"]
    assert check["verdict"] == "refused"
    assert check["note"] == f"the AppArmor profile {profile} (enforce) that ocirun runs under refuses clone3"
    assert "aa-exec -p unconfined" in check["remedy"]


def test_without_one() -> None:
    status, found = look()
    assert status == 0
    assert found["cgroups", "hierarchy"]["note"] == "cgroup v2"
    assert "memory" in found["cgroups", "groups"]["note"]


def test_user_without_delegation() -> None:
    _, found = look("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    check = found["cgroups", "groups"]
    assert "none is delegated to nobody" in check["note"]
    assert "Delegate=yes" in check["remedy"]
