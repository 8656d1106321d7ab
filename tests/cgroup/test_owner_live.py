"""Whose group it is: what has the same path, and even the same inode, may be another container's by now."""

from __future__ import annotations

import os

import pytest

from ocirun.cgroup import choose
from ocirun.errors import HostError, StateDamagedError

from .live import LAYOUT, Lab, alive, needs_v1, needs_v2, unified

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirun.cgroup import driver as drivers


class Both:
    """A lab of v1 or of v2."""

    def __init__(self, lab: Lab, version: str) -> None:
        self.lab = lab
        self.version = version

    def ready(self) -> drivers.Driver:
        """A driver whose groups are there, made or taken over."""
        return self.lab.driver_v2(ready=True) if self.version == "v2" else self.lab.driver(ready=True)


@pytest.fixture(params=[pytest.param("v1", marks=needs_v1), pytest.param("v2", marks=needs_v2)])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    layout = unified() if request.param == "v2" else LAYOUT
    assert layout is not None
    lab = Lab(layout)
    try:
        yield Both(lab, request.param)
    finally:
        lab.clean()


def assert_gone_for(old: drivers.Driver) -> None:
    """Every verb of a later command finds nothing that is its own."""
    with old:
        assert old.pids() == [] and old.usage() == {} and not old.frozen()
        assert old.kill(9) == 0 and old.kill(0) == 0
        with pytest.raises(HostError, match="is gone"):
            old.freeze()
        with pytest.raises(HostError, match="is gone"):
            old.thaw()
        with pytest.raises(HostError, match="is gone"):
            old.open_join(old.groups[0].name)
        old.remove(kill=True)


def test_an_empty_group_that_another_has_taken_over(both: Both) -> None:
    first = both.ready()
    first.close()
    second = both.ready()
    process = both.lab.start(second, "exec sleep 100")
    assert_gone_for(choose.recorded_driver(first.record()))
    assert alive(process)
    with choose.recorded_driver(second.record()) as later:
        assert later.pids() == [process.pid]
        assert later.kill(9, wait=10) == 1
        later.remove()
    assert not any(os.path.exists(path) for _, path in second.directories())


def test_a_group_that_was_made_again(both: Both) -> None:
    first = both.ready()
    first.close()
    for _, path in first.directories():
        os.rmdir(path)
    second = both.ready()
    process = both.lab.start(second, "exec sleep 100")
    assert_gone_for(choose.recorded_driver(first.record()))
    assert alive(process) and second.pids() == [process.pid]


def test_a_record_from_before_its_groups_kills_nobody(both: Both) -> None:
    """Its creator was killed between the look and the making; the path is somebody else's by now."""
    first = both.lab.driver_v2() if both.version == "v2" else both.lab.driver()
    first.check()
    process = both.lab.start(both.ready(), "exec sleep 100")
    with choose.recorded_driver(first.record()) as old:
        assert not old.prepared and old.kill(9) == 0
        with pytest.raises(HostError, match="1 processes are still in it"):
            old.remove(limit=0.1)
    assert alive(process)


def test_the_undo_of_a_create_gives_back_what_it_took_over(both: Both) -> None:
    first = both.ready()
    first.close()
    second = both.ready()
    both.ready().discard()
    second.discard()
    assert all(os.path.isdir(path) for _, path in first.directories())
    with choose.recorded_driver(first.record()) as old:
        old.remove(kill=True)
    assert not any(os.path.exists(path) for _, path in first.directories())


def test_a_state_of_before_is_known_by_its_path(both: Both) -> None:
    made = both.ready()
    record = {name: value for name, value in made.record().items() if name not in ("inodes", "mark")}
    process = both.lab.start(made, "exec sleep 100")
    with choose.recorded_driver(record) as old:
        assert old.pids() == [process.pid]


@pytest.mark.parametrize("change", [{"inodes": []}, {"inodes": {"x": "1"}}, {"inodes": {"x": 1}}, {"mark": 1}])
def test_damaged_marks(both: Both, change: dict[str, object]) -> None:
    with pytest.raises(StateDamagedError):
        choose.recorded_driver({**both.ready().record(), **change})


def test_a_place_that_is_no_cgroup(both: Both, tmp_path: object) -> None:
    """A saved state that names another directory as a hierarchy has nothing removed there."""
    record = both.ready().record()
    os.mkdir(f"{tmp_path}/below")
    there = os.stat(f"{tmp_path}/below")
    device = f"{os.major(there.st_dev)}:{os.minor(there.st_dev)}"
    group = {**record["groups"][0], "mount": str(tmp_path), "below": "below"}
    with pytest.raises(StateDamagedError):
        choose.recorded_driver({**record, "groups": [{**group, "device": ""}], "inodes": {}})
    elsewhere = choose.recorded_driver({**record, "groups": [group], "inodes": {}})
    with elsewhere, pytest.raises(HostError, match="is not the cgroup hierarchy"):
        elsewhere.remove(kill=True)
    for inodes in ({}, {group["controllers"][0]: there.st_ino + 1}):
        with choose.recorded_driver({**record, "groups": [{**group, "device": device}], "inodes": inodes}) as old:
            old.remove(kill=True)
    assert os.path.isdir(f"{tmp_path}/below")
