"""`explain` for another host: with the facts of this one it says what it says without."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_facts_of_this_host(live: Case) -> None:
    path = f"{live.dir}/facts.json"
    text = live.command("explain", "--print-host-facts").ok().out
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    bundle = live.bundle(["/bin/true"])
    bundle.linux["resources"] = {"memory": {"limit": 1 << 26}, "pids": {"limit": 5}}
    bundle.save()
    here = live.command("explain", "--bundle", bundle.path, bundle.id).ok().out
    there = live.command("explain", "--bundle", bundle.path, "--host-facts", path, bundle.id).ok().out
    assert there == here
    facts = json.loads(text)
    facts["lastCapability"] = 37
    facts["keyrings"] = False
    with open(path, "w", encoding="utf-8") as file:
        json.dump(facts, file)
    other = live.command("explain", "--bundle", bundle.path, "--host-facts", path, bundle.id).ok().out
    assert "session keyring" in here
    assert "session keyring" not in other
    live.command("explain", "--bundle", bundle.path, "--host-facts", "/no/such/file").failed("/no/such/file")
    live.assert_clean()
