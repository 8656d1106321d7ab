"""Hooks: when, where, with which state, and what a failure does (OCI runtime specification, config.md "POSIX-platform Hooks")."""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
BEFORE_START = ("prestart", "createRuntime", "createContainer")


def recording(live: Case, bundle: Bundle, script: str) -> str:
    """A hook of every kind that runs a script; $KIND names it.  Gives the directory it may write to.

    The directory is inside the image too, for the hook that runs there.
    """
    directory = f"{bundle.rootfs}/record"
    os.mkdir(directory)
    for kind in KINDS:
        where = "/record" if kind == "startContainer" else directory
        bundle.hook(kind, f"KIND={kind}; OUT={where}; {script}")
    return directory


def texts(directory: str) -> dict[str, str]:
    found = {}
    for name in os.listdir(directory):
        with open(f"{directory}/{name}", encoding="utf-8") as file:
            found[name] = file.read()
    return found


def life(live: Case, bundle: Bundle) -> None:
    live.create(bundle)
    live.start(bundle)
    live.until(bundle, "stopped")
    live.delete(bundle)


def test_order(live: Case) -> None:
    bundle = live.shell("echo program >> /record/order")
    directory = recording(live, bundle, "echo $KIND >> $OUT/order")
    for kind in KINDS:
        where = "/record" if kind == "startContainer" else directory
        bundle.hook(kind, f"echo {kind} again >> {where}/order")
    live.create(bundle)
    want = [line for kind in BEFORE_START for line in (kind, f"{kind} again")]
    assert texts(directory)["order"].splitlines() == want
    live.start(bundle)
    live.until(bundle, "stopped")
    live.delete(bundle)
    lines = texts(directory)["order"].splitlines()[len(want) :]
    assert lines[:2] == ["startContainer", "startContainer again"]
    assert sorted(lines[2:5]) == ["poststart", "poststart again", "program"], (
        "poststart may overtake what the program does"
    )
    assert lines[5:] == ["poststop", "poststop again"]


def test_state_given_to_each(live: Case) -> None:
    # crun differs: other status words, pid 0 in the container.
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.config["annotations"] = {"org.example.key": "value"}
    directory = recording(live, bundle, "cat > $OUT/$KIND")
    live.create(bundle)
    pid = live.pid(bundle)
    live.start(bundle)
    live.kill(bundle, "KILL")
    live.ended(bundle)
    states: dict[str, Any] = {kind: json.loads(text) for kind, text in texts(directory).items()}
    assert sorted(states) == sorted(KINDS)
    for kind, state in states.items():
        assert state["id"] == bundle.id, kind
        assert state["bundle"] == bundle.path, kind
        assert state["annotations"] == {"org.example.key": "value"}, kind
        assert state["ociVersion"].startswith("1."), kind
    words = ["creating", "creating", "creating", "created", "running", "stopped"]
    assert [states[kind]["status"] for kind in KINDS] == words
    assert [states[kind]["pid"] for kind in KINDS[:5]] == [pid, pid, 1, 1, pid]
    assert states["poststop"].get("pid", 0) in (0, pid)


def test_namespaces_of_each(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    directory = recording(live, bundle, "for n in mnt net uts pid; do readlink /proc/self/ns/$n; done > $OUT/$KIND")
    live.create(bundle)
    pid = live.pid(bundle)
    inside = [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("mnt", "net", "uts", "pid")]
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "net", "uts", "pid")]
    live.start(bundle)
    live.kill(bundle, "KILL")
    live.ended(bundle)
    seen = {kind: text.split() for kind, text in texts(directory).items()}
    for kind in KINDS:
        wanted = inside if kind in ("createContainer", "startContainer") else outside
        # The host's /proc is still there for createContainer, and names no process of a new pid namespace.
        if kind != "createContainer":
            assert seen[kind] == wanted, kind


def test_create_container_hook_sees_the_mounts_before_the_pivot(live: Case) -> None:
    bundle = live.bundle()
    out = f"{live.dir}/mountinfo"
    bundle.hook("createContainer", f"cat /proc/self/mountinfo > {out}; ls {bundle.rootfs}/proc/self/status")
    live.run(bundle).ok()
    with open(out, encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    assert f"{bundle.rootfs}/proc" in points
    assert "/proc" in points
    live.assert_clean()


def test_mount_made_by_a_create_container_hook(live: Case) -> None:
    bundle = live.shell("ls /mnt")
    bundle.hook("createContainer", f"mount -t tmpfs hook {bundle.rootfs}/mnt && touch {bundle.rootfs}/mnt/by-hook")
    assert live.output(bundle) == "by-hook\n"
    live.assert_clean()


def test_argv_zero_and_arguments(live: Case) -> None:
    bundle = live.bundle()
    out = f"{live.dir}/argv"
    bundle.config["hooks"] = {
        "createRuntime": [
            {"path": "/bin/sh", "args": ["other-name", "-c", f"tr '\\0' '|' < /proc/$$/cmdline > {out}", "x y"]}
        ]
    }
    live.run(bundle).ok()
    with open(out, encoding="ascii") as file:
        assert file.read().startswith("other-name|-c|")


def test_environment(live: Case) -> None:
    bundle = live.bundle()
    out = f"{live.dir}/env"
    for name, env in (("given", ["A=1", "B=two words"]), ("empty", []), ("absent", None)):
        bundle.hook("createRuntime", "/usr/bin/env", path="/bin/sh", env=env)
        entry = bundle.config["hooks"]["createRuntime"][-1]
        entry["args"] = ["sh", "-c", f"/usr/bin/env > {out}.{name}"]
    live.run(bundle, env={"PATH": "/usr/bin:/bin", "CALLER": "yes"}).ok()

    def lines(name: str) -> set[str]:
        with open(f"{out}.{name}", encoding="ascii") as file:
            return {
                line for line in file.read().splitlines() if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD="))
            }

    assert lines("given") == {"A=1", "B=two words"}
    assert lines("empty") == set()
    assert "CALLER=yes" in lines("absent"), "without env the runtime's own is inherited"


def test_start_container_environment(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.process["env"] = ["PATH=/bin", "OF=container"]
    bundle.file("/given", "", 0o666)
    bundle.file("/absent", "", 0o666)
    bundle.hook("startContainer", "env > /given", env=["PATH=/bin", "A=1"])
    bundle.hook("startContainer", "env > /absent")
    live.launch(bundle)
    assert "A=1" in bundle.read("/given").splitlines()
    assert "OF=container" not in bundle.read("/given")
    assert {"OF=container", "HOME=/root"} <= set(bundle.read("/absent").splitlines())


def test_working_directory(live: Case) -> None:
    bundle = live.shell("true")
    directory = recording(live, bundle, "pwd > $OUT/$KIND")
    bundle.process["cwd"] = "/home"
    life(live, bundle)
    seen = {kind: text.strip() for kind, text in texts(directory).items()}
    for kind in ("prestart", "createRuntime", "poststart"):
        assert seen[kind] == bundle.path, kind
    assert seen["createContainer"] in (bundle.rootfs, bundle.path)
    assert seen["startContainer"] == "/home"


def test_hooks_get_no_descriptors_of_the_runtime(live: Case) -> None:
    bundle = live.shell("true")
    directory = recording(live, bundle, "ls /proc/self/fd > $OUT/$KIND")
    life(live, bundle)
    for kind, text in texts(directory).items():
        # 3 is the directory that ls itself reads.
        assert text.split() == ["0", "1", "2", "3"], kind


@pytest.mark.parametrize("kind", BEFORE_START)
def test_failure_before_start(live: Case, kind: str) -> None:
    bundle = live.shell("touch /ran")
    log = f"{live.dir}/log"
    bundle.hook(kind, "true")
    bundle.hook(kind, "echo the reason >&2; exit 17")
    bundle.hook(kind, f"echo next >> {log}")
    bundle.hook("poststop", f"echo poststop >> {log}")
    live.make("create", bundle).failed(kind, "#1", "17", "the reason")
    with open(log, encoding="ascii") as file:
        assert file.read() == "poststop\n", "hooks after it do not run, poststop hooks do"
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    live.command("state", bundle.id).failed("container does not exist")
    live.assert_clean()


def test_failing_start_container_hook(live: Case) -> None:
    bundle = live.shell("touch /ran")
    log = f"{live.dir}/log"
    bundle.hook("startContainer", "echo the reason >&2; exit 18")
    bundle.hook("poststop", f"echo poststop >> {log}")
    live.create(bundle)
    live.command("start", bundle.id).failed("startContainer", "#0", "18")
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    live.command("delete", "--force", bundle.id).ok()
    assert os.path.exists(log)
    live.assert_clean()


def test_failing_poststart_hook_stops_the_container(live: Case) -> None:
    # runc 1.1 runs poststart before the program; the specification since 1.3 wants stop and error.
    bundle = live.bundle(["/bin/sleep", "600"])
    log = f"{live.dir}/log"
    bundle.hook("poststart", "echo the reason >&2; exit 19")
    bundle.hook("poststart", f"echo next >> {log}")
    bundle.hook("poststop", f"echo poststop >> {log}")
    live.create(bundle)
    live.command("start", bundle.id).failed("poststart", "#0", "19", "the reason")
    state = live.command("state", bundle.id)
    assert state.code != 0 or state.json()["status"] == "stopped"
    live.command("delete", "--force", bundle.id).ok()
    with open(log, encoding="ascii") as file:
        assert file.read() == "poststop\n"
    live.assert_clean()


def test_failing_poststop_hook_is_a_warning(live: Case) -> None:
    # runc differs: error, and the rest is skipped.
    bundle = live.bundle()
    log = f"{live.dir}/log"
    bundle.hook("poststop", "exit 20")
    bundle.hook("poststop", f"echo next >> {log}")
    live.launch(bundle)
    live.until(bundle, "stopped")
    result = live.delete(bundle)
    assert "poststop" in result.err
    with open(log, encoding="ascii") as file:
        assert file.read() == "next\n"
    live.assert_clean()


def test_poststop_hook_of_a_failing_run(live: Case) -> None:
    bundle = live.shell("exit 4")
    log = f"{live.dir}/log"
    bundle.hook("poststop", f"cat > {log}")
    assert live.run(bundle).code == 4
    with open(log, encoding="ascii") as file:
        assert json.load(file)["status"] == "stopped"


@pytest.mark.parametrize(
    ("path", "words"),
    [("/no/such/hook", "no such file"), ("/etc/passwd", "permission denied"), ("/proc", "permission denied")],
)
def test_hook_that_cannot_run(live: Case, path: str, words: str) -> None:
    bundle = live.bundle()
    bundle.hook("createRuntime", path)
    live.refused(bundle, "createRuntime", "#0", path, words)


def test_hook_killed_by_a_signal(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("createRuntime", "kill -SEGV $$")
    live.refused(bundle, "createRuntime", "#0", "11", verbs=["create"])


def test_start_container_hook_is_looked_up_in_the_image(live: Case) -> None:
    bundle = live.shell("cat /said")
    bundle.file("/only/inside", "#!/bin/sh\necho inside > /said\n", 0o755)
    bundle.hook("startContainer", "/only/inside")
    assert live.output(bundle) == "inside\n"


def test_create_runtime_hook_without_a_mount_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.share_host("mount")
    bundle.config["mounts"] = []
    out = f"{live.dir}/out"
    bundle.hook("createRuntime", f"cat > {out}")
    live.run(bundle)
    assert os.path.getsize(out) > 0
