"""What the README shows of the first command, and its figures, are true."""

from __future__ import annotations

import re

import pytest

from .tour import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARK = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")
#: Row of "How fast" -> the table of docs/benchmark.md by its first column's head, the row there, and whose figure is ours.
FIGURES = {
    "`run`, back to back": ("median", "run", "ocirun"),
    "`run`, 200 ms between calls": ("median", "run, after 200 ms", "ocirun"),
    "from Python": ("median, from Python", "run", "ocirun.run"),
}


def table(head: str) -> dict[str, dict[str, str]]:
    """Row -> column -> text, of the table whose first column has this head."""
    found: dict[str, dict[str, str]] = {}
    for block in BENCHMARK.split("```\n")[1::2]:
        first, *rows = [re.split(r" {2,}| (?=\S+$)", line.strip()) for line in block.splitlines()]
        if first[0] == head:
            names = " ".join(first[1:]).split()
            found.update({row[0]: dict(zip(names, " ".join(row[1:]).split(), strict=True)) for row in rows})
    return found


def shown() -> dict[str, dict[str, str]]:
    """Row -> column -> text, of the README's table."""
    lines = README.partition("## How fast\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_there_are_three_rows() -> None:
    assert list(shown()) == list(FIGURES)


@pytest.mark.parametrize("row", FIGURES)
def test_figures_are_those_of_the_benchmark(row: str) -> None:
    head, series, ours = FIGURES[row]
    measured = table(head)[series]
    assert shown()[row] == {
        "ocirun": f"{measured[ours]} ms",
        "crun": f"{measured['crun']} ms",
        "runc": f"{measured['runc']} ms",
    }


@pytest.mark.parametrize("series", ["state", "start", "kill", "delete"])
def test_where_crun_is_quicker(series: str) -> None:
    measured = table("median")[series]
    assert float(measured["crun"]) < float(measured["ocirun"])


def test_the_first_screen() -> None:
    """One sentence, five reasons, two commands."""
    top, _, rest = README.partition("\n## Two commands\n")
    assert len(re.findall(r"^- \*\*", top, re.MULTILINE)) == 5
    assert re.findall(r"^ {4}\./dev (.*?) *#", rest.partition("\n## ")[0], re.MULTILINE) == ["hello", "test all"]


def test_links_are_complete() -> None:
    """Every page of the documentation can be reached from the README."""
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)[)#]", README))
    assert linked == {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
