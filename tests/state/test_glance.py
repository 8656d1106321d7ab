"""A glance at a record says what `record.load` says of it, or nothing."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocirun.errors import StateDamagedError
from ocirun.state import glance, record, store

from .test_record import made

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

CUT = ("cgroup", "late")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    os.close(store.reserve(str(tmp_path / "root"), "c1"))
    fd = os.open(tmp_path / "root", os.O_RDONLY)
    yield fd
    os.close(fd)


def written(root: int, **changes: Any) -> bytes:
    directory = os.open("c1", os.O_RDONLY, dir_fd=root)
    try:
        made(**changes).save(directory)
        return store.read_file(directory, "state.json")
    finally:
        os.close(directory)


def loaded(root: int) -> record.Record:
    directory = os.open("c1", os.O_RDONLY, dir_fd=root)
    try:
        return record.load(directory, "c1")
    finally:
        os.close(directory)


def agrees(root: int) -> None:
    """What a glance tells is what `load` tells."""
    found = glance.look(root, "c1")
    assert found is not None
    values, cgroup = found
    wanted = {name: getattr(loaded(root), name) for name in record.Record.__slots__}
    assert json.loads(b"{%b}" % cgroup) == wanted.pop("cgroup")
    del wanted["late"]
    assert values == {**wanted, "format": record.FORMAT}


# What looks like the keys that are searched for, where it is none.
TRAPS = st.sampled_from(
    ['"cgroup":{', ',"cgroup":{', '},"container_id":"', ',"late":[[', ']],"own_keyring":', "\\", '"', '\\"', "ä", "x"]
)
TEXTS = st.lists(TRAPS, max_size=4).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(key=TEXTS, text=TEXTS, other=TEXTS)
def test_any_texts(root: int, key: str, text: str, other: str) -> None:
    """A colon behind a quote in a text is all that makes it look again."""
    late = [[7, "wait_start", "", {"path": other}], [9, "execute", other, {"args": [other, text]}]]
    cgroup = {"driver": "none", other: {"cgroup": {}, "container_id": text, "late": [[1]], "own_keyring": 1}}
    written(root, annotations={key: text, "cgroup": text}, bundle=text, rootfs=other, late=late, cgroup=cgroup)
    if '":' in key + text + other:
        assert glance.look(root, "c1") is None
    else:
        agrees(root)


def test_plain_record(root: int) -> None:
    written(root)
    agrees(root)
    written(root, annotations={}, hooks=[], shared_pids=True, rdt=["a"], pid=0, start_time=0)
    assert glance.look(root, "c1") is None


def test_process_that_stands_beside_the_record(root: int) -> None:
    written(root, pid=0, start_time=0, cgroup={"driver": "v1", "groups": [], "prepared": False})
    os.symlink("none", "c1/looked", dir_fd=root)
    for text in ("", "12", "a 5", "12 -5"):
        if text:
            os.symlink(text, "c1/made", dir_fd=root)
        assert glance.look(root, "c1") is None
        if text:
            os.unlink("c1/made", dir_fd=root)
    os.symlink("123 456", "c1/made", dir_fd=root)
    found = glance.look(root, "c1")
    assert found is not None
    assert (found[0]["pid"], found[0]["start_time"]) == (123, 456)
    whole = loaded(root)
    assert (whole.pid, whole.start_time, whole.cgroup["prepared"]) == (123, 456, True)


def test_host_mounts_and_long_ones_are_for_load(root: int) -> None:
    written(root, host_mounts=[1])
    assert glance.look(root, "c1") is None
    assert loaded(root).host_mounts == [1]
    written(root, annotations={"long": "x" * 40000})
    assert glance.look(root, "c1") is None
    assert len(loaded(root).annotations["long"]) == 40000


def test_cut_at_every_byte(root: int) -> None:
    raw = written(root)
    assert glance.parse(raw, "c1") is not None
    assert [end for end in range(len(raw)) if glance.parse(raw[:end], "c1") is not None] == []
    assert glance.parse(raw + b" ", "c1") is None
    assert glance.parse(b"\0" * len(raw), "c1") is None


def test_missing_key_and_wrong_type(root: int) -> None:
    values = json.loads(written(root))

    def parsed(**changes: Any) -> object:
        changed = {name: value for name, value in {**values, **changes}.items() if value != "gone"}
        return glance.parse(json.dumps(changed, separators=(",", ":")).encode(), "c1")

    assert parsed() is not None
    for name in values:
        assert parsed(**{name: "gone"}) is None
        assert parsed(**{name: 1.5}) is None
    for change in ({"format": 2}, {"container_id": "c2"}, {"pid": -1}, {"pid": 1 << 31}, {"annotations": {"a": 1}}):
        assert parsed(**change) is None
    assert parsed(more=1) is None


def test_key_that_is_there_twice(root: int, tmp_path: Path) -> None:
    raw = written(root)
    twice = raw.replace(b'"owner":0', b'"owner":0,"owner":1')
    assert glance.parse(twice, "c1") is None
    (tmp_path / "root/c1/state.json").write_bytes(twice)
    with pytest.raises(StateDamagedError, match="twice"):
        loaded(root)


def test_nothing_there(root: int) -> None:
    assert glance.look(root, "c1") is None
    assert glance.look(root, "other") is None
