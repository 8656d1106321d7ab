"""The results as bars in an SVG: for each measure, how many times ocirun's median the others take."""

from __future__ import annotations

from xml.sax.saxutils import escape

from .measures import COMMANDS
from .report import label, names, number, of_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .measures import Series

WIDTH = 860
LEFT = 230
RIGHT = 110
BAR = 13
GAP = 12
TOP = 56
COLOURS = {"ocirun": "#2563a8", "beside": "#7aa6d6", "crun": "#d98e04", "runc": "#8a8f98", "youki": "#7c9a4e"}
OTHERS = ("#b5651d", "#a05a78", "#5b8c85")  # in turn


def draw(host: dict[str, Any], results: list[Series]) -> str:
    """The chart of the commands.  A group's bars share a scale of their own, whose end is its largest median."""
    chosen = of_group(results, COMMANDS)
    y, there = TOP, names(chosen)
    others = [name for name in there if name not in COLOURS]
    colours = {**COLOURS, **{name: OTHERS[place % len(OTHERS)] for place, name in enumerate(others)}}
    parts = [_text(16, 24, "ocirun and its peers: medians, shorter is better", size=15, weight="bold")]
    x = 16
    for name in there:
        version = host["versions"].get(name, name)
        parts.append(f'<rect x="{x}" y="34" width="10" height="10" fill="{colours[name]}"/>')
        parts.append(_text(x + 15, 43, version))
        x += 40 + 7 * len(version)
    for series in chosen:
        medians = {name: series.median(name) for name in there}
        most = max((value for value in medians.values() if value is not None), default=0.0)
        parts.append(_text(LEFT - 10, y + BAR * len(there) / 2 + 4, label(series), anchor="end"))
        for name, value in medians.items():
            length = (WIDTH - LEFT - RIGHT) * value / most if value and most else 0
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colours[name]}"/>')
            ratio = "" if name == "ocirun" or series.ratio(name) is None else f" ({number(series.ratio(name))}x)"
            parts.append(_text(LEFT + length + 5, y + BAR - 3, f"{number(value)} {series.unit}{ratio}", size=10))
            y += BAR
        y += GAP
    about = f"Linux {host['kernel']} {host['machine']}, {host['cpus']} CPUs"
    parts.append(_text(16, y + 8, about, size=10))
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 20}" font-family="sans-serif">'
    return "\n".join([start, f'<rect width="{WIDTH}" height="{y + 20}" fill="#ffffff"/>', *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
