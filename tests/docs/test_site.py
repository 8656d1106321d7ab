"""The site of the documentation is made without a network, its links lead somewhere, and it asks no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

import ocirun
from ocirun import errors
from ocirun.cli.table import COMMANDS

from .tour import ROOT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

# Runs a program that may not reach a socket.
ALONE = """
import runpy, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise OSError(f"{event} {arguments}")
sys.addaudithook(refuse)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# Attributes that a browser follows by itself, of tags other than links.
LOADED = {"src", "srcset", "poster", "data"}
HOST = re.compile(r"(?:[a-z][a-z+.-]*:)?//(?!www\.w3\.org/(?:\d{4}|XML))", re.IGNORECASE)  # not the name of a namespace
STYLE = r"(?:url\(|@import)\s*[\"']?([^\"')]+)"
#: Kind of file -> what in it may be an address that is asked for.  The index of the search is texts of pages.
REQUESTS = {
    ".css": STYLE,
    ".html": STYLE,
    ".svg": r"(?:href|src)=\"([^\"]*)\"",
    ".js": r"[\"'`]([^\"'`\s]*//[^\"'`\s]*)[\"'`]",
}


class Page(HTMLParser):
    """What a page names: anchors, links, and what a browser loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            elif name == "href" and value and tag == "a":
                self.links.append(value)
            elif name in LOADED or (name == "href" and tag in ("link", "base")):
                self.loaded.append(value or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx")
    made = tmp_path_factory.mktemp("docs") / "site"
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, ROOT / "docs" / "site" / "make.py", made],
        cwd=made.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{made}/index.html\n"
    # Nothing else is left.
    assert [path.name for path in made.parent.iterdir()] == ["site"]
    return made


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_links_lead_somewhere(site: Path, parsed: dict[Path, Page]) -> None:
    dead = []
    for path, page in parsed.items():
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            there = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            anchors = parsed[there].anchors if there in parsed else set()
            found = there.is_file() and there.is_relative_to(site)
            if not found or (parts.fragment and unquote(parts.fragment) not in anchors):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_no_other_host_is_asked(site: Path, parsed: dict[Path, Page]) -> None:
    asked = [(path, link) for path, page in parsed.items() for link in page.loaded if HOST.match(link)]
    for path in site.rglob("*"):
        if path.suffix in REQUESTS:
            text = path.read_text(encoding="utf-8")
            asked += [(path, found) for found in re.findall(REQUESTS[path.suffix], text) if HOST.match(found)]
    assert not asked


def test_every_document_has_a_page(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        name = path.relative_to(ROOT / "docs")
        page = name.with_name("index.html") if name.name == "README.md" else name.with_suffix(".html")
        assert (site / page).is_file(), name


def test_every_command_and_name_is_in_the_reference(parsed: dict[Path, Page], site: Path) -> None:
    for command in COMMANDS:
        assert (site / "reference" / "commands" / f"{command}.html").is_file()
    anchors = {anchor for page in parsed.values() for anchor in page.anchors}
    values = {"SPEC_VERSION", "__version__"}
    names = {name for names in ocirun._NAMES.values() for name in names} - values
    assert not {name for name in names if f"ocirun.{name}" not in anchors}
    for method in ("create", "load", "start", "run", "exec", "delete", "status", "state", "usage"):
        assert f"ocirun.Container.{method}" in anchors
    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    text = (site / "reference" / "api" / "errors.html").read_text(encoding="utf-8")
    assert not {code for code in codes if f'errors/{code}.html"' not in text}


def test_options_are_those_of_the_table(site: Path) -> None:
    from ocirun.cli.commands import load

    for command in COMMANDS:
        text = (site / "reference" / "commands" / f"{command}.html").read_text(encoding="utf-8")
        for option in load(command)[0].options:
            for name in option.names:
                form = ("-" if len(name) == 1 else "--") + name
                shown = re.search(
                    rf"<dt>.*{re.escape(form)}(?![-\w]).*</dt>", re.sub(r"</?(?:code|span)[^>]*>", "", text)
                )
                assert option.hidden != bool(shown), f"{command} {form}"


def test_search_works_from_files(site: Path) -> None:
    """The index is a script and no document that is fetched, which browsers refuse for files."""
    assert (site / "searchindex.js").read_text(encoding="utf-8").startswith("Search.setIndex(")
    assert 'src="searchindex.js"' in (site / "search.html").read_text(encoding="utf-8")
