"""The tutorials (docs/tutorials) as commands, and what each must print."""

from __future__ import annotations

import re

from .tour import END, ROOT, Step, shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

START = "README"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "tutorials").glob("*.md"))}
# The directory that the reader is in, and the name of the machine.
READERS = "/home/ada"
READERS_HOST = "laptop"
NUMBERS = "<!-- numbers differ -->\n"


class TutorialStep(Step):
    """A step whose output is always the same, or the same but for numbers."""

    __slots__ = ("exact",)

    def __init__(self, command: str, *, exact: bool) -> None:
        super().__init__(command)
        self.exact = exact

    def form(self, lines: Iterable[str]) -> list[str]:
        """Lines as they are compared: columns have any width, and digests are of files with times."""
        if not self.exact:
            return [shape(line) for line in lines]
        return [re.sub(r" +", " ", re.sub(r"[0-9a-f]{64}", "...", line)).strip() for line in lines]


def steps(text: str) -> list[TutorialStep]:
    """The steps of all blocks of a terminal; a command goes on in lines that begin with ">"."""
    found: list[TutorialStep] = []
    for mark, block in re.findall(rf"({NUMBERS})?^```console\n(.*?)^{END}", text, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(TutorialStep(line[2:], exact=not mark))
            elif line.startswith("> ") and not found[-1].output and "<<" in found[-1].command:
                found[-1].command += f"\n{line[2:]}"
            else:
                found[-1].output.append(line)
    return found
