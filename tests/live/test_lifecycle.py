"""create, start, state, kill, delete: what each does in each state."""

from __future__ import annotations

import json
import os
import re

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

SLEEP = ["/bin/sleep", "600"]


def test_whole_life(live: Case) -> None:
    bundle = live.bundle(["/bin/sh", "-c", "echo started; exec sleep 600"])
    created = live.create(bundle)
    assert created.out == "", "create must print nothing: its stdout is the container's"
    assert live.status(bundle) == "created"
    live.start(bundle)
    process.eventually(lambda: created.out == "started\n", "the program's output")
    assert live.status(bundle) == "running"
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    live.delete(bundle)
    live.command("state", bundle.id).failed("container does not exist")
    live.assert_clean()


def test_run_gives_the_status_of_the_program(live: Case) -> None:
    for code in (0, 1, 7, 127, 255):
        bundle = live.shell(f"exit {code}")
        assert live.run(bundle).code == code
    live.assert_clean()


def test_run_gives_128_and_the_signal(live: Case) -> None:
    # Signal 9 from inside: the kernel lets init kill itself with nothing else.
    bundle = live.shell("sleep 600")
    bundle.share_host("pid")
    bundle.process["args"] = ["/bin/sh", "-c", "kill -TERM $$"]
    assert live.run(bundle).code == 128 + 15


def test_program_does_not_run_before_start(live: Case) -> None:
    bundle = live.shell("echo x > /ran")
    live.create(bundle)
    assert not os.path.exists(f"{bundle.rootfs}/ran")
    live.start(bundle)
    live.until(bundle, "stopped")
    assert bundle.read("/ran") == "x\n"
    live.delete(bundle)


def test_detached_run(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.run(bundle, "--detach").ok()
    assert live.status(bundle) == "running"
    live.kill(bundle, "KILL")
    live.ended(bundle)


def test_keep_leaves_a_stopped_container(live: Case) -> None:
    bundle = live.shell("exit 3")
    assert live.run(bundle, "--keep").code == 3
    assert live.status(bundle) == "stopped"
    live.delete(bundle)
    live.assert_clean()


@pytest.mark.parametrize("signal", ["KILL", "SIGKILL", "9", "sigkill", "kill"])
def test_kill_takes_names_and_numbers(live: Case, signal: str) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    live.kill(bundle, signal)
    live.ended(bundle)


def test_kill_default_is_term(live: Case) -> None:
    bundle = live.shell("trap 'echo got TERM; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    result = live.launch(bundle)
    process.eventually(lambda: "ready" in result.out, "the trap is set")
    live.kill(bundle)
    live.until(bundle, "stopped")
    assert "got TERM" in result.out
    live.delete(bundle)


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_kill_sends_the_stop_signal_of_the_image(live: Case, words: list[str]) -> None:
    bundle = live.shell("trap 'echo got USR2; exit 0' USR2; echo ready; while :; do sleep 0.01; done")
    bundle.config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGUSR2"}
    result = live.launch(bundle)
    process.eventually(lambda: "ready" in result.out, "the trap is set")
    live.kill(bundle, *words)
    live.until(bundle, "stopped")
    assert "got USR2" in result.out
    live.delete(bundle)


def test_kill_refuses_a_stop_signal_that_is_none(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    bundle.config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGBANANA"}
    live.launch(bundle)
    result = live.command("kill", bundle.id)
    assert result.code == 1
    assert "SIGBANANA" in result.err
    assert "which the annotation org.opencontainers.image.stopSignal names" in result.err
    live.kill(bundle, "KILL")
    live.ended(bundle)


def test_kill_works_on_a_created_container(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    live.command("start", bundle.id).failed("cannot start a container that has stopped")
    live.delete(bundle)


def test_kill_of_a_stopped_container(live: Case) -> None:
    bundle = live.bundle()
    live.launch(bundle)
    live.until(bundle, "stopped")
    before = live.state(bundle)
    live.command("kill", bundle.id, "TERM").failed("container not running")
    live.command("kill", "--all", bundle.id, "9").ok()
    assert live.state(bundle) == before
    live.delete(bundle)


def test_kill_unknown_signal_and_signal_zero(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    live.command("kill", bundle.id, "NOSUCH").failed("NOSUCH")
    live.command("kill", bundle.id, "999").failed("signal")
    live.kill(bundle, "0")
    assert live.status(bundle) == "running"


def test_unknown_container(live: Case) -> None:
    for command in (["state"], ["start"], ["kill"], ["delete"], ["pause"], ["resume"]):
        live.command(*command, "nosuch").failed("container does not exist")
    forced = live.command("delete", "--force", "nosuch").ok()
    assert (forced.out, forced.err) == ("", "")


def test_delete_refuses_a_running_container(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    live.command("delete", bundle.id).failed("that is not stopped: running")
    assert live.status(bundle) == "running"
    live.delete(bundle, "--force")
    live.assert_clean()


def test_delete_of_a_created_container_kills_it(live: Case) -> None:
    # The specification says error; every runtime deletes, and engines rely on it.
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    live.delete(bundle)
    live.assert_clean()


def test_delete_if_stopped_keeps_to_the_specification(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    for status in ("created", "running"):
        before = live.state(bundle)
        assert before["status"] == status
        live.command("delete", "--if-stopped", bundle.id).failed(f"that is not stopped: {status}")
        assert live.state(bundle) == before
        if status == "created":
            live.start(bundle)
    live.kill(bundle, "KILL")
    live.until(bundle, "stopped")
    live.delete(bundle, "--if-stopped")
    live.assert_clean()


def test_start_only_once(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    live.command("start", bundle.id).failed("cannot start an already running container")
    assert live.status(bundle) == "running"


def test_start_after_the_end(live: Case) -> None:
    bundle = live.bundle()
    live.launch(bundle)
    live.until(bundle, "stopped")
    live.command("start", bundle.id).failed("cannot start a container that has stopped")
    assert live.status(bundle) == "stopped"


def test_id_taken(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    pid = live.pid(bundle)
    live.make("create", bundle).failed("container with given ID already exists")
    live.make("run", bundle).failed("container with given ID already exists")
    assert (live.status(bundle), live.pid(bundle)) == ("created", pid)
    live.delete(bundle)
    live.create(bundle)
    live.delete(bundle)


def test_config_is_frozen_at_create(live: Case) -> None:
    bundle = live.shell("echo first > /which")
    live.create(bundle)
    bundle.process["args"] = ["/bin/sh", "-c", "echo second > /which"]
    bundle.save()
    live.start(bundle)
    live.until(bundle, "stopped")
    assert bundle.read("/which") == "first\n"
    live.delete(bundle)


def test_bundle_may_vanish_after_create(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    os.unlink(f"{bundle.path}/config.json")
    live.start(bundle)
    assert live.status(bundle) == "running"
    live.kill(bundle, "KILL")
    live.ended(bundle)


def test_pid_file(live: Case) -> None:
    bundle = live.bundle(SLEEP)
    live.create(bundle, "--pid-file", "relative.pid", cwd=live.dir)
    with open(f"{live.dir}/relative.pid", "rb") as file:
        raw = file.read()
    assert re.fullmatch(rb"[0-9]+", raw), "digits only, no newline: engines parse it strictly"
    assert int(raw) == live.pid(bundle)
    assert sorted(name for name in os.listdir(live.dir) if "pid" in name) == ["relative.pid"]


def test_no_pid_file_after_a_failure(live: Case) -> None:
    bundle = live.bundle(["/no/such/program"])
    path = f"{live.dir}/init.pid"
    live.make("create", bundle, "--pid-file", path).failed("/no/such/program")
    assert not os.path.exists(path)
    live.assert_clean()


def test_bundle_defaults_to_the_working_directory(live: Case) -> None:
    bundle = live.shell("echo here")
    bundle.save()
    assert live.command("run", bundle.id, cwd=bundle.path).ok().out == "here\n"


def test_almost_empty_environment(live: Case) -> None:
    # Podman calls delete, kill, pause and resume with no PATH and no HOME.
    bundle = live.bundle(SLEEP)
    live.make("create", bundle, env={}).ok()
    live.command("start", bundle.id, env={}).ok()
    live.command("kill", bundle.id, "9", env={"XDG_RUNTIME_DIR": "/nonexistent"}).ok()
    live.until(bundle, "stopped")
    live.command("delete", "--force", bundle.id, env={}).ok()
    live.assert_clean()


def test_a_config_without_process_can_be_created_and_not_started(live: Case) -> None:
    bundle = live.bundle()
    del bundle.config["process"]
    live.create(bundle)
    assert live.status(bundle) == "created"
    for _ in range(2):
        live.command("start", bundle.id).failed("/process: is missing: there is nothing to run")
        assert live.status(bundle) == "created"
    assert live.command("exec", bundle.id, "/bin/echo", "in it").ok().out == "in it\n"
    live.delete(bundle)
    live.run(bundle).failed("/process: is missing: there is nothing to run")
    live.run(bundle, "--detach").failed("/process: is missing: there is nothing to run")
    live.assert_clean()


def test_a_user_that_is_left_out_is_root(live: Case) -> None:
    for user in (None, {}, {"gid": 0}, {"uid": 0}, {"uid": None, "gid": None}):
        bundle = live.bundle(["/bin/id"])
        bundle.process["user"] = user
        assert live.output(bundle).startswith("uid=0(root) gid=0(root)")
    bundle = live.bundle(SLEEP)
    live.launch(bundle)
    path = f"{live.dir}/process.json"
    with open(path, "w", encoding="ascii") as file:
        json.dump({"cwd": "/", "args": ["/bin/id"], "env": ["PATH=/bin"]}, file)
    assert live.command("exec", "--process", path, bundle.id).ok().out.startswith("uid=0(root) gid=0(root)")
    live.kill(bundle, "KILL")
    live.ended(bundle)
