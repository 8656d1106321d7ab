"""`put` and `get`: one file into a running container, or out of it."""

from __future__ import annotations

import os
from errno import ENOSPC

from .._base import parameters
from ..errors import HostError, StateError, StepError, UsageError
from ..plan.builder import Request
from ..plan.files_plan import build_get, build_get_tree, build_put
from ..state import record as records
from ..state import saved
from . import joining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.files_plan import Entry
    from ..state.record import Record

#: The most bytes that are put or taken, unless more are asked for.
LIMIT = 64 << 20
_CONTENT = "content"  # its name in the plan
_MODES = 0o7777
_OF_DIRECTORY = 0o755
#: The most entries of a tree that is taken.
ENTRIES = 100_000
# Bytes: they are in memory, with the plan.
_MOST = 1 << 29
_DOES = "the file"


def put(
    record: Record,
    cgroup: Driver,
    directory: int,
    path: str,
    content: bytes,
    *,
    mode: int,
    user: tuple[int, int] | None,
) -> None:
    """Put a file into a container; see `Container.put`.  Gives up the driver and the directory."""
    try:
        with cgroup:
            data = _data(record, directory)
            owner = _user(data) if user is None else parameters.pair("user", user, most=(1 << 32) - 2)
            mode = parameters.whole("mode", mode, least=0, most=_MODES)
            entry = (_path(path), mode, owner, _CONTENT, None)
            plan = build_put(*_place(record, cgroup, data), **joining.target(record), entries=[entry])
            made = {_CONTENT: parameters.content("content", content)}
            joining.carry_out(plan, record, cgroup, directory, does=_DOES, made=made)
    finally:
        os.close(directory)


def put_tree(
    record: Record,
    cgroup: Driver,
    directory: int,
    path: str,
    source: object,
    *,
    max_bytes: int,
    user: tuple[int, int] | None,
    owners: bool,
) -> None:
    """Put a tree into a container; see `Container.put_tree`.  Gives up the driver and the directory."""
    from ..files import given_tree

    try:
        with cgroup:
            data = _data(record, directory)
            owner = _user(data) if user is None else parameters.pair("user", user, most=(1 << 32) - 2)
            if owners and user is not None:
                raise UsageError("owners: is there besides user", remedy="leave one of them out")
            top = "/" + parameters.text("path", path).strip("/")
            if not path.startswith("/"):
                raise parameters.wrong("path", "the absolute path of a directory", path)
            limit = parameters.whole("max_bytes", max_bytes, least=0, most=_MOST)
            made: dict[str, bytes] = {}
            entries: list[Entry] = [] if top == "/" else [(top, _OF_DIRECTORY, owner, None, None)]
            for one in given_tree.entries(source, limit, owners=parameters.boolean("owners", owners)):
                what = one.target
                if one.content is not None:
                    what = f"content {one.path}"
                    made[what] = one.content
                place = f"{top.rstrip('/')}/{one.path}"
                entries.append((place, one.mode, owner if one.owner is None else one.owner, what, one.time))
            plan = build_put(*_place(record, cgroup, data), **joining.target(record), entries=entries)
            joining.carry_out(plan, record, cgroup, directory, does="the files", made=made)
    finally:
        os.close(directory)


def get(record: Record, cgroup: Driver, directory: int, path: str, *, limit: int) -> bytes:
    """Return the bytes of a file of a container; see `Container.get`.  Gives up the driver and the directory."""
    limit = parameters.whole("limit", limit, least=0)
    try:
        with cgroup:
            data = _data(record, directory)
            plan = build_get(*_place(record, cgroup, data), **joining.target(record), path=_path(path), limit=limit)
            taken = joining.carry_out(plan, record, cgroup, directory, does=_DOES)
    finally:
        os.close(directory)
    try:
        size = os.fstat(taken).st_size
        if size > limit:
            raise UsageError(f"limit: {path} has more than {limit} bytes")
        return os.pread(taken, size, 0) if size < 1 << 30 else _pieces(taken, size)
    except OSError as error:
        raise HostError.from_os(f"get {path}", error, call="pread64") from None
    finally:
        os.close(taken)


def get_tree(
    record: Record, cgroup: Driver, directory: int, path: str, *, max_bytes: int
) -> tuple[int, dict[str, Any]]:
    """Return a descriptor of a copy of a directory of a container, which is the caller's, and the config.

    Gives up the driver and the directory.  See `Container.get_tree`.
    """
    limit = parameters.whole("max_bytes", max_bytes, most=_MOST)
    found = parameters.text("path", path)
    if not found.startswith("/"):
        raise parameters.wrong("path", "the absolute path of a directory", path)
    try:
        with cgroup:
            data = _data(record, directory)
            place = found.rstrip("/") or "/"
            plan = build_get_tree(
                *_place(record, cgroup, data), **joining.target(record), path=place, limit=limit, entries=ENTRIES
            )
            return joining.carry_out(plan, record, cgroup, directory, does="the files"), data
    except StepError as error:
        if error.operation == "copy_up" and error.errno == ENOSPC:
            text = f"max_bytes: {path} has more than {limit} bytes, in pages, or more than {ENTRIES} entries"
            raise UsageError(text) from None
        raise
    finally:
        os.close(directory)


def _pieces(fd: int, size: int) -> bytes:
    step = 1 << 30
    return b"".join(os.pread(fd, step, at) for at in range(0, size, step))


def _path(path: object) -> str:
    found = parameters.text("path", path)
    if not found.startswith("/") or found.endswith("/"):
        raise parameters.wrong("path", "the absolute path of a file", path)
    return found


def _data(record: Record, directory: int) -> dict[str, Any]:
    status = records.status(record, records.load_progress(directory))
    if status not in (records.CREATED, records.RUNNING, records.PAUSED):
        raise StateError("container not running", status=status)
    return saved.config(directory, record.bundle)


def _user(data: dict[str, Any]) -> tuple[int, int]:
    user = (data.get("process") or {}).get("user") or {}
    return user.get("uid", 0), user.get("gid", 0)


def _place(record: Record, cgroup: Driver, data: dict[str, Any]) -> tuple[Any, ...]:
    request = Request(container_id=record.container_id, bundle=record.bundle, directory="")
    return data, joining.facts(record, data), request, cgroup
