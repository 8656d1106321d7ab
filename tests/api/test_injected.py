"""A call of ours that fails, at any point of a run: an error that says what failed, and nothing is lost.

The functions of `os` here; the calls of csrc/host by a limit on descriptors, and in tests/live/test_fault_points.
"""

from __future__ import annotations

import errno
import os
import resource
import sys

import pytest

import ocirun
from ocirun.runs import in_new_container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NAME = f"injected-{os.getpid()}"
CALLS = (
    *("open", "read", "write", "pwrite", "mkdir", "rmdir", "unlink", "rename", "symlink", "mkfifo", "fchmod", "fstat"),
    *("stat", "ftruncate", "memfd_create", "pipe2", "dup", "pidfd_open", "listdir", "scandir", "lseek"),
)


class Faults:
    """Fails call number `at` of the functions of os, and only that one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.count, self.error = -1, 0, 0
        self.failed = ""
        self.active = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not self.active or sys._getframe(1).f_code.co_filename.startswith("<frozen"):
                return function(*args, **kwargs)
            number, self.count = self.count, self.count + 1
            if number == self.at:
                self.failed = f"{name}{args!r}"
                path = args[0] if args and isinstance(args[0], str) else None
                raise OSError(self.error, os.strerror(self.error), *([path] if path else []))
            return function(*args, **kwargs)

        return call

    def during(self, run: Callable[[], Any], at: int = -1, error: int = 0) -> Any:
        """What a run gives or raises with this call failing."""
        self.at, self.error, self.count, self.failed, self.active = at, error, 0, "", True
        try:
            return run()
        except Exception as failure:
            return failure
        finally:
            self.active = False


def groups() -> list[str]:
    return [f"{top}/{NAME}" for top, folders, _ in os.walk("/sys/fs/cgroup") if NAME in folders]


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOMEM, errno.EIO], ids=errno.errorcode.get)
def test_any_call_of_a_run_fails(bundle: str, root: str, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = Faults(monkeypatch)

    def run() -> ocirun.Outcome:
        in_new_container._kept.clear()  # of an earlier run, which would read next to nothing
        return ocirun.run(bundle, args=["/bin/true"], root=root, container_id=NAME)

    assert run().ok
    assert faults.during(run).ok
    count = faults.count
    assert count > 15
    before = set(os.listdir("/proc/self/fd"))
    wrong, refused, left = [], 0, 0
    for at in range(error % 3, count, 3):
        result = faults.during(run, at, error)
        if isinstance(result, Exception):
            refused += 1
            words = os.strerror(error).lower()[1:]
            if not isinstance(result, ocirun.OcirunError):
                wrong.append(f"{faults.failed}: {result!r}")
            elif words not in str(result).lower() and "may" not in str(result):
                wrong.append(f"{faults.failed}: {result} does not say what failed")
            elif "internal" in str(result):
                wrong.append(f"{faults.failed}: {result}")
        elif not result.ok:
            wrong.append(f"{faults.failed}: {result}")
        lost = set(os.listdir("/proc/self/fd")) ^ before
        if lost:
            wrong.append(f"{faults.failed}: descriptors {lost}")
            before = set(os.listdir("/proc/self/fd"))
        if groups() or NAME in os.listdir(root):
            # Only when the removal itself was refused, and then it can be repeated.
            left += 1
            if not isinstance(result, ocirun.OcirunError):
                wrong.append(f"{faults.failed}: something is left, and nobody says so")
            ocirun.delete(NAME, root=root, force=True)
            if groups() or NAME in os.listdir(root):
                wrong.append(f"{faults.failed}: cannot be removed: {groups()}")
    assert not wrong, "\n".join(wrong)
    assert refused > count / 10
    assert left < refused


@pytest.mark.parametrize("how", ["run", "prepared"])
def test_any_limit_on_descriptors(bundle: str, root: str, how: str) -> None:
    """With room for one more each time, another call is the one that fails."""
    prepared = ocirun.Prepared(bundle, args=["/bin/true"], root=root)

    def run() -> ocirun.Outcome:
        if how == "prepared":
            return prepared.run(container_id=NAME)
        return ocirun.run(bundle, args=["/bin/true"], root=root, container_id=NAME)

    assert run().ok
    first = max(map(int, os.listdir("/proc/self/fd")))
    filling = [os.dup(0)]
    while filling[-1] < first:
        filling.append(os.dup(0))
    before = os.listdir("/proc/self/fd")
    first = max(map(int, before)) - 1
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused = []
    try:
        for limit in range(first + 1, first + 100):
            result: object = None
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, old[1]))
            try:
                result = run()
            except Exception as failure:
                result = failure
                refused.append(failure)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, old)
            assert os.listdir("/proc/self/fd") == before, f"{limit}: {result}"
            assert not groups(), f"{limit}: {result}"
            assert NAME not in os.listdir(root), f"{limit}: {result}"
            if isinstance(result, ocirun.Outcome):
                assert result.ok
                break
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
        for fd in filling:
            os.close(fd)
    assert len(refused) > 20
    for failure in refused:
        assert isinstance(failure, ocirun.OcirunError)
        assert failure.errno == errno.EMFILE, failure
        assert "ulimit -n" in failure.remedy, failure
