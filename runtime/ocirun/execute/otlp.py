"""Spans of a trace in OpenTelemetry's JSON form: a line is one export request (OTLP 1.x, "JSON Protobuf Encoding";
"OTLP File Exporter").  The parent is that of TRACEPARENT in the environment (W3C Trace Context, version 00)."""

from __future__ import annotations

import os
import time

from .._base import jsonio
from .._base.version import VERSION
from ..errors import errno_words
from ..plan import render
from ..state.record import PHASE_FAILED
from .spawn import call_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..plan.ops import Plan
    from ..state.record import Progress

PARENT = "TRACEPARENT"
_INTERNAL, _ERROR = 1, 2  # SPAN_KIND_INTERNAL, STATUS_CODE_ERROR
_SAMPLED = 1


class Parent:
    """What TRACEPARENT says: ids in hexadecimal, flags; without one, a new trace.

    wrong   it is there, and says nothing that can be used
    """

    __slots__ = ("flags", "span", "trace", "wrong")

    def __init__(self, text: str) -> None:
        self.trace, self.span, self.flags = os.urandom(16).hex(), "", _SAMPLED
        self.wrong = bool(text)
        words = text.strip().split("-")
        # A later version may have more fields behind these.
        if len(words) < 4 or [len(word) for word in words[:4]] != [2, 32, 16, 2]:
            return
        if not all(set(word) <= set("0123456789abcdef") for word in words[:4]) or words[0] == "ff":
            return
        if (words[0] == "00" and len(words) > 4) or not int(words[1], 16) or not int(words[2], 16):
            return
        self.trace, self.span, self.flags = words[1], words[2], int(words[3], 16)
        self.wrong = False


def line(
    plan: Plan,
    rows: Sequence[tuple[int, str, int, int]],
    failed: Mapping[str, Progress | None],
    parent: Parent,
    name: str,
    container_id: str,
) -> str:
    """Return the export request of one command: a span for it, and one below it for each operation.

    rows     (number of the operation, actor, begin, end) by CLOCK_MONOTONIC, in nanoseconds
    failed   actor -> its progress record, which tells an operation that has failed
    name     of the command
    """
    offset = time.time_ns() - time.monotonic_ns()
    root = os.urandom(8).hex()
    spans = []
    error = ""
    for index, actor, begin, end in rows:
        op = plan.ops[index]
        progress = failed.get(actor)
        wrong = ""
        if progress is not None and progress.phase == PHASE_FAILED and progress.index == index:
            wrong = f"{render.phrase(op)}: {call_name(progress.call)}: {errno_words(progress.errno)}"
            error = wrong
        values: dict[str, int | str] = {"ocirun.op": index, "ocirun.actor": actor, "ocirun.what": render.phrase(op)}
        if op.pointer:
            values["ocirun.pointer"] = op.pointer
        span = _span(parent, os.urandom(8).hex(), root, op.name, (begin + offset, end + offset), values)
        spans.append(span | _status(wrong))
    if rows:
        times = (rows[0][2] + offset, max(end for _, _, _, end in rows) + offset)
        values = {"container.id": container_id, "ocirun.command": name}
        spans.insert(0, _span(parent, root, parent.span, f"ocirun {name}", times, values) | _status(error))
    resource = {"attributes": _attributes({"service.name": "ocirun", "service.version": VERSION})}
    scope = {"scope": {"name": "ocirun", "version": VERSION}, "spans": spans}
    return jsonio.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]}) + "\n"


def _span(
    parent: Parent, own: str, above: str, name: str, times: tuple[int, int], values: dict[str, int | str]
) -> dict[str, Any]:
    return {
        "traceId": parent.trace,
        "spanId": own,
        **({"parentSpanId": above} if above else {}),
        "flags": parent.flags,
        "name": name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(times[0]),
        "endTimeUnixNano": str(times[1]),
        "attributes": _attributes(values),
    }


def _status(error: str) -> dict[str, Any]:
    return {"status": {"code": _ERROR, "message": error}} if error else {}


def _attributes(values: Mapping[str, int | str]) -> list[dict[str, Any]]:
    """Return attributes; 64-bit numbers are texts in that form."""
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in values.items()
    ]
