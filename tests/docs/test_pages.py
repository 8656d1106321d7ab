"""Every error code has its page, links between documents lead somewhere, and sections are where links say."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from ocirun import errors

from .tour import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

ERRORS = ROOT / "docs" / "errors"
PAGES = sorted(
    [
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("*.md"),
        ROOT / "bundles" / "README.md",
        *(ROOT / "examples").rglob("*.md"),
        ROOT / "tests" / "vm" / "README.md",
    ]
)
CLASSES = [thing for thing in vars(errors).values() if isinstance(thing, type) and hasattr(thing, "code")]
#: Page with blocks of a terminal or of Python -> the test that runs them, where that is not tests/docs/test_PAGE.py.
RUN = {
    "README.md": "docs/test_tour.py",
    "examples/two-hosts/README.md": "engines/test_two_hosts.py",
    "docs/tutorials": "docs/test_tutorials.py",
    "docs/tutorials/engines.md": "engines/podman/test_tutorial.py",
}
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as forges make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


@pytest.mark.parametrize("code", sorted({kind.code for kind in CLASSES}))
def test_each_code_has_a_page(code: str) -> None:
    text = (ERRORS / f"{code}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {code}\n")
    assert "## Messages\n" in text
    assert "## Remedy\n" in text


def test_the_list_of_codes_is_complete() -> None:
    text = (ERRORS / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[`([a-z-]+)`\]", text, re.MULTILINE)) == {kind.code for kind in CLASSES}
    assert {path.stem for path in ERRORS.glob("*.md")} == {kind.code for kind in CLASSES} | {"README"}
    for kind in CLASSES:
        assert f"[`{kind.code}`]({kind.code}.md) | `{kind.__name__}`" in text


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(path) -> None:  # type: ignore[no-untyped-def]
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path) -> None:  # type: ignore[no-untyped-def]
    places = (ROOT, ROOT / "runtime" / "ocirun")
    for name in re.findall(r"`((?:[\w.]+/)+[\w.]+\.(?:py|c|h|md|json))`", path.read_text(encoding="utf-8")):
        assert any((place / name).exists() for place in places), name


def test_blocks_are_run() -> None:
    """A block of a terminal or of Python is true, as a test runs it."""
    for path in PAGES:
        if re.search(r"^```(?:console|python)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            name = str(path.relative_to(ROOT))
            usual = f"docs/test_{path.stem.replace('-', '_')}.py"
            test = RUN.get(name) or RUN.get(name.rpartition("/")[0]) or usual
            assert (ROOT / "tests" / test).is_file(), f"{name}: no test runs its blocks"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_in_blocks_can_be_read(path: Path) -> None:
    for kind, text in re.findall(
        r"^```(json|toml)\n(.*?)^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        (json if kind == "json" else tomllib).loads(text)
