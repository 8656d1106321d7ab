"""``--trace``: how long each operation of the plan took, on both sides.

Both sides stamp the start of each of their operations into a record
(CLOCK_MONOTONIC, nanoseconds).  At a barrier the helper waits, so its operation
holds those of the runtime.
"""

from __future__ import annotations

import os

from .._base import jsonio
from ..errors import HostError
from ..plan import render
from ..plan.ops import HOST, INIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..plan.ops import Plan
    from ..state.record import Progress
    from .spawn import Helper


class Trace:
    """The times of one execution, to be written to `path`: JSON for Chrome's trace viewer if the name
    ends in ``.json``, else a table.

    warn   called with one line when it cannot be written
    """

    __slots__ = ("_fd", "_warn", "path")

    def __init__(self, path: str, warn: Callable[[str], None]) -> None:
        """Open the file, before there is anything to trace.  Raises HostError."""
        self.path = path
        self._warn = warn
        how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            self._fd = os.open(path, how, 0o644)
        except OSError as error:
            raise HostError.from_os(f"trace {path}", error, call="open") from None

    def end(self, plan: Plan, helper: Helper | None, own: Progress) -> None:
        """Write it, with the helper's stamps where they can be read."""
        try:
            progress = helper.progress() if helper is not None and helper.progress_fd >= 0 else None
        except OSError:
            progress = None
        self.write(plan, progress, own)

    def write(self, plan: Plan, progress: Progress | None, own: Progress) -> None:
        """Write the file and close it.  What was traced has been done by then, so a failure is a warning.

        progress   of the helper
        own        of the host's side
        """
        rows = sorted([*_rows(plan, progress, INIT), *_rows(plan, own, HOST)], key=lambda row: row[2])
        text = _chrome(plan, rows) if self.path.endswith(".json") else _table(plan, rows)
        try:
            with os.fdopen(self._fd, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError as error:
            self._warn(HostError.from_os(f"trace {self.path}", error, call="write").message)


def _rows(plan: Plan, progress: Progress | None, actor: str) -> list[tuple[int, str, int, int]]:
    """Return (number of the operation, actor, begin, end) in nanoseconds."""
    rows = []
    stamps = [(index, begin) for index, begin in (progress.stamps if progress else ()) if begin]
    for place, (index, begin) in enumerate(stamps):
        # The last one, such as execve or the wait for start, is not ours to see the end of.
        end = stamps[place + 1][1] if place + 1 < len(stamps) else begin
        # Between its operations the host's side waits at those of the helper.
        if index < len(plan.ops) and end >= begin and plan.ops[index].actor == actor:
            rows.append((index, actor, begin, end))
    return rows


def _table(plan: Plan, rows: list[tuple[int, str, int, int]]) -> str:
    first = rows[0][2] if rows else 0
    lines = [f"{'at ms':>9} {'took ms':>9}  {'op':>4}  by    what"]
    for index, actor, begin, end in rows:
        op = plan.ops[index]
        place = f"  ({op.pointer})" if op.pointer else ""
        times = f"{(begin - first) / 1e6:9.3f} {(end - begin) / 1e6:9.3f}"
        lines.append(f"{times}  {index:4}  {actor}  {render.phrase(op)}{place}")
    for actor in (HOST, INIT):
        total = sum(end - begin for _, who, begin, end in rows if who == actor)
        lines.append(f"{'':9} {total / 1e6:9.3f}  {'':4}  {actor}  in all")
    return "\n".join(lines) + "\n"


def _chrome(plan: Plan, rows: list[tuple[int, str, int, int]]) -> str:
    events: list[dict[str, Any]] = [
        {"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": name}}
        for number, name in enumerate((HOST, INIT), 1)
    ]
    for index, actor, begin, end in rows:
        op = plan.ops[index]
        events.append(
            {
                "name": op.name,
                "cat": actor,
                "ph": "X",
                "ts": begin / 1000,
                "dur": (end - begin) / 1000,
                "pid": 1,
                "tid": 1 if actor == HOST else 2,
                "args": {"op": index, "what": render.phrase(op), "pointer": op.pointer},
            }
        )
    return jsonio.dumps({"traceEvents": events, "displayTimeUnit": "ms"}) + "\n"
