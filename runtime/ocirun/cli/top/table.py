"""The table of ``ocirun top``: rows to lines that fit a screen.  Pure."""

from __future__ import annotations

from ocirun.cli.output import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ocirun.cli.top.sampler import Row

# Key -> what it sorts by, largest first; the id settles the rest.
ORDERS: dict[str, tuple[str, Callable[[Row], float]]] = {
    "c": ("cpu", lambda row: row.cpu or 0.0),
    "m": ("memory", lambda row: float(row.memory or 0)),
    "p": ("pids", lambda row: float(row.pids or 0)),
    "i": ("io", lambda row: (row.read_rate or 0.0) + (row.write_rate or 0.0)),
    "n": ("id", lambda _: 0.0),
}
NAMES = {name: key for key, (name, _) in ORDERS.items()}

_HEAD = ("ID", "STATUS", "CPU %", "MEMORY", "LIMIT", "MEM %", "PIDS", "LIMIT", "READ/s", "WRITE/s")
# What few hosts count; shown if it is counted for some container.
_RARE = ("IO COST %", "DEV MEM", "MISC")
_LEFT = 2  # columns that are aligned to the left
_GAP = "  "
_ID_LEAST = 8


def ordered(rows: Iterable[Row], key: str) -> list[Row]:
    """Return rows in the order of a key of ORDERS; those that use nothing keep the order of their ids, at the end."""
    _, value = ORDERS[key]
    return sorted(rows, key=lambda row: (-value(row), row.status in ("stopped", "damaged", "unknown"), row.id))


def lines(rows: list[Row], *, width: int = 0) -> list[str]:
    """Return the head and a line for each row.

    width   columns of the screen; ids are cut, then columns left out at the right, until it is enough.  0 for
            any width
    """
    cells = [[*_HEAD, *_RARE], *(_cells(row) for row in rows)]
    for column in reversed(range(len(_HEAD), len(cells[0]))):
        if all(line[column] == "-" for line in cells[1:]):
            for line in cells:
                del line[column]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    shown = len(widths)
    if width:
        while shown > _LEFT and _ID_LEAST + sum(widths[1:shown]) + len(_GAP) * (shown - 1) > width:
            shown -= 1
        room = width - sum(widths[1:shown]) - len(_GAP) * (shown - 1)
        widths[0] = max(min(widths[0], room), 1)
    return [_line(line[:shown], widths) for line in cells]


def _line(cells: list[str], widths: list[int]) -> str:
    texts = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=False)):
        text = cell if len(cell) <= width else cell[: width - 1] + "~"
        texts.append(text.ljust(width) if column < _LEFT else text.rjust(width))
    return _GAP.join(texts).rstrip()


def _cells(row: Row) -> list[str]:
    share = None
    if row.memory is not None and row.memory_limit:
        share = row.memory / row.memory_limit * 100
    return [
        visible(row.id),
        row.status,
        decimal(row.cpu),
        size(row.memory),
        size(row.memory_limit),
        decimal(share),
        count(row.pids),
        count(row.pids_limit),
        size(row.read_rate),
        size(row.write_rate),
        decimal(row.io_cost_share),
        size(row.device_memory),
        ",".join(f"{visible(name)}={used}" for name, used in row.misc.items()) or "-",
    ]


def summary(rows: list[Row], processors: int) -> str:
    """Return one line about all of them."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    states = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    cpu = sum(row.cpu or 0.0 for row in rows)
    memory = sum(row.memory or 0 for row in rows)
    text = f"{len(rows)} container{'' if len(rows) == 1 else 's'}"
    if states:
        text += f" ({states})"
    return f"{text}, {cpu:.1f} % of {processors * 100} % CPU, {size(memory)} memory"


def decimal(value: float | None) -> str:
    """Return one digit behind the point, "-" for None."""
    return "-" if value is None else f"{value:.1f}"


def count(value: int | None) -> str:
    """Return a whole number, "-" for None."""
    return "-" if value is None else str(value)


def size(value: float | None) -> str:
    """Return bytes by powers of 1024, three digits or so, "-" for None."""
    if value is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1000 or unit == "TiB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError
