"""What the engines have in common."""

from __future__ import annotations

import os

from waiting import eventually

from .machine import LIMIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .machine import Machine, Result
    from .runtime import Runtime


class Engine:
    """An engine on a machine.

    machine  where it runs
    runtime  the runtime under test, its default
    path     the program of the runtime inside
    """

    command = ""  # the program that users call
    daemon = ""  # the name of its daemon's program, whose log is in the store

    def __init__(self, machine: Machine, runtime: Runtime) -> None:
        self.machine = machine
        self.runtime = runtime
        self.path = f"/usr/local/bin/{runtime.name}"

    def __call__(
        self,
        *words: str,
        check: bool = True,
        stdin: bytes = b"",
        limit: float = LIMIT,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Result:
        """Run the engine's command; unless `check` is False it has to succeed."""
        result = self.machine.run(self.command, *words, stdin=stdin, limit=limit, env=env, cwd=cwd)
        return result.ok() if check else result

    def until(self, condition: Callable[[], object], what: str, limit: float = 60) -> None:
        """Wait until a condition holds; fails with `what` and the end of the daemon's log."""
        eventually(condition, lambda: f"{what}\n{self.log()}", limit, pause=0.05)

    def log(self) -> str:
        """The last lines that the daemon wrote."""
        path = f"{self.machine.store}/{self.daemon}.log"
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-15:])


class WithRun(Engine):
    """An engine whose command has `run` and `inspect` as Docker has them."""

    image = ""

    def run(self, *words: str, stdin: bytes = b"", limit: float = LIMIT) -> Result:
        """`run --rm OPTIONS IMAGE PROGRAM`: words before a "--" are options; the result is not checked."""
        return self._run(["--rm"], words, stdin, limit)

    def keep(self, *words: str, stdin: bytes = b"", limit: float = LIMIT) -> Result:
        """The same without --rm: the container stays, and with -d it runs on."""
        return self._run([], words, stdin, limit)

    def _run(self, first: list[str], words: tuple[str, ...], stdin: bytes, limit: float) -> Result:
        options, program = divided(words)
        return self("run", *first, *options, self.image, *program, check=False, stdin=stdin, limit=limit)

    def inspect(self, name: str, what: str) -> str:
        """One value of `inspect`, named as in a template."""
        return self("inspect", "-f", "{{" + what + "}}", name).out.strip()


def divided(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options and program: what is before the first "--" and after it, or no options and all."""
    if "--" not in words:
        return [], list(words)
    cut = words.index("--")
    return list(words[:cut]), list(words[cut + 1 :])
