"""The page of the documentation that tells the results."""

from __future__ import annotations

from . import report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .measures import Series

TEXT = """\
# How fast ocirun is

Made by `tests/bench/run --docs`; it needs root, and runc and crun beside ocirun. The three take turns, so that whatever
else the machine does falls on each of them. Each number is a median; the last columns say how many times as long
the others take. "after 200 ms" is with a rest before each call, as in life: some calls of the kernel are fast only
while they are repeated, and caches get cold. The image is busybox, the config what `runc spec` writes, less its cgroup
mount. "from Python" is `ocirun.run` in the process, and `subprocess.run` for the others.

![the table as bars](benchmark.svg)

```
{table}
```

{start}
"""

START = """\
How ocirun starts makes the difference for short commands; [design.md](design.md#start-up) tells the ways. On the
same machine, a command that does nothing (`--version`) takes {ways}.
"""


def text(host: dict[str, Any], results: list[Series], ways: dict[str, float]) -> str:
    """The page.

    ways   how ocirun starts -> milliseconds for a command that does nothing
    """
    told = ", ".join(f"{report.number(value)} ms {way}" for way, value in ways.items())
    start = START.format(ways=told) if ways else ""
    return TEXT.format(table=report.table(host, results).strip(), start=start).rstrip() + "\n"
