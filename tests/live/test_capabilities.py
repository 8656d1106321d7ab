"""The five capability sets, against the kernel's own rules at execve (capabilities(7))."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .case import Case

BITS = {"CAP_CHOWN": 0, "CAP_KILL": 5, "CAP_SETUID": 7, "CAP_NET_BIND_SERVICE": 10, "CAP_SYS_CHROOT": 18}
SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
SOME = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]


def mask(names: list[str]) -> int:
    return sum(1 << BITS[name] for name in set(names))


def expected(given: dict[str, list[str]], uid: int) -> dict[str, int]:
    """What the program has after execve, computed from the sets that were set before it.

    A program without file capabilities: for root permitted is inheritable|bounding,
    for others it is the ambient set.
    """
    have = {name: mask(given.get(name, [])) for name in SETS}
    have["ambient"] &= have["inheritable"] & have["permitted"]
    if uid == 0:
        permitted = have["inheritable"] | have["bounding"]
    else:
        permitted = have["ambient"]
    return {**have, "permitted": permitted, "effective": permitted}


CASES: dict[str, dict[str, list[str]]] = {
    "none": {},
    "like an engine": dict.fromkeys(("bounding", "permitted", "effective"), SOME),
    "all five": dict.fromkeys(SETS, SOME),
    "bounding only": {"bounding": SOME},
    "twice": dict.fromkeys(("bounding", "permitted", "effective"), SOME + SOME),
    "ambient": {**{key: ["CAP_KILL"] for key in SETS}, "bounding": SOME},
    "inheritable": {"bounding": SOME, "inheritable": ["CAP_KILL"], "permitted": SOME, "effective": SOME},
}


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("name", CASES)
def test_sets(live: Case, name: str, uid: int) -> None:
    bundle = live.bundle()
    bundle.process["capabilities"] = CASES[name]
    bundle.process["user"] = {"uid": uid, "gid": 0}
    bundle.process["noNewPrivileges"] = False
    seen: Any = live.probe(bundle)
    assert seen["caps"] == expected(CASES[name], uid)


def test_no_new_privileges_hold_at_execve(live: Case) -> None:
    # Without it root would get its whole bounding set.
    bundle = live.bundle()
    bundle.process["capabilities"] = {**CASES["like an engine"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]}
    assert live.probe(bundle)["caps"]["permitted"] == mask(["CAP_KILL"])


@pytest.mark.parametrize("uid", [0, 1000])
def test_no_block_is_no_capability(live: Case, uid: int) -> None:
    bundle = live.bundle()
    del bundle.process["capabilities"]
    bundle.process["user"] = {"uid": uid, "gid": 0}
    assert live.probe(bundle)["caps"] == dict.fromkeys(SETS, 0)


def test_sets_in_a_user_namespace(live: Case) -> None:
    bundle = live.bundle()
    bundle.user_namespace()
    bundle.process["capabilities"] = CASES["like an engine"]
    assert live.probe(bundle)["caps"] == expected(CASES["like an engine"], 0)
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    assert live.probe(bundle)["caps"] == expected(CASES["like an engine"], 1000)


def test_ambient_that_cannot_be_raised_is_a_warning(live: Case) -> None:
    bundle = live.bundle()
    bundle.process["user"] = {"uid": 1000, "gid": 0}
    bundle.process["capabilities"] = {
        "bounding": SOME,
        "permitted": SOME,
        "effective": SOME,
        "inheritable": ["CAP_KILL"],
        "ambient": SOME,
    }
    bundle.process["args"] = ["/probe"]
    result = live.run(bundle).ok()
    assert result.json()["caps"]["ambient"] == mask(["CAP_KILL"])
    assert "CAP_NET_BIND_SERVICE" in result.err


def test_capability_the_caller_lacks_is_a_warning(live: Case) -> None:
    # The specification: a capability that cannot be granted must be told and should not fail.
    # runc differs: EPERM.
    missing = _missing()
    if not missing:
        pytest.skip("the caller has every capability")
    bundle = live.bundle()
    for name in ("bounding", "permitted", "effective"):
        bundle.process["capabilities"][name] = ["CAP_KILL", missing]
    bundle.process["args"] = ["/probe"]
    result = live.run(bundle).ok()
    assert result.json()["caps"]["effective"] == mask(["CAP_KILL"])
    assert missing in result.err


def _missing() -> str:
    names = {24: "CAP_SYS_RESOURCE", 25: "CAP_SYS_TIME", 22: "CAP_SYS_BOOT", 16: "CAP_SYS_MODULE"}
    with open("/proc/self/status", encoding="ascii") as file:
        bounding = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd"))
    return next((name for bit, name in names.items() if not bounding >> bit & 1), "")


def test_bounding_set_is_felt(live: Case) -> None:
    bundle = live.shell("chown 5 /tmp/f && echo changed; kill -0 1 && echo sent")
    bundle.file("/tmp/f", "")
    for name in ("bounding", "permitted", "effective"):
        bundle.process["capabilities"][name] = ["CAP_KILL"]
    assert live.run(bundle).out == "sent\n"
