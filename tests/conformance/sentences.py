"""The requirements of the specification, read from the tables in `spec/`."""

from __future__ import annotations

import os

VERSION = "1.3.0"  # of the specification that the tables follow
FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spec")
HEADER = "| id | level | what it says | why there is no test |"
# The lower-case words are as the specification has them; it defines the capital ones only.
LEVELS = ("MUST", "MUST NOT", "REQUIRED", "SHOULD", "SHOULD NOT", "NOT RECOMMENDED", "must", "should")


class Sentence:
    """One requirement.

    id        stable name
    level     the word of RFC 2119
    file      file of the specification, such as config.md
    heading   the heading that it stands under
    text      what it says, in our words
    untested  why no runtime can be tried on it; empty for all others
    """

    __slots__ = ("file", "heading", "id", "level", "text", "untested")

    def __init__(self, id: str, level: str, file: str, heading: str, text: str, untested: str) -> None:
        self.id = id
        self.level = level
        self.file = file
        self.heading = heading
        self.text = text
        self.untested = untested


def read() -> dict[str, Sentence]:
    """All requirements by id, in the order of the specification; ValueError for a table that is not well formed."""
    found: dict[str, Sentence] = {}
    for file in ("spec.md", "bundle.md", "runtime.md", "runtime-linux.md", "config.md", "config-linux.md", "features.md",
                 "features-linux.md", "glossary.md"):  # fmt: skip
        heading = ""
        with open(f"{FOLDER}/{file}", encoding="utf-8") as text:
            for number, line in enumerate(text.read().splitlines(), 1):
                if line.startswith("## "):
                    heading = line[3:]
                if not line.startswith("|") or line in (HEADER, "|---|---|---|---|"):
                    continue
                cells = [cell.strip() for cell in line.split("|")]
                if len(cells) != 6 or cells[2] not in LEVELS or not heading or not cells[3] or cells[1] in found:
                    raise ValueError(f"{file}:{number}: {line}")
                found[cells[1]] = Sentence(cells[1], cells[2], file, heading, cells[3], cells[4])
    return found
