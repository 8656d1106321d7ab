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


_SOCKET = "unix:"
_PATIENCE = 1.0  # seconds


class Trace:
    """The times of one execution, to be written to `path`: JSON for Chrome's trace viewer if the name
    ends in ``.json``, else a table.  To a name that ends in ``.otlp.json``, and to a socket, goes a line of
    OpenTelemetry's JSON; such a file keeps the lines that it has.

    path      of a file, or ``unix:`` and the path of a listening Unix socket
    command   the name of what is traced
    warn      called with one line when it cannot be written
    """

    __slots__ = ("_command", "_fd", "_otlp", "_warn", "path")

    def __init__(self, path: str, command: str, warn: Callable[[str], None]) -> None:
        """Open the file, before there is anything to trace.  Raises HostError."""
        self.path = path
        self._command = command
        self._warn = warn
        self._otlp = path.endswith(".otlp.json") or path.startswith(_SOCKET)
        try:
            self._fd = _connected(path.removeprefix(_SOCKET)) if path.startswith(_SOCKET) else self._opened()
        except BlockingIOError:
            raise HostError(f"trace {path}: the listener does not accept", call="connect") from None
        except OSError as error:
            call = "connect" if path.startswith(_SOCKET) else "open"
            raise HostError.from_os(f"trace {path}", error, call=call) from None

    def _opened(self) -> int:
        how = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        return os.open(self.path, how | (os.O_APPEND if self._otlp else os.O_TRUNC), 0o644)

    def end(self, plan: Plan, helper: Helper | None, own: Progress, container_id: str) -> None:
        """Write it, with the helper's stamps where they can be read."""
        try:
            progress = helper.progress() if helper is not None and helper.progress_fd >= 0 else None
        except OSError:
            progress = None
        self.write(plan, progress, own, container_id)

    def write(self, plan: Plan, progress: Progress | None, own: Progress, container_id: str) -> None:
        """Write the file and close it.  What was traced has been done by then, so a failure is a warning.

        progress   of the helper
        own        of the host's side
        """
        rows = sorted([*_rows(plan, progress, INIT), *_rows(plan, own, HOST)], key=lambda row: row[2])
        if self._otlp:
            text = self._line(plan, rows, progress, own, container_id)
        else:
            text = _chrome(plan, rows) if self.path.endswith(".json") else _table(plan, rows)
        content = text.encode("utf-8", "backslashreplace")
        try:
            if self.path.startswith(_SOCKET):
                _send(self._fd, content)
                return
            # One write for a line of OTLP: others may append to the same file.
            with os.fdopen(self._fd, "wb", buffering=len(content) + 1) as file:
                file.write(content)
        except OSError as error:
            self._warn(HostError.from_os(f"trace {self.path}", error, call="write").message)

    def _line(
        self, plan: Plan, rows: list[tuple[int, str, int, int]], progress: Progress | None, own: Progress, name: str
    ) -> str:
        from . import otlp

        parent = otlp.Parent(os.environ.get(otlp.PARENT, ""))
        if parent.wrong:
            self._warn(
                f"{otlp.PARENT} {os.environ[otlp.PARENT]!a}: is not as W3C Trace Context has it; this is a new trace"
            )
        return otlp.line(plan, rows, {INIT: progress, HOST: own}, parent, self._command, name)


def _connected(path: str) -> int:
    """Return a descriptor of a connection to a Unix socket that listens.  OSError as it comes, HostError."""
    from .streams import sockets

    return sockets.connected(path, _PATIENCE).detach()


def _send(fd: int, content: bytes) -> None:
    """Send it and close the connection; a collector that does not read keeps nobody waiting.  OSError as it comes."""
    import socket

    with socket.socket(fileno=fd) as made:
        made.settimeout(_PATIENCE)
        made.sendall(content)


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
