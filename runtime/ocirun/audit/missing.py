"""What a config leaves out that the spec's text asks for and its schema does not, and how it is read here.

Go programs leave out what is zero, so all runtimes know one reading of each.  It is taken, and `check` tells it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def notes(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (pointer, note) for each; `data` is config.json as parsed, whatever it holds."""
    process = data.get("process")
    if process is None:
        yield "/process", "is missing: `create` makes the container, and `start` has nothing to run"
    elif isinstance(process, dict):
        yield from _on_process(process)
    linux = data.get("linux")
    if isinstance(linux, dict) and linux.get("rootfsPropagation") == "":
        yield "/linux/rootfsPropagation", "is empty, which is taken for unset"


def _on_process(process: dict[str, Any]) -> Iterator[tuple[str, str]]:
    user = process.get("user")
    if user is None:
        yield "/process/user", "is missing: the program runs as uid 0 and gid 0"
    elif isinstance(user, dict):
        for key in ("uid", "gid"):
            if user.get(key) is None:
                yield f"/process/user/{key}", "is missing and taken for 0"
    io = process.get("ioPriority")
    if isinstance(io, dict) and io.get("class") == "IOPRIO_CLASS_IDLE" and io.get("priority") is None:
        yield "/process/ioPriority/priority", "is missing; IOPRIO_CLASS_IDLE has one level only"
