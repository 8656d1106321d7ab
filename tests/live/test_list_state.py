"""state and list: the documents, and that they never fail as a whole."""

from __future__ import annotations

import datetime as dt
import json
import os
import re

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]


def test_state_document(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.config["annotations"] = {"org.example.key": "value", "empty": ""}
    live.create(bundle)
    result = live.command("state", bundle.id).ok()
    assert result.err == ""
    state = result.json()
    assert re.fullmatch(r"1\.[0-9]+\.[0-9]+.*", state["ociVersion"])
    assert state["id"] == bundle.id
    assert state["status"] == "created"
    assert state["bundle"] == bundle.path
    assert state["rootfs"] == bundle.rootfs
    assert state["annotations"] == {"org.example.key": "value", "empty": ""}
    made = dt.datetime.fromisoformat(state["created"].replace("Z", "+00:00"))
    assert abs((dt.datetime.now(dt.UTC) - made).total_seconds()) < 60
    assert process.describe(state["pid"]) != "(gone)"
    live.start(bundle)
    after = live.state(bundle)
    assert after == {**state, "status": "running"}
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    stopped = live.state(bundle)
    used = stopped.pop("usage")
    assert stopped == {**state, "status": "stopped", "pid": 0}
    assert used["oomKills"] == 0
    assert 0 < used["memoryPeak"] < 64 << 20
    assert 0 < used["cpuSeconds"] < 10


def test_relative_bundle_is_shown_absolute(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.save()
    live.command("create", "--bundle", "b0", bundle.id, cwd=live.dir).ok()
    assert live.state(bundle)["bundle"] == bundle.path


def test_zombie_init_counts_as_stopped(live: Case) -> None:
    # An engine that has not waited yet: our harness does not reap while it reads.
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    pid = live.pid(bundle)
    os.kill(pid, 9)
    process.eventually(lambda: live.status(bundle) == "stopped", "stopped")
    live.delete(bundle)


def test_list(live: Case) -> None:
    assert live.command("list", "--quiet").ok().out == ""
    first, second = live.bundle(SLEEP), live.bundle(SLEEP)
    live.create(first)
    live.launch(second)
    result = live.command("list", "--format", "json").ok()
    found = {one["id"]: one for one in result.json()}
    assert {one: found[one]["status"] for one in found} == {first.id: "created", second.id: "running"}
    assert found[first.id]["pid"] == live.pid(first)
    assert found[first.id]["bundle"] == first.path
    assert live.command("list", "-q").ok().out.split() == sorted([first.id, second.id])
    table = live.command("list").ok().out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert len(table) == 3


def test_list_of_nothing_is_json(live: Case) -> None:
    assert live.command("list", "--format", "json").ok().json() in (None, [])


def test_list_goes_on_past_a_broken_one(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    broken = f"{live.root}/{live.session.mark}-broken"
    os.mkdir(broken)
    with open(f"{broken}/state.json", "w", encoding="ascii") as file:
        file.write("{")
    assert bundle.id in live.command("list", "-q").ok().out
    result = live.command("list", "--format", "json").ok()
    assert bundle.id in [one["id"] for one in result.json()]
    live.command("delete", "--force", os.path.basename(broken)).ok()
    assert not os.path.exists(broken)


def test_damaged_state_can_be_deleted(live: Case) -> None:
    # R32.  runc 1.1 cannot: its init stays for ever.
    for content in (b"", b"{", b"\0" * 100, b"[]", b'{"pid": "x"}', None):
        bundle = live.bundle(SLEEP)
        live.launch(bundle)
        directory = f"{live.root}/{bundle.id}"
        for name in os.listdir(directory):
            path = f"{directory}/{name}"
            if not os.path.isfile(path) or name == "config.json":
                continue  # The copy of the config is what is left to find the cgroup by.
            if content is None:
                os.truncate(path, os.path.getsize(path) // 2)
            else:
                with open(path, "wb") as file:
                    file.write(content)
        live.command("delete", "--force", bundle.id, limit=12).ok()
        live.assert_clean()


def test_state_of_another_version(live: Case) -> None:
    # P23: the package was replaced by one that writes its states otherwise.
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    path = f"{live.root}/{bundle.id}/state.json"
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**values, "format": 999}, file)
    for words in (["state"], ["kill"], ["delete"]):
        live.command(*words, bundle.id).failed("not a state of this version", "delete --force")
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_c12_process_that_has_got_the_old_number(live: Case) -> None:
    # Init has ended, and its pid is somebody else's: no command takes that process for the container's.
    bundle = live.shell("exit 0")
    live.launch(bundle)
    live.until(bundle, "stopped")
    decoy, _, _ = process.spawn(["sleep", "600"], scratch=live.scratch)
    path = f"{live.root}/{bundle.id}/state.json"
    with open(path, encoding="utf-8") as file:
        values = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**values, "pid": decoy.pid}, file)
    assert live.status(bundle) == "stopped"
    for words in (["kill"], ["start"], ["pause"], ["resume"], ["update", "--pids-limit", "9"], ["events", "--stats"]):
        live.command(*words, bundle.id).failed()
    live.command("exec", bundle.id, "/bin/true").failed("stopped")
    assert live.command("ps", "--format", "json", bundle.id).json() in ([], None)
    live.delete(bundle, "--force")
    assert decoy.poll() is None
    decoy.kill()
    assert process.wait_end(decoy, 5)


def test_leftover_temporary_file_is_ignored(live: Case) -> None:
    # R07: what a killed writer left beside the state.
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    directory = f"{live.root}/{bundle.id}"
    for name in os.listdir(directory):
        for odd in (f".{name}.tmp", f"{name}.tmp", f"{name}~"):
            with open(f"{directory}/{odd}", "w", encoding="ascii") as file:
                file.write("x" * 100000)
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")
    live.assert_clean()


def test_state_root_is_made(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.save()
    root = f"{live.dir}/made/here"
    argv = [live.session.runtime, "--root", root]
    process.run([*argv, "create", "--bundle", bundle.path, bundle.id], scratch=live.scratch).ok()
    assert os.stat(root).st_mode & 0o077 & 0o066 == 0, "nobody else may read it"
    process.run([*argv, "delete", "--force", bundle.id], scratch=live.scratch).ok()
    assert os.listdir(root) == []


def test_state_root_through_a_link(live: Case) -> None:
    link = f"{live.dir}/link"
    os.symlink(live.root, link)
    bundle = live.bundle(SLEEP)
    bundle.save()
    argv = [live.session.runtime, "--root", link]
    process.run([*argv, "create", "--bundle", bundle.path, bundle.id], scratch=live.scratch).ok()
    assert live.status(bundle) == "created"


def test_state_of_another_boot_is_stopped(live: Case) -> None:
    # R18, R50: the recorded process is somebody else now: no signal may reach it.
    victim = live.bundle(SLEEP)
    live.launch(victim)
    bundle = live.bundle()
    live.launch(bundle)
    live.until(bundle, "stopped")
    dead = _recorded_pid(live, bundle.id)
    for name in os.listdir(f"{live.root}/{bundle.id}"):
        path = f"{live.root}/{bundle.id}/{name}"
        if os.path.islink(path):
            text = re.sub(rf"\b{dead}\b", str(live.pid(victim)), os.readlink(path))
            os.unlink(path)
            os.symlink(text, path)
        elif os.path.isfile(path):
            with open(path, "rb") as file:
                data = file.read()
            with open(path, "wb") as file:
                file.write(re.sub(rb"\b%d\b" % dead, b"%d" % live.pid(victim), data))
    assert live.status(bundle) == "stopped"
    live.command("kill", bundle.id, "KILL").failed("not running")
    live.delete(bundle, "--force")
    assert live.status(victim) == "running"


def _recorded_pid(live: Case, container: str) -> int:
    """The init pid in the saved state, whatever the file is called."""
    for name in os.listdir(f"{live.root}/{container}"):
        path = f"{live.root}/{container}/{name}"
        if os.path.islink(path) and name == "made":
            return int(os.readlink(path).split()[0])
        if not os.path.isfile(path):
            continue
        try:
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
        except (ValueError, OSError):
            continue
        for key in ("pid", "init_process_pid", "init_pid"):
            if isinstance(document, dict) and document.get(key):
                return int(document[key])
    raise AssertionError("no saved state names the init process")


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer"])
def test_state_says_where_a_creation_is(live: Case, kind: str) -> None:
    """A hook that does not end: on the host's side and on the helper's."""
    bundle = live.bundle(["/bin/true"])
    marker = f"{live.dir}/marker"
    bundle.hook(kind, "true")
    bundle.hook(kind, f"touch {marker}; exec sleep 600")
    bundle.save()
    proc, *_ = process.spawn(live.argv("create", "--bundle", bundle.path, bundle.id), scratch=live.scratch)
    process.eventually(lambda: os.path.exists(marker), "the hook runs")
    plan = live.command("explain", "--bundle", bundle.path, "--json", bundle.id).ok().json()
    state = live.state(bundle)
    assert state["status"] == "creating"
    operation = state["operation"]
    assert operation["pointer"] == f"/hooks/{kind}/1"
    assert plan["ops"][operation["number"]]["op"] == operation["name"]
    assert plan["ops"][operation["number"]]["pointer"] == operation["pointer"]
    live.delete(bundle, "--force")
    process.wait_end(proc, 10)
    live.assert_clean()


def test_usage_of_a_run_that_is_kept(live: Case) -> None:
    bundle = live.shell("x=a; while :; do x=$x$x; done")
    bundle.linux["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    live.run(bundle, "--keep")
    state = live.state(bundle)
    assert (state["status"], state["usage"]["oomKills"]) == ("stopped", 1)
    assert state["usage"]["memoryPeak"] <= 16 << 20
    live.delete(bundle)
