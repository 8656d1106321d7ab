"""state.json and the progress record: damaged in any way they give an error or a safe answer, never a crash."""

from __future__ import annotations

import errno
import json
import os
import struct
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ocirun._base import procfile
from ocirun.errors import HostError, StateDamagedError
from ocirun.state import record, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any


def made(**changes: Any) -> record.Record:
    values: dict[str, Any] = {
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2026-01-02T03:04:05.000000006Z",
        "owner": 0,
        "annotations": {"ä": '"\n'},
        "cgroup": {"driver": "none"},
        "hooks": ["poststop"],
        "boot_id": record.boot_id(),
        "late": [[7, "wait_start", "", {"path": ""}], [9, "execute", "/process/args", {"args": ["/p"]}]],
        "pid": os.getpid(),
        "start_time": record.process_stat(os.getpid())[1],
    }
    return record.Record("c1", **{**values, **changes})


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = store.reserve(str(tmp_path / "root"), "c1")
    yield fd
    os.close(fd)


def fields(of: record.Record) -> dict[str, Any]:
    return {name: getattr(of, name) for name in of.__slots__}


def test_round_trip(directory: int) -> None:
    wanted = made()
    wanted.save(directory)
    assert fields(record.load(directory, "c1")) == fields(wanted)


def test_cut_at_every_byte(directory: int) -> None:
    made().save(directory)
    whole = store.read_file(directory, "state.json")
    for size in range(len(whole)):
        store.write_file(directory, "state.json", whole[:size])
        with pytest.raises(StateDamagedError) as caught:
            record.load(directory, "c1")
        assert caught.value.remedy


def test_missing_or_not_a_file(directory: int, tmp_path: Path) -> None:
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")
    os.mkdir("state.json", dir_fd=directory)
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")
    os.rmdir("state.json", dir_fd=directory)
    os.symlink("/etc/passwd", "state.json", dir_fd=directory)
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b"{" * 5000, b"1e999", b'{"format":1}'])
def test_other_json(directory: int, raw: bytes) -> None:
    store.write_file(directory, "state.json", raw)
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")


ODD: list[Any] = [None, True, 0, -1, 2**31, 2**63, 2**70, 1.5, "", "x", [], [1], [[]], {}, {"a": 1}, {"driver": "v1"}]


@pytest.mark.parametrize("name", [*record.Record.__slots__, "format"])
@pytest.mark.parametrize("value", ODD, ids=repr)
def test_strange_values(directory: int, name: str, value: Any) -> None:
    """Either it is refused at once, or everything that later commands ask has an answer."""
    made().save(directory)
    values = json.loads(store.read_file(directory, "state.json"))
    values[name] = value
    store.write_file(directory, "state.json", json.dumps(values).encode())
    try:
        loaded = record.load(directory, "c1")
    except StateDamagedError:
        return
    progress = record.load_progress(directory)
    assert record.status(loaded, progress) in ("creating", "created", "running", "stopped")
    fd = record.open_init(loaded)
    if fd >= 0:
        os.close(fd)
        assert name != "pid"
    loaded.late_op(9)
    loaded.late_op(12345)


@pytest.mark.parametrize("name", [*record.Record.__slots__, "format"])
def test_every_key_is_needed(directory: int, name: str) -> None:
    made().save(directory)
    values = json.loads(store.read_file(directory, "state.json"))
    del values[name]
    store.write_file(directory, "state.json", json.dumps(values).encode())
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")


def test_unknown_key(directory: int) -> None:
    made().save(directory)
    values = {**json.loads(store.read_file(directory, "state.json")), "new": 1}
    store.write_file(directory, "state.json", json.dumps(values).encode())
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")


FORMAT_1 = (
    b'{"annotations":{"a":"b"},"boot_id":"x","bundle":"/b","cgroup":{"driver":"none"},"container_id":"c1",'
    b'"created":"2026-01-02T03:04:05.000000006Z","hooks":["poststop"],"host_mounts":null,'
    b'"late":[[9,"execute","/process/args",{"args":["/p"]}]],"own_keyring":true,"owner":0,"pid":7,"rdt":[],'
    b'"rootfs":"/b/rootfs","shared_pids":false,"start_time":8,"format":1}'
)


def test_state_of_another_version(directory: int) -> None:
    """P23: what an earlier package has written stays readable, or the number of the format changes."""
    store.write_file(directory, "state.json", FORMAT_1)
    if record.FORMAT == 1:
        loaded = record.load(directory, "c1")
        assert (loaded.container_id, loaded.pid, loaded.late_op(9)[1].name) == ("c1", 7, "execute")
        store.write_file(directory, "state.json", FORMAT_1.replace(b'"format":1', b'"format":2'))
    with pytest.raises(StateDamagedError, match="not a state of this version") as refused:
        record.load(directory, "c1")
    assert "delete(force=True)" in refused.value.remedy


def progress_of(phase: int, *, index: int = 0) -> record.Progress:
    raw = bytearray(record.progress_header(0).ljust(record.PROGRESS_SIZE, b"\0"))
    struct.pack_into("<II", raw, 4, phase, index)
    return record.Progress(bytes(raw))


@pytest.mark.parametrize(
    ("phase", "status"),
    [(1, "creating"), (2, "created"), (3, "created"), (4, "running"), (5, "stopped")],
)
def test_status(phase: int, status: str) -> None:
    assert record.status(made(), progress_of(phase)) == status
    assert record.status(made(pid=0), progress_of(phase)) in ("stopped", "creating")


def test_pid_of_somebody_else() -> None:
    """A pid that was used again has another start time; one of an earlier boot means nothing."""
    for wrong in (
        made(start_time=1),
        made(boot_id="other"),
        made(pid=1),
        made(pid=0),
        made(pid=-5),
        made(pid=2**22 + 7),
    ):
        assert record.open_init(wrong) == -1
        assert record.status(wrong, progress_of(4)) == "stopped"


def test_zombies_are_gone() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    ended = made(pid=child, start_time=record.process_stat(child)[1])
    assert not record.is_alive(ended)
    assert record.open_init(ended) == -1
    os.waitpid(child, 0)


def test_name_of_a_process_with_parentheses() -> None:
    name = b") Z 1 (x"
    with open("/proc/self/comm", "rb+", buffering=0) as file:
        old = file.read(16).rstrip(b"\n")
        file.seek(0)
        file.write(name)
        try:
            letter, start = record.process_stat(os.getpid())
        finally:
            file.write(old)
    assert letter == "R"
    assert start > 0


def test_no_process() -> None:
    assert record.process_stat(0) == ("", 0)
    assert record.process_stat(-1) == ("", 0)
    assert record.process_stat(2**22 + 1) == ("", 0)


@given(raw=st.binary(max_size=5000), size=st.integers(0, record.PROGRESS_SIZE + 200))
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
def test_any_progress(raw: bytes, size: int) -> None:
    progress = record.Progress(raw.ljust(size, raw[-1:] or b"\xff"))
    assert len(progress.output) <= record.PROGRESS_OUTPUT
    assert len(progress.stamps) <= 20
    assert record.status(made(), progress) in ("creating", "created", "running", "stopped")


def test_progress_with_wild_lengths() -> None:
    raw = bytearray(record.progress_header(2**32 - 1).ljust(record.progress_bytes(3), b"\xee"))
    struct.pack_into("<I", raw, 36, 2**32 - 1)
    progress = record.Progress(bytes(raw))
    assert len(progress.stamps) == 3
    assert len(progress.output) == record.PROGRESS_OUTPUT


def test_progress_file_that_is_missing(directory: int) -> None:
    assert record.load_progress(directory).phase == 0


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", ["state.json", "progress", "spare"])
def test_what_cannot_be_read_is_not_damaged(
    directory: int, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """`delete --force` forgets a damaged container, so an errno that says nothing of the file must not make it one."""
    made().save(directory)

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "readlink" if name == "spare" else "open", refuse)
    read: dict[str, Callable[[], Any]] = {
        "state.json": lambda: record.load(directory, "c1"),
        "progress": lambda: record.load_progress(directory),
        "spare": lambda: record.load_spare(directory, "c1"),
    }
    with pytest.raises(HostError, match=name) as caught:
        read[name]()
    assert caught.value.errno == number


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EINVAL])
def test_only_two_errnos_say_that_a_process_is_gone(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    running = made()

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", refuse)
        for ask in (record.open_init, record.end_init, record.reap_init):
            with pytest.raises(HostError):
                ask(running)
    for name in ("read", "open"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            for tell in (record.is_alive, record.open_init, lambda of: record.process_stat(of.pid)):
                with pytest.raises(HostError):
                    tell(running)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH])
def test_process_that_is_not_shown(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """/proc of another pid namespace, or with hidepid, does not have it; the kernel is asked as well."""
    shown = procfile.read

    def hide(path: str, size: int = 4096) -> bytes:
        if path.endswith("/stat"):
            raise OSError(number, os.strerror(number))
        return shown(path, size)

    monkeypatch.setattr(procfile, "read", hide)
    with pytest.raises(HostError):
        record.process_stat(os.getpid())
    assert record.process_stat(2**22 + 1) == ("", 0)


def test_number_that_a_thread_has_got() -> None:
    """pidfd_open(2) refuses it, and yet the process is gone."""
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    try:
        assert record.open_init(made(pid=thread.native_id, start_time=1)) == -1
    finally:
        ended.set()
        thread.join()


def test_state_of_another_container(directory: int) -> None:
    """The name of the directory is the id; what a file says in its place would lead to another directory."""
    for name in ("../victim", "c2", ""):
        other = made()
        other.container_id = name
        other.save(directory)
        with pytest.raises(StateDamagedError, match="another container"):
            record.load(directory, "c1")
        assert record.load_spare(directory, "c1") is None


def test_state_of_another_boot(directory: int) -> None:
    """What was the container's on the host is gone, or somebody else's by now."""
    mount = {"controllers": ["memory"], "mount": "/sys/fs/cgroup/memory", "device": "9:9", "below": "x"}
    groups = {"driver": "v1", "groups": [mount], "checked": True, "found": [], "prepared": True}
    made(boot_id="other", cgroup=groups, rdt=["/sys/fs/resctrl/x"], host_mounts=[1]).save(directory)
    for loaded in (record.load(directory, "c1"), record.load_spare(directory, "c1")):
        assert loaded is not None
        assert (loaded.cgroup, loaded.rdt, loaded.host_mounts) == ({"driver": "none"}, [], None)
        assert not record.is_alive(loaded) and record.open_init(loaded) == -1


def test_spare_of_an_earlier_version(directory: int) -> None:
    store.write_link(directory, "spare", json.dumps(["c1", 7, 8, record.boot_id(), {"driver": "none"}, []]))
    loaded = record.load_spare(directory, "c1")
    assert loaded is not None and loaded.shared_pids and loaded.host_mounts is None


@pytest.mark.parametrize("args", [{}, {"path": 1}, {"args": "x"}, {"args": [1]}])
@pytest.mark.parametrize("name", ["wait_start", "run_hook", "execute"])
def test_words_of_a_late_operation_are_there(directory: int, name: str, args: dict[str, Any]) -> None:
    made(late=[[9, name, "", args]]).save(directory)
    with pytest.raises(StateDamagedError):
        record.load(directory, "c1")
