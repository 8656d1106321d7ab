"""Whether somebody may search the directories above a path."""

from __future__ import annotations

import errno
import os

import pytest

from ocirun.host import facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def may(path: Path, uid: int = 5, gid: int = 5) -> bool:
    return facts.may_search(str(path), uid, gid)


@pytest.fixture
def above(open_directory: Path) -> Iterator[Path]:
    """A directory that everybody can reach, with one of ours below it."""
    (open_directory / "mine" / "box").mkdir(parents=True)
    for directory in (open_directory / "mine", open_directory / "mine" / "box"):
        directory.chmod(0o755)
    yield open_directory / "mine"
    (open_directory / "mine").chmod(0o700)


def test_each_directory_above_counts_and_the_last_does_not(above: Path) -> None:
    assert may(above / "box")
    (above / "box").chmod(0o700)
    assert may(above / "box")
    assert not may(above / "box" / "deeper")
    above.chmod(0o744)
    assert not may(above / "box")


def test_class_of_the_user(above: Path) -> None:
    own, group = os.stat(above).st_uid, os.stat(above).st_gid
    for mode, wanted in ((0o700, (1, 0, 0)), (0o710, (1, 1, 0)), (0o701, (1, 0, 1)), (0o071, (0, 1, 1))):
        above.chmod(mode)
        found = [may(above / "box", uid, gid) for uid, gid in ((own, 5), (5, group), (5, 5))]
        assert found == [bool(one) for one in wanted], oct(mode)


def test_through_a_link(above: Path) -> None:
    """Both the directories above the link and those above what it points to."""
    (above.parent / "link").symlink_to(above / "box")
    assert may(above.parent / "link")
    above.chmod(0o700)
    assert not may(above.parent / "link")
    (above / "back").symlink_to(above.parent)
    assert not may(above / "back" / "x")


def test_what_is_missing_is_said_by_who_uses_it(above: Path) -> None:
    assert may(above / "none" / "such")


@pytest.mark.parametrize("error", [errno.ENOMEM, errno.EIO, errno.EACCES])
def test_what_nobody_knows(above: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    """Then the way is taken that asks for no right of that user."""

    def fail(path: str) -> None:
        raise OSError(error, os.strerror(error), path)

    monkeypatch.setattr(facts.os, "stat", fail)
    found = may(above / "box")
    monkeypatch.undo()
    assert not found
