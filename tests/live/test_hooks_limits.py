"""Hooks that hang, flood, daemonize or call back: the runtime stays in charge."""

from __future__ import annotations

import json
import os
import resource

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


# Seconds by which a limit of one second has been kept, on a busy machine too; what the hooks leave lives for 30.
LONG = 9.0


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"])
def test_time_limit(live: Case, kind: str) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.hook(kind, "sleep 30", timeout=1)
    verb = "create"
    if kind in ("startContainer", "poststart"):
        live.create(bundle)
        result = live.command("start", bundle.id, limit=15)
        verb = "start"
    else:
        result = live.make("create", bundle, limit=15)
    result.failed(kind, "#0", "1")
    assert 0.9 < result.seconds < LONG, f"{verb} took {result.seconds} s for a limit of 1 s"
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_time_limit_of_poststop(live: Case) -> None:
    bundle = live.bundle()
    bundle.hook("poststop", "sleep 30", timeout=1)
    live.launch(bundle)
    live.until(bundle, "stopped")
    result = live.delete(bundle)
    assert result.seconds < LONG
    assert "poststop" in result.err
    live.assert_clean()


@pytest.mark.parametrize(
    "script",
    [
        "sleep 30 & sleep 30 & wait",
        "(sleep 30 &) ; sleep 30",
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        "kill -STOP $$",
        "setsid sleep 30 & wait",
    ],
    ids=["grandchildren", "orphan", "ignores signals", "stopped", "other session"],
)
def test_time_limit_with_grandchildren_that_hold_the_pipes(live: Case, script: str) -> None:
    # runc and crun wait for the end of the pipe: as long as the grandchild lives.
    bundle = live.bundle()
    bundle.hook("createRuntime", script, timeout=1)
    result = live.make("create", bundle, limit=15)
    result.failed("createRuntime", "#0")
    assert result.seconds < LONG
    if "setsid" in script:
        process.end_all()  # A process that left the hook's group for a session of its own may outlive it.
    live.assert_clean()


def test_hook_that_leaves_a_daemon_returns_at_once(live: Case) -> None:
    # R74: the daemon keeps fds 0 to 2; create must not wait for it.
    bundle = live.bundle()
    bundle.hook("createRuntime", "sleep 30 & echo done")
    result = live.make("create", bundle, limit=15).ok()
    assert result.seconds < LONG
    live.delete(bundle)
    process.end_all()


def test_output_without_end_is_bounded(live: Case) -> None:
    # R72: 1 GiB on stdout and an error on stderr; the tail of it is in the message.
    bundle = live.bundle()
    bundle.hook("createRuntime", "head -c 1073741824 /dev/zero; echo the reason >&2; exit 3")
    limit = 512 << 20
    result = live.make(
        "create", bundle, limit=15, before=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    )
    result.failed("createRuntime", "3", "the reason")
    assert len(result.err) < 100_000
    assert "\0" not in result.err
    live.assert_clean()


def test_output_that_is_no_text(live: Case) -> None:
    # G05: nothing a hook prints may make a second line or control the terminal.
    bundle = live.bundle()
    bundle.hook("createRuntime", 'printf \'one\\ntwo\\033[31m\\377\\r{"level":"error"}\\n\' >&2; exit 3')
    result = live.make("create", bundle)
    result.failed("createRuntime", "#0")
    assert "\033" not in result.err
    assert "\r" not in result.err


@pytest.mark.parametrize("script", ["exec 0<&-; true", "true"], ids=["closes stdin", "never reads"])
def test_hook_that_does_not_read_its_state(live: Case, script: str) -> None:
    # crun differs: SIGPIPE ends it when the state does not fit into the pipe.
    bundle = live.bundle(["/bin/sleep", "600"])
    bundle.config["annotations"] = {"org.example.big": "x" * 1_000_000}
    for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
        bundle.hook(kind, script)
    live.launch(bundle)
    live.delete(bundle, "--force")


def test_hook_reads_a_large_state_late(live: Case) -> None:
    bundle = live.bundle()
    bundle.config["annotations"] = {"org.example.big": "x" * 1_000_000}
    out = f"{live.dir}/size"
    bundle.hook("createRuntime", f"sleep 0.2; wc -c > {out}")
    live.run(bundle).ok()
    with open(out, encoding="ascii") as file:
        assert int(file.read()) > 1_000_000


def test_hook_calls_the_runtime(live: Case) -> None:
    # R73: no lock is held while a hook runs.
    bundle = live.bundle(["/bin/sleep", "600"])
    out = f"{live.dir}/states"
    own = " ".join(live.argv("state", bundle.id))
    for kind in ("createRuntime", "poststart"):
        bundle.hook(kind, f"{own} >> {out} || true", timeout=30)
    live.launch(bundle)
    with open(out, encoding="ascii") as file:
        assert '"running"' in file.read()


def test_hook_deletes_its_own_container(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    own = " ".join(live.argv("delete", "--force", bundle.id))
    bundle.hook("createRuntime", own + " || true", timeout=30)
    result = live.make("create", bundle, limit=15)
    assert result.seconds < 8, "a delete by force must not wait for the create that waits for it"
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_state_while_a_hook_of_create_runs(live: Case) -> None:
    # The specification's status "creating"; "stopped" would invite a delete.
    bundle = live.bundle(["/bin/sleep", "600"])
    out = f"{live.dir}/states"
    own = " ".join(live.argv("state", bundle.id))
    bundle.hook("createRuntime", f"{own} > {out}", timeout=5)
    live.create(bundle)
    with open(out, encoding="utf-8") as file:
        seen = json.load(file)
    assert (seen["id"], seen["status"]) == (bundle.id, "creating")


def test_two_hundred_hooks_in_order(live: Case) -> None:
    bundle = live.bundle()
    out = f"{live.dir}/order"
    for number in range(200):
        bundle.hook("createRuntime", f"echo {number} >> {out}")
    live.run(bundle).ok()
    with open(out, encoding="ascii") as file:
        assert [int(line) for line in file] == list(range(200))


def test_hook_without_limit_ends_with_the_runtime(live: Case) -> None:
    # R05: the runtime is killed while a hook sleeps; nothing of the container may stay after a delete.
    bundle = live.bundle(["/bin/sleep", "600"])
    marker = f"{live.dir}/marker"
    bundle.hook("createRuntime", f"touch {marker}; exec sleep 20")
    bundle.save()
    proc, _, _ = process.spawn(live.argv("create", "--bundle", bundle.path, bundle.id), scratch=live.scratch)
    process.eventually(lambda: os.path.exists(marker), "the hook runs")
    proc.kill()
    process.wait_end(proc, 5)
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()
