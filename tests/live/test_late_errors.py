"""What fails when the thing itself is done, or before anything is."""

from __future__ import annotations

import pytest

from . import kernel, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_start_with_a_state_root_that_cannot_be_written(live: Case) -> None:
    """The program runs: nothing that comes after may say that it does not."""
    bundle = live.shell("echo started; exec sleep 600")
    created = live.create(bundle)
    kernel.mount(live.root, live.root, flags=kernel.MS_BIND)
    kernel.mount("", live.root, flags=kernel.MS_BIND | kernel.MS_REMOUNT | kernel.MS_RDONLY)
    try:
        assert live.start(bundle).err == ""
        process.eventually(lambda: created.out == "started\n", "the program's output")
        assert live.status(bundle) == "running"
        live.command("start", bundle.id).failed("cannot start an already running container")
    finally:
        kernel.umount(live.root)
    live.delete(bundle, "--force")
    live.assert_clean()


def test_run_whose_container_cannot_be_deleted(live: Case) -> None:
    """The status is the program's, and what is left is told."""
    bundle = live.shell("exit 7")
    bundle.hook("poststart", f"mount --bind {live.root} {live.root}; mount -o remount,bind,ro {live.root}")
    result = live.run(bundle)
    kernel.umount(live.root)
    assert result.code == 7
    assert f"the container {bundle.id} is not deleted" in result.err
    assert "read-only file system" in result.err
    live.delete(bundle, "--force")
    live.assert_clean()


@pytest.mark.parametrize("verb", ["create", "run"])
def test_trace_that_cannot_be_written(live: Case, verb: str) -> None:
    """It is opened before anything is made, and what fails later is a warning."""
    bundle = live.bundle(["/bin/true"])
    live.make(verb, bundle, "--trace", "/nonexistent/trace").failed("trace /nonexistent/trace: no such file")
    live.assert_clean()
    result = live.make(verb, bundle, "--trace", "/dev/full").ok()
    assert "trace /dev/full: no space left on device" in result.err
    live.command("delete", "--force", bundle.id).ok()
    live.assert_clean()


def test_trace_does_not_stand_in_the_way_of_undoing(live: Case) -> None:
    bundle = live.bundle(["/nonexistent"])
    result = live.make("run", bundle, "--trace", "/dev/full")
    assert result.code == 1 and "no such file" in result.err, result.err
    live.assert_clean()
