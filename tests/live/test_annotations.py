"""Annotations ``run.oci.*`` with real containers."""

from __future__ import annotations

import json
import os
import socket

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

GROUPS = ["setpriv", "--groups", "11,12"]


@pytest.mark.parametrize("user_namespace", [False, True], ids=["root", "userns"])
@pytest.mark.parametrize("value", ["1", "0"])
def test_keep_original_groups(live: Case, user_namespace: bool, value: str) -> None:
    bundle = live.shell("grep Groups: /proc/self/status")
    if user_namespace:
        bundle.user_namespace()
    bundle.config["annotations"] = {"run.oci.keep_original_groups": value}
    bundle.save()
    found = live.command_in(GROUPS, "run", "--bundle", bundle.path, bundle.id).ok().out.split()[1:]
    outside = ["65534", "65534"] if user_namespace else ["11", "12"]
    assert found == (outside if value == "1" else [])


def test_pidfd_receiver(live: Case) -> None:
    path = f"{live.dir}/receiver"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        bundle = live.bundle(["/bin/sleep", "600"])
        bundle.config["annotations"] = {"run.oci.pidfd_receiver": path}
        live.create(bundle)
        connection, _ = listener.accept()
        with connection:
            _, (fd,), _, _ = socket.recv_fds(connection, 100, 1)
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
        assert f"Pid:\t{live.pid(bundle)}\n" in file.read()
    os.close(fd)
    live.delete(bundle, "--force")


def test_unknown_system_call_is_an_error(live: Case) -> None:
    bundle = live.bundle()
    rule = {"names": ["no_such_call"], "action": "SCMP_ACT_ALLOW"}
    bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    live.run(bundle).ok()
    bundle.config["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
    live.refused(bundle, "/linux/seccomp/syscalls", "no_such_call", "run.oci.seccomp_fail_unknown_syscall")


def test_handlers_are_refused_and_check_tells_each(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["annotations"] = {"run.oci.handler": "krun", "run.oci.keep_original_groups": "1"}
    live.refused(bundle, "/annotations/run.oci.handler", "not supported")
    result = live.command("--log-format", "json", "create", "-b", bundle.path, bundle.id)
    assert json.loads(result.err)["code"] == "unsupported"
    checked = live.command("check", "--json", "-b", bundle.path)
    findings = {one["pointer"]: one["severity"] for one in json.loads(checked.out)["findings"]}
    assert findings["/annotations/run.oci.handler"] == "error"
    assert findings["/annotations/run.oci.keep_original_groups"] == "note"
    bundle.config["annotations"] = {"run.oci.unheard": "x"}
    bundle.save()
    checked = live.command("check", "--json", "-b", bundle.path)
    findings = {one["pointer"]: one["severity"] for one in json.loads(checked.out)["findings"]}
    assert findings["/annotations/run.oci.unheard"] == "warning"


def test_what_has_no_effect_is_told(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["annotations"] = {"run.oci.hooks.stdout": f"{live.dir}/out"}
    result = live.run(bundle).ok()
    process.eventually(lambda: "has no effect" in result.err, "the warning")
