"""A create that runs out of descriptors leaves nothing: what its undo needs is there before."""

from __future__ import annotations

import os
import resource
import sys

import pytest

from . import oracle, process
from .case import CHECKOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case

LIMITS = range(5, 57)
# Create in this very process, as a program with the API does it.
PROGRAM = """
import os, resource, sys
import ocirun
from ocirun import Container, CreateOptions, OcirunError, delete
root, bundle, name, first, last = sys.argv[1:]
options = CreateOptions(bundle=bundle)
null = os.open("/dev/null", os.O_RDONLY)
Container.create(name, root=root, options=options)
delete(name, root=root, force=True)
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for limit in range(int(first), int(last)):
    before = sorted(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    error = None
    try:
        Container.create(name, root=root, options=options)
    except OcirunError as caught:
        error = caught
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    if error is None:
        delete(name, root=root, force=True)
    after = sorted(os.listdir("/proc/self/fd"))
    left = [one for one in os.listdir(root) if "~" not in one] if os.path.isdir(root) else []
    print(limit, "created" if error is None else error.code, after == before, left, flush=True)
"""


def test_command(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.save()
    made = 0
    for limit in LIMITS:
        result = process.run(
            live.argv("create", "--bundle", bundle.path, bundle.id),
            scratch=live.scratch,
            before=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),  # type: ignore[misc]
        )
        if result.code == 0:
            made += 1
            live.delete(bundle, "--force")
        else:
            assert "Traceback" not in result.err and "internal error" not in result.err, result.report()
        assert [name for name in os.listdir(live.root) if "~" not in name] == [], f"with {limit} descriptors"
        assert [path for path in oracle.cgroups(bundle.id) if bundle.id in path] == [], f"with {limit} descriptors"
    assert made, "fifty-six descriptors are enough"
    live.assert_clean()


@pytest.mark.parametrize(
    "verb", [["start"], ["state"], ["kill", "KILL"], ["delete", "--force"], ["exec"]], ids=" ".join
)
def test_other_commands(live: Case, verb: list[str]) -> None:
    """They fail, or do what they are for; nothing between."""
    bundle = live.bundle(["/bin/sleep", "600"])
    for limit in range(5, 24, 3):
        (live.create if verb == ["start"] else live.launch)(bundle)
        more = {"kill": ["KILL"], "exec": ["/bin/true"]}.get(verb[0], [])
        result = process.run(
            live.argv(*(word for word in verb if word != "KILL"), bundle.id, *more),
            scratch=live.scratch,
            before=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),  # type: ignore[misc]
        )
        assert "Traceback" not in result.err and "internal error" not in result.err, result.report()
        if result.code and verb != ["kill", "KILL"]:
            assert live.status(bundle) in ("created", "running"), result.report()
        live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_caller_of_the_library(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    bundle.save()
    result = process.run(
        [sys.executable, "-c", PROGRAM, live.root, bundle.path, bundle.id, str(LIMITS.start), str(LIMITS.stop)],
        scratch=live.scratch,
        env={**process.BARE_ENVIRONMENT, "PYTHONPATH": os.path.join(CHECKOUT, "runtime")},
        limit=120,
    ).ok()
    lines = result.out.splitlines()
    assert len(lines) == len(LIMITS), result.report()
    for line in lines:
        assert line.endswith("True []"), line
    assert any(" created " in line for line in lines)
    live.assert_clean()
