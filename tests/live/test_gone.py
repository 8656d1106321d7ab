"""Only ENOENT and ESRCH say that a process is gone: any other errno is an error, and the container stays as it is."""

from __future__ import annotations

import os
import shutil

import pytest

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .bundles import Bundle
    from .case import Case
    from .process import Result

SLEEP = ["/bin/sleep", "600"]
ERRNOS = ("ENOMEM", "EMFILE", "EACCES", "EIO", "EINVAL")
VERBS = (
    ("state",),
    ("delete",),
    ("delete", "--force"),
    ("kill", "--all"),
    ("pause",),
    ("exec",),
)


@pytest.fixture(autouse=True)
def _strace() -> None:
    if shutil.which("strace") is None:
        pytest.fail("needs strace")


@pytest.fixture
def running(live: Case) -> Bundle:
    bundle = live.bundle(SLEEP)
    bundle.share_host("pid")
    live.launch(bundle)
    return bundle


def with_fault(live: Case, fault: str, path: str, *command: str) -> Result:
    """A command, one of whose system calls fails; only those on `path`, if it is given."""
    on = ["-P", path] if path else []
    call = fault.partition(":")[0]
    options = ["-o", "/dev/null", "-qq", "-f", *on, "-e", f"trace={call}", "-e", f"inject={fault}"]
    return process.run(["strace", *options, *live.argv(*command)], scratch=live.scratch, limit=60)


def words(bundle: Bundle, verb: tuple[str, ...]) -> list[str]:
    more = {"exec": ["/bin/true"], "kill": ["0"]}.get(verb[0], [])
    return [*verb, bundle.id, *more]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_stat_that_cannot_be_read(live: Case, running: Bundle, verb: tuple[str, ...]) -> None:
    pid = live.pid(running)
    for errno in ERRNOS:
        result = with_fault(live, f"openat:error={errno}", f"/proc/{pid}/stat", *words(running, verb))
        if result.code:
            assert f"/proc/{pid}/stat" in result.err and "internal" not in result.err, result.report()
        else:
            assert verb[0] == "kill", "only what does not ask for the process may succeed"
        assert live.status(running) == "running" and os.path.exists(f"/proc/{pid}"), errno


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb[0] in ("delete", "exec", "kill")], ids=" ".join)
def test_process_that_cannot_be_opened(live: Case, running: Bundle, verb: tuple[str, ...]) -> None:
    pid = live.pid(running)
    for errno in ERRNOS:
        result = with_fault(live, f"pidfd_open:error={errno}", "", *words(running, verb))
        assert result.code and "internal" not in result.err, result.report()
        assert live.status(running) == "running" and os.path.exists(f"/proc/{pid}"), errno


def test_process_that_procfs_hides(live: Case, running: Bundle) -> None:
    """A procfs of another pid namespace does not show it; that does not make it gone."""
    for verb in (("state",), ("delete",), ("delete", "--force")):
        script = 'mount -t tmpfs none /proc/$1 2>/dev/null; shift; exec "$@"'
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", str(live.pid(running))]
        result = process.run([*argv, *live.argv(*words(running, verb))], scratch=live.scratch, limit=60)
        assert result.code and f"/proc/{live.pid(running)}/stat" in result.err
    assert live.status(running) == "running"
