"""What the engines have in common."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .machine import Machine
    from .runtime import Runtime


class Engine:
    """An engine on a machine.

    machine  where it runs
    runtime  the runtime under test, its default
    path     the program of the runtime inside
    """

    daemon = ""  # the name of its daemon's program, whose log is in the store

    def __init__(self, machine: Machine, runtime: Runtime) -> None:
        self.machine = machine
        self.runtime = runtime
        self.path = f"/usr/local/bin/{runtime.name}"

    def until(self, condition: Callable[[], object], what: str, limit: float = 60) -> None:
        """Wait until a condition holds; fails with `what` and the end of the daemon's log."""
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f"not within {limit} s: {what}\n{self.log()}"
            time.sleep(0.05)

    def log(self) -> str:
        """The last lines that the daemon wrote."""
        path = f"{self.machine.store}/{self.daemon}.log"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-15:])


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options and program: what is before the first "--" and after it, or no options and all."""
    if "--" not in words:
        return [], list(words)
    cut = words.index("--")
    return list(words[:cut]), list(words[cut + 1 :])
