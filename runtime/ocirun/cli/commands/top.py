"""``ocirun top``."""

from __future__ import annotations

import os
import time

from ocirun._base.jsonio import dumps
from ocirun.cli.output import out
from ocirun.cli.quantities import duration
from ocirun.cli.table import NUMBER, TEXT, Command, Option
from ocirun.cli.top import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.call import Call
    from ocirun.cli.top.sampler import Row, Sampler

COMMAND = Command(
    "top",
    summary="watch what the containers use",
    description="""\
Shows all containers below the state root with what they use: processor time in percent of one processor, memory and
its limit, processes and threads and their limit, bytes read from and written to block devices in a second. Memory is
without the part of the file cache that the kernel would give up first. Where the host counts them, there are the
time of block devices by io.cost, in percent, the memory of devices (dmem), and what is used of the controller misc.

On a terminal the table is renewed until q or ^C is typed; c, m, p, i and n sort it by CPU, memory, processes, I/O
and name. Otherwise it is printed once, after one interval, as rates need two looks.

With --json each update is a JSON object on a line of its own: time (of the clock, in seconds since 1970) and
containers. What is not counted, or has no limit, is null. Sizes are in bytes, rates in bytes a second.""",
    options=(
        Option(
            "interval", "d", kind=TEXT, metavar="TIME", default="2s", help="time between two looks, such as 500ms or 5s"
        ),
        Option("count", "n", kind=NUMBER, metavar="N", help="end after N updates", shown="1, or no end on a terminal"),
        Option(
            "sort",
            kind=TEXT,
            metavar="NAME",
            default="cpu",
            choices=tuple(table.NAMES),
            help="the order: cpu, memory, pids, io or id",
        ),
        Option("json", help="print JSON, a line for each update"),
    ),
)


def execute(call: Call) -> int:
    """Watch."""
    from ocirun.cli.top.sampler import Sampler

    interval = duration(call.values.text("interval"), option="interval") / 1e9
    count = call.values.number("count")
    key = table.NAMES[call.values.text("sort")]
    sampler = Sampler(call.settings.root)
    if call.values.flag("json"):
        _print(sampler, interval, count or 1, _json)
    elif os.isatty(0) and os.isatty(1):
        from ocirun.cli.top.screen import show

        show(sampler, interval, count, key)
    else:
        _print(sampler, interval, count or 1, lambda rows: _text(rows, key))
    return 0


def _print(sampler: Sampler, interval: float, count: int, write: Callable[[list[Row]], str]) -> None:
    sampler.sample()
    for _ in range(count):
        time.sleep(interval)
        out(write(sampler.sample()))


def _json(rows: list[Row]) -> str:
    return dumps({"time": time.time(), "containers": [row.record() for row in rows]}) + "\n"


def _text(rows: list[Row], key: str) -> str:
    return "".join(f"{line}\n" for line in table.lines(table.ordered(rows, key)))
