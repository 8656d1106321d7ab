"""--preserve-fds and LISTEN_FDS: exactly the descriptors that were asked for."""

from __future__ import annotations

import os

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case
    from .process import Result


def with_fds(live: Case, redirections: str, *options: str, setting: str = "") -> Result:
    """Run the probe with descriptors opened by a shell, and variables set by it."""
    bundle = live.bundle(["/probe"])
    bundle.save()
    words = live.argv("run", "--bundle", bundle.path, *options, bundle.id)
    line = f"exec {redirections}; {setting} exec {' '.join(words)}"
    return process.run(["/bin/bash", "-c", line], scratch=live.scratch)


def fds(seen: Any) -> dict[int, str]:
    return {one["fd"]: one["link"] for one in seen["fds"] if one["fd"] > 2}


def files(live: Case, *names: str) -> list[str]:
    for name in names:
        with open(f"{live.dir}/{name}", "w", encoding="ascii"):
            pass
    return [f"{live.dir}/{name}" for name in names]


def ends(found: dict[int, str]) -> dict[int, str]:
    return {number: os.path.basename(text) for number, text in found.items()}


def test_two_of_four(live: Case) -> None:
    a, b, c, d = files(live, "a", "b", "c", "d")
    seen = with_fds(live, f"3<{a} 4<{b} 5<{c} 6<{d}", "--preserve-fds", "2").ok().json()
    assert ends(fds(seen)) == {3: "a", 4: "b"}


def test_zero(live: Case) -> None:
    (a,) = files(live, "a")
    assert fds(with_fds(live, f"3<{a}", "--preserve-fds", "0").ok().json()) == {}


def test_hole_in_the_range(live: Case) -> None:
    # Podman leaves holes; a number that was free must not show a file of the runtime's own.
    (b,) = files(live, "b")
    result = with_fds(live, f"4<{b}", "--preserve-fds", "2")
    if result.code:
        result.failed("3")
    else:
        assert ends(fds(result.json())) == {4: "b"}


def test_a_hundred_leak_nothing(live: Case) -> None:
    # The caller has two: of the other ninety-eight numbers none may appear.
    a, b = files(live, "a", "b")
    result = with_fds(live, f"3<{a} 4<{b}", "--preserve-fds", "100")
    if result.code:
        result.failed()
    else:
        assert ends(fds(result.json())) == {3: "a", 4: "b"}


def test_listen_fds(live: Case) -> None:
    a, b = files(live, "a", "b")
    seen = with_fds(live, f"3<{a} 4<{b}", setting="LISTEN_FDS=1 LISTEN_PID=$$").ok().json()
    assert ends(fds(seen)) == {3: "a"}
    assert "LISTEN_FDS=1" in seen["env"]
    assert "LISTEN_PID=1" in seen["env"]


def test_listen_fds_and_preserved_ones(live: Case) -> None:
    a, b, c = files(live, "a", "b", "c")
    seen = with_fds(live, f"3<{a} 4<{b} 5<{c}", "--preserve-fds", "1", setting="LISTEN_FDS=1 LISTEN_PID=$$").ok().json()
    assert ends(fds(seen)) == {3: "a", 4: "b"}


def test_listen_fds_for_another_process(live: Case) -> None:
    # sd_listen_fds(3): the variables are meant for the process that LISTEN_PID names.
    (a,) = files(live, "a")
    seen = with_fds(live, f"3<{a}", setting="LISTEN_FDS=1 LISTEN_PID=1").ok().json()
    assert fds(seen) == {}
    assert not [one for one in seen["env"] if one.startswith("LISTEN_")]


def test_bad_listen_fds(live: Case) -> None:
    for word in ("x", "-1", "99999999999"):
        result = with_fds(live, "3<&-", setting=f"LISTEN_FDS={word} LISTEN_PID=$$")
        if result.code:
            result.failed("LISTEN_FDS")
        else:
            assert fds(result.json()) == {}


def test_preserved_ones_are_usable_after_start(live: Case) -> None:
    (a,) = files(live, "a")
    bundle = live.bundle(["/bin/sh", "-c", "echo through >&3"])
    bundle.save()
    words = live.argv("create", "--bundle", bundle.path, "--preserve-fds", "1", bundle.id)
    process.run(["/bin/bash", "-c", f"exec 3>{a}; exec {' '.join(words)}"], scratch=live.scratch).ok()
    live.start(bundle)
    live.until(bundle, "stopped")
    with open(a, encoding="ascii") as file:
        assert file.read() == "through\n"
