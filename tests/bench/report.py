"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import statistics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .measures import Series

NAMES = ("ocirun", "beside", "crun", "runc")


def names(host: dict[str, Any]) -> list[str]:
    """The runtimes that took part, in the order of the table."""
    return [name for name in NAMES if name in host["versions"]]


def label(series: Series) -> str:
    """The name of a series, with its rest."""
    return f"{series.name}, after {series.rest * 1000:.0f} ms" if series.rest else series.name


def number(value: float | None) -> str:
    """A number with three digits that count."""
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(host: dict[str, Any], results: list[Series]) -> str:
    """Medians, and how many times ocirun's the others are."""
    there = names(host)
    rows = [["median", "unit", *there, *(f"{name}/ocirun" for name in there[1:])]]
    for series in results:
        medians = [number(series.median(name)) for name in there]
        ratios = [number(series.ratio(name)) for name in there[1:]]
        rows.append([label(series), series.unit, *medians, *ratios])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    about = f"Linux {host['kernel']} {host['machine']}, {host['cpus']} CPUs; " + ", ".join(host["versions"].values())
    return "\n".join([*lines, "", about, ""])


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
    return {"name": series.name, "rest_seconds": series.rest, "unit": series.unit, "runtimes": runtimes}
