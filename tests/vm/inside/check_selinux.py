"""SELinux: labels of processes, keyrings and mounts, in the guest's variant that has it.

OCIRUN_VM_VARIANT=selinux tests/vm/run .venv/bin/python -m pytest -q tests/vm/inside/check_selinux.py
"""

from __future__ import annotations

import os
import subprocess

import pytest

from .check_apparmor import bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .check_apparmor import Bundle

__all__ = ["bundle"]

PROCESS = "system_u:system_r:ocirun_t:s0:c1,c2"
FILES = "system_u:object_r:ocirun_file_t:s0:c1,c2"
MORE = "system_u:object_r:ocirun_file_t:s0:c1,c9"
OTHER = "system_u:system_r:ocirun_t:s0:c3,c4"
SHOW = ["/bin/cat", "/proc/self/attr/current"]


def labelled(bundle: Bundle, **process: Any) -> None:
    bundle.config["process"] |= {"args": SHOW, "selinuxLabel": PROCESS, **process}


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_process(bundle: Bundle, no_new_privileges: bool) -> None:
    # Permissive: a transition that no_new_privs forbids is not undone, and would show.
    labelled(bundle, noNewPrivileges=no_new_privileges)
    assert bundle.run().rstrip("\0\n") == PROCESS


def test_user_namespace(bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 200000, "size": 5000}]
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    bundle.config["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    labelled(bundle, user={"uid": 1000, "gid": 1000})
    assert bundle.run().rstrip("\0\n") == PROCESS


def test_mounts_and_exec(bundle: Bundle) -> None:
    bundle.config["mounts"] += [
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue"},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
        {"destination": "/own", "type": "tmpfs", "source": "tmpfs", "options": [f'context="{MORE}"']},
    ]
    labelled(bundle, args=["/bin/sleep", "1000"])
    bundle.config["linux"] |= {"mountLabel": FILES, "maskedPaths": ["/tmp"]}
    log = ["--log", str(bundle.top / "log")]
    bundle.command(*log, "run", "--detach", "--bundle", str(bundle.top), "c", output=subprocess.DEVNULL)
    assert not os.path.exists(log[1]), "there was something to say"
    result = bundle.command("exec", "c", *SHOW)
    assert result.stdout.rstrip("\0\n") == PROCESS, result.stderr
    assert bundle.command("exec", "--process-label", OTHER, "c", *SHOW).stdout.rstrip("\0\n") == OTHER
    pid = int(bundle.command("ps", "--format", "json", "c").stdout.strip("[]\n").split(",")[0])
    for name in ("/dev", "/dev/null", "/dev/pts", "/dev/mqueue", "/tmp"):
        label = os.getxattr(f"/proc/{pid}/root{name}", "security.selinux").decode().rstrip("\0")
        assert label == FILES, name
    own = os.getxattr(f"/proc/{pid}/root/own", "security.selinux").decode().rstrip("\0")
    assert own == MORE
    with open(f"/proc/{pid}/mountinfo", encoding="ascii") as file:
        assert not [line for line in file if " - proc " in line and "context=" in line]


def test_label_that_the_policy_does_not_have(bundle: Bundle) -> None:
    labelled(bundle, selinuxLabel="system_u:system_r:nosuch_t:s0")
    result = bundle.command("create", "--bundle", str(bundle.top), "c")
    assert result.returncode == 1
    assert "/process/selinuxLabel: " in result.stderr
    assert os.listdir(bundle.top / "state") == []


def test_mount_label_that_the_policy_does_not_have(bundle: Bundle) -> None:
    bundle.config["linux"]["mountLabel"] = "system_u:object_r:nosuch_t:s0"
    result = bundle.command("create", "--bundle", str(bundle.top), "c")
    assert "/linux/mountLabel: " in result.stderr, result.stderr


def test_keyring(bundle: Bundle) -> None:
    labelled(bundle, args=["/bin/sleep", "1000"])
    bundle.command("run", "--detach", "--bundle", str(bundle.top), "c", output=subprocess.DEVNULL)
    pid = int(bundle.command("ps", "--format", "json", "c").stdout.strip("[]\n").split(",")[0])
    with open(f"/proc/{pid}/attr/keycreate", encoding="ascii") as file:
        assert file.read().rstrip("\0\n") == "", "for the session keyring alone"
