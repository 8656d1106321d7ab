"""`top`: what containers really use, for programs, in a pipe, and on a screen."""

from __future__ import annotations

import json
import os
import time

import pytest
from waiting import eventually

from .screen import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case
    from .screen import Screen


@pytest.fixture
def busy(live: Case) -> Bundle:
    """A container with a limit that computes, and holds memory."""
    bundle = live.shell("x=$(head -c 3000000 /dev/zero | tr '\\0' a); while :; do :; done")
    bundle.linux["resources"] = {"memory": {"limit": 64 << 20}, "pids": {"limit": 9}}
    live.launch(bundle)
    return bundle


def test_json(live: Case, busy: Bundle) -> None:
    idle = live.bundle(["/bin/sleep", "600"])
    live.create(idle)
    time.sleep(0.5)
    lines = live.command("top", "--json", "--interval", "500ms", "--count", "2").ok().out.splitlines()
    assert len(lines) == 2
    moments = [json.loads(line)["time"] for line in lines]
    assert moments[0] < moments[1]
    rows = {row["id"]: row for row in json.loads(lines[-1])["containers"]}
    assert set(rows) == {busy.id, idle.id}
    working = rows[busy.id]
    assert (working["status"], working["memoryLimit"], working["pidsLimit"]) == ("running", 64 << 20, 9)
    assert working["cpuPercent"] > 5
    assert 2 << 20 < working["memory"] < 64 << 20
    assert working["pids"] >= 1
    assert (rows[idle.id]["status"], rows[idle.id]["memoryLimit"]) == ("created", None)
    assert rows[idle.id]["cpuPercent"] < working["cpuPercent"]


def test_a_table_where_no_terminal_is(live: Case, busy: Bundle) -> None:
    stopped = live.bundle(["/bin/true"])
    live.run(stopped, "--keep")
    head, first, last = live.command("top", "--interval", "200ms").ok().out.splitlines()
    assert head.startswith("ID")
    assert first.split()[:2] == [busy.id, "running"]
    assert "64.0 MiB" in first
    assert last.split() == [stopped.id, "stopped", *"--------"]


def test_no_containers_and_a_damaged_one(live: Case) -> None:
    assert len(live.command("top", "--interval", "1ms").ok().out.splitlines()) == 1
    bundle = live.bundle(["/bin/sleep", "600"])
    live.create(bundle)
    path = f"{live.root}/{bundle.id}/state.json"
    with open(path, "rb") as file:
        content = file.read()
    with open(path, "wb") as file:
        file.write(b"{")
    assert "damaged" in live.command("top", "--interval", "1ms").ok().out
    with open(path, "wb") as file:
        file.write(content)


def test_wrong_options(live: Case) -> None:
    live.command("top", "--interval", "0s").failed("--interval")
    live.command("top", "--sort", "size").failed("--sort")


def test_on_a_screen(live: Case, busy: Bundle, screen: Screen) -> None:
    idle = live.bundle(["/bin/sleep", "600"])
    live.launch(idle)
    screen.expect("host>")
    screen.type("echo what was here")
    before = settings(screen, f"{live.dir}/one")
    screen.type("clear; echo stays; " + " ".join(live.argv("top", "--interval", "300ms")))
    shown = screen.expect("64.0 MiB")
    assert "2 containers (2 running)" in shown
    assert "q quit" in shown
    assert "stays" not in shown
    assert shown.index(busy.id) < shown.index(idle.id), "by CPU"
    screen.key("n")
    screen.expect("by id")
    names = sorted((busy.id, idle.id))
    shown = screen("capture-pane", "-p")
    assert shown.index(names[0]) < shown.index(names[1])
    # A narrow screen keeps what counts.
    screen("resize-window", "-x", "50", "-y", "8")
    eventually_without(screen, "WRITE/s")
    shown = screen.expect("CPU %")
    assert max(map(len, shown.splitlines())) <= 50
    screen("resize-window", "-x", "90", "-y", "20")
    screen.expect("MEM %")
    # ^Z gives the shell its terminal, and fg gets it back.
    screen.key("C-z")
    shown = screen.expect("host>")
    assert "stays" in shown
    assert settings(screen, f"{live.dir}/two") == before
    screen.type("fg")
    screen.expect("q quit")
    screen.key("q")
    screen.expect("host>")
    screen.type("echo status $?")
    screen.expect("status 0")
    assert settings(screen, f"{live.dir}/three") == before


def eventually_without(screen: Screen, text: str) -> None:
    eventually(lambda: text not in screen("capture-pane", "-p"), f"{text} is gone from the screen", pause=0.05)


@pytest.mark.parametrize("end", ["C-c", "TERM"])
def test_the_screen_is_given_back(live: Case, screen: Screen, end: str) -> None:
    before = settings(screen, f"{live.dir}/one")
    screen.type("clear; " + " ".join(live.argv("top")))
    screen.expect("0 containers")
    if end == "C-c":
        screen.key(end)
    else:
        screen.key("C-z")
        screen.expect("host>")
        screen.type("kill -TERM %1; fg")
    screen.expect("host>")
    assert settings(screen, f"{live.dir}/two") == before
    assert os.path.exists(f"{live.dir}/two")
