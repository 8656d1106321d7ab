"""The results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
import statistics

from . import goals
from .changes import MORE
from .images import IMAGES
from .measures import COMMANDS, PYTHON

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .measures import Series

FIRST = ("ocirun", "beside")  # columns; then come the peers as they were measured


def of_group(results: list[Series], group: str) -> list[Series]:
    """The series of one table."""
    return [series for series in results if series.group == group]


def names(results: list[Series]) -> list[str]:
    """Who took part, in the order of the table."""
    there = dict.fromkeys(name for series in results for name in series.values)
    return [*(name for name in FIRST if name in there), *(name for name in there if name not in FIRST)]


def label(series: Series) -> str:
    """The name of a series, with its rest."""
    return f"{series.name}, after {series.rest * 1000:.0f} ms" if series.rest else series.name


def number(value: float | None) -> str:
    """A number with three digits that count."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _lines(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of cells under each other, the first `left` columns to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def commands(results: list[Series]) -> str:
    """Medians of the commands, and how many times ocirun's the others are."""
    return _beside("median", of_group(results, COMMANDS))


def _beside(head: str, chosen: list[Series]) -> str:
    there = names(chosen)
    rows = [[head, "unit", *there, *(f"{name}/ocirun" for name in there[1:])]]
    for series in chosen:
        medians = [number(series.median(name)) for name in there]
        ratios = [number(series.ratio(name)) for name in there[1:]]
        rows.append([label(series), series.unit, *medians, *ratios])
    return _lines(rows, 2)


def python(results: list[Series]) -> str:
    """Medians of the ways from Python."""
    chosen = of_group(results, PYTHON)
    there = names(chosen)
    rows = [["median, from Python", "unit", *there]]
    rows += [[label(series), series.unit, *(number(series.median(name)) for name in there)] for series in chosen]
    return _lines(rows, 2)


def images(results: list[Series]) -> str:
    """Medians of what is made of an image, and how many times ocirun's the others are."""
    return _beside("median, from an image", of_group(results, IMAGES))


def more(results: list[Series]) -> str:
    """Medians of what is done with a running container, of watched runs and of engines."""
    return _beside("median", of_group(results, MORE))


def wanted(results: list[Series]) -> str:
    """The goals, and how far they are reached; those whose measure was not wanted are left out."""
    rows = [["goal", "of whom", "medians", "ratio", "at most", "reached"]]
    measured = {(series.name, series.group) for series in results}
    for goal in goals.ALL:
        if (goal.ours.series, goal.ours.group) not in measured:
            continue
        ours, theirs, ratio = goals.reached(results, goal)
        verdict = "-" if ratio is None else "yes" if ratio <= goal.most else "no"
        medians = f"{number(ours)} / {number(theirs)}"
        rows.append([*goals.told(goal), medians, number(ratio), number(goal.most), verdict])
    return _lines(rows, 2)


def about(host: dict[str, Any]) -> str:
    """What it was measured on, and the notes."""
    line = f"Linux {host['kernel']} {host['machine']}, {host['cpus']} CPUs; "
    versions = ", ".join(f"{name}: {version}" for name, version in host["versions"].items())
    return "\n".join([line + versions, *host["notes"]])


def text(host: dict[str, Any], results: list[Series]) -> str:
    """All of it."""
    of = ((commands, COMMANDS), (more, MORE), (python, PYTHON), (images, IMAGES))
    tables = [table(results) for table, group in of if of_group(results, group)]
    return "\n\n".join([*tables, wanted(results), about(host)]) + "\n"


def json_text(host: dict[str, Any], results: list[Series]) -> str:
    """All numbers, and what they come to."""
    return json.dumps({"host": host, "results": [_record(series) for series in results]}, indent=1) + "\n"


def _record(series: Series) -> dict[str, Any]:
    runtimes = {}
    for name, values in series.values.items():
        quarters = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
        runtimes[name] = {
            "median": series.median(name),
            "quartiles": [quarters[0], quarters[2]],
            "least": min(values),
            "times_ocirun": series.ratio(name),
            "values": values,
        }
    return {
        "name": series.name,
        "group": series.group,
        "rest_seconds": series.rest,
        "unit": series.unit,
        "runtimes": runtimes,
    }
