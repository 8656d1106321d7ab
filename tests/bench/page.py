"""The page of the documentation that tells the results."""

from __future__ import annotations

import textwrap

from . import changes, images, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .measures import Series

TEXT = """\
# How fast ocirun is

Made by `tests/bench/run --docs`; it needs root, and the peers beside ocirun. All take turns, so that whatever
else the machine does falls on each of them. Each number is a median; the last columns say how many times as long
the others take. "after 200 ms" is with a rest before each call, as in life: some calls of the kernel are fast only
while they are repeated, and caches get cold. The image is busybox, the config what `runc spec` writes, less its cgroup
mount.

![the commands as bars](benchmark.svg)

```
{commands}
```

{more}## From Python

`ocirun.run`, `Prepared.run` and `Pool.run` in the process; a pool gets the time to fill up again before the next turn,
but not where many runs follow each other. The OCI runtimes and bubblewrap are started by
`subprocess.run`, their output read, as programs do; bubblewrap gets the same namespaces, but makes no cgroups, keeps no
time limit and gives no verdict. sandlock is `Sandbox(chroot=...).run`, made once: Landlock and seccomp, no namespaces
and no cgroups. "subprocess" is `subprocess.run` of the same program without any container, and without its output.

```
{python}
```

{images}## What is to be reached

Ours divided by theirs.

```
{wanted}
```

## Where

{about}

{start}
"""

MORE = """\
## Of a running container, of a run that is watched, and through an engine

`mounts` and `update` change a container that runs; crun alone has `mounts` too. `run --learn` lists the system calls of
the program, `run --trace` writes spans: beside `run` above they show what that costs. nerdctl runs a container of a
program that ends at once, with the network that it makes for it.

```
{more}
```

"""

IMAGES = """\
## From an image

`ocirun bundle` and `umoci unpack` of the same image layout, on a tmpfs; both verify all digests.

```
{images}
```

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
    items = "\n".join(
        textwrap.fill(line, 120, initial_indent="- ", subsequent_indent="  ", break_long_words=False)
        for line in report.about(host).splitlines()
    )
    return (
        TEXT.format(
            commands=report.commands(results),
            more=MORE.format(more=report.more(results)) if report.of_group(results, changes.MORE) else "",
            python=report.python(results),
            images=IMAGES.format(images=report.images(results)) if report.of_group(results, images.IMAGES) else "",
            wanted=report.wanted(results),
            about=items,
            start=start,
        ).rstrip()
        + "\n"
    )
