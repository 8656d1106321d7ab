"""Annotations ``run.oci.*`` with real containers."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest

from .test_hooks import KINDS

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


def test_output_of_hooks_is_kept(live: Case) -> None:
    """Of all six kinds, whichever side and command runs them; what was there before stays."""
    bundle = live.shell("ls /proc/self/fd; ls -l /proc/1/fd")
    out, err = f"{live.dir}/out", f"{live.dir}/err"
    with open(out, "w", encoding="ascii") as file:
        file.write("before\n")
    bundle.config["annotations"] = {"run.oci.hooks.stdout": out, "run.oci.hooks.stderr": err}
    for kind in KINDS:
        bundle.hook(kind, f"echo {kind}; echo {kind} wrong >&2")
    live.create(bundle)
    started = live.start(bundle)
    live.until(bundle, "stopped")
    live.delete(bundle)
    assert read(out).split() == ["before", *KINDS]
    assert read(err).splitlines() == [f"{kind} wrong" for kind in KINDS]
    assert os.stat(err).st_mode & 0o7777 == 0o600
    assert "warning" not in started.err
    live.assert_clean()


def test_init_keeps_no_file_of_the_hooks(live: Case) -> None:
    bundle = live.shell("ls -l /proc/1/fd")
    bundle.config["annotations"] = {"run.oci.hooks.stdout": f"{live.dir}/out"}
    bundle.hook("startContainer", "ls -l /proc/self/fd")
    bundle.save()
    result = live.command("run", "--init", "--bundle", bundle.path, bundle.id).ok()
    assert live.dir not in result.out
    assert "pipe:" in read(f"{live.dir}/out"), "the hook writes to a pipe, and has no file of the host's"
    assert live.dir not in read(f"{live.dir}/out")


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_output_is_in_the_error_too(live: Case, kind: str) -> None:
    bundle = live.bundle()
    bundle.config["annotations"] = {"run.oci.hooks.stderr": f"{live.dir}/err"}
    bundle.hook(kind, "echo plain; echo wrong >&2; exit 3")
    live.refused(bundle, f"/hooks/{kind}/0", "exit status 3", "plain", "wrong")
    assert set(read(f"{live.dir}/err").splitlines()) == {"wrong"}
    live.assert_clean()


def test_files_that_cannot_be_opened(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("createContainer", f"touch {live.dir}/ran")
    fifo = f"{live.dir}/fifo"
    os.mkfifo(fifo)
    for path in ("/no/such/out", live.dir, fifo):
        bundle.config["annotations"] = {"run.oci.hooks.stdout": path}
        live.refused(bundle, "/annotations/run.oci.hooks.stdout", path)
    bundle.config["annotations"] = {"run.oci.hooks.stdout": "/dev/full"}
    bundle.hook("createContainer", "echo more")
    live.refused(bundle, "/hooks/createContainer/1", "write /dev/full", "no space left")
    os.unlink(f"{live.dir}/ran")
    bundle.config["hooks"] = {}
    bundle.hook("createRuntime", "echo more")
    live.refused(bundle, "/hooks/createRuntime/0", "write /dev/full", "no space left")
    assert not os.path.exists(f"{live.dir}/ran")
    live.assert_clean()


def test_poststop_hooks_run_without_their_file(live: Case) -> None:
    bundle = live.bundle()
    os.mkdir(f"{live.dir}/logs")
    bundle.config["annotations"] = {"run.oci.hooks.stdout": f"{live.dir}/logs/out"}
    bundle.hook("poststop", f"touch {live.dir}/cleared")
    live.create(bundle)
    shutil.rmtree(f"{live.dir}/logs")
    result = live.delete(bundle, "--force")
    assert "/annotations/run.oci.hooks.stdout" in result.err
    assert os.path.exists(f"{live.dir}/cleared")


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
