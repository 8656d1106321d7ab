"""The pages of the site: which files they are made from, their order, and what becomes of their links.

Each Markdown file is read on a forge too, so its links are those of files.  Here they become links of pages; what has
no page, such as a file of the sources, is a link to the repository.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import api
import commands

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = "https://github.com/ocirun/ocirun/blob/main"

#: Title of a group -> its pages, without the ending.  Pages of docs/ that are not named here are the last GUIDES.
GUIDES = "Guides"
GROUPS: dict[str, list[str]] = {
    "": ["tour"],
    "Tutorials": [
        "tutorials/index",
        "tutorials/by-hand",
        "tutorials/life-cycle",
        "tutorials/limits",
        "tutorials/user-namespaces",
        "tutorials/hooks",
        "tutorials/images",
        "tutorials/engines",
        "tutorials/python",
    ],
    GUIDES: [
        "sandbox",
        "seccomp",
        "api",
        "callers",
        "cookbook",
        "bundles",
        "rootless",
        "cgroups",
        "checkpoint",
        "doctor",
        "engines/index",
        "samples",
    ],
    "Reference": ["reference/commands/index", "reference/api/index", "errors/index", "spec-differences", "conformance"],
    "Understand": ["design", "reading-a-plan", "attacks", "limits", "benchmark"],
    "Project": ["readme", "changelog", "contributing", "packaging", "security", "guest"],
}
#: Files outside of docs/ that have a page.
OUTSIDE = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "bundles/README.md": "samples.md",
    "tests/vm/README.md": "guest.md",
}
#: Files that a reader of the forge finds where the site has a page that is made.
MADE = {
    "man/ocirun.1": "reference/commands/index.md",
    "man": "reference/commands/index.md",
    "runtime/ocirun/__init__.py": "reference/api/index.md",
    "runtime/ocirun": "reference/api/index.md",
}

LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
FENCE = re.compile(r"^ *```")


class DeadLinkError(Exception):
    """A link that leads nowhere."""


def page_of(name: str) -> str | None:
    """Return the page of a file of the repository, None where it has none."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    if name in MADE:
        return MADE[name]
    if name.startswith("man/ocirun-"):
        return f"reference/commands/{name.removeprefix('man/ocirun-').removesuffix('.1')}.md"
    if example := re.fullmatch(r"(examples/.+)/README\.md", name):
        return f"{example[1]}.md"
    if not name.startswith("docs/"):
        return None
    if (ROOT / name).is_dir():
        name += "/README.md"
    below = name.removeprefix("docs/")
    return re.sub(r"(^|/)README\.md$", r"\1index.md", below)


def linked(target: str, source: str, page: str) -> str:
    """Return the link of a page in place of the one in its source.

    target   as in the Markdown file
    source   that file, below the root of the repository
    Raises DeadLinkError.
    """
    name, mark, anchor = target.partition("#")
    if "://" in target or not name:
        return target
    there = os.path.normpath(os.path.join(os.path.dirname(source), name))
    if not (ROOT / there).exists():
        raise DeadLinkError(f"{source}: {target}")
    found = page_of(there)
    if found is None:
        return f"{REPOSITORY}/{there}{mark}{anchor}"
    return os.path.relpath(found, os.path.dirname(page) or ".") + mark + anchor


def rewritten(text: str, source: str, page: str) -> str:
    """Return a page's text: that of its source with the links of the site; blocks stay as they are."""
    lines, fenced = [], False
    for line in text.splitlines():
        if FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else LINK.sub(lambda match: linked(match[1], source, page), line))
    return "\n".join(lines) + "\n"


def sources() -> dict[str, str]:
    """Return page -> the Markdown file that it is made from, below the root of the repository."""
    places = (ROOT / "docs", ROOT / "examples")
    found = [str(path.relative_to(ROOT)) for place in places for path in sorted(place.rglob("*.md"))]
    return {page: name for name in (*found, *OUTSIDE) if (page := page_of(name)) and (ROOT / name).exists()}


def made() -> dict[str, str]:
    """Return page -> text of those that are made from option tables and docstrings."""
    return {
        **{f"reference/commands/{name}": text for name, text in commands.pages().items()},
        **{f"reference/api/{name}": text for name, text in api.pages().items()},
    }


def contents(names: list[str], title: str = "", *, hidden: bool = True) -> str:
    """Return a table of contents, which the theme shows at the side."""
    options = (":hidden:\n" if hidden else "") + (f":caption: {title}\n" if title else "")
    return f"\n```{{toctree}}\n{options}\n" + "\n".join(names) + "\n```\n"


def groups(there: set[str]) -> dict[str, list[str]]:
    """Return the groups with the pages that are there.

    there   names of all pages, without the ending
    """
    found = {title: [name for name in names if name in there] for title, names in GROUPS.items()}
    placed = {"index", *(name for names in found.values() for name in names)}
    # A page below an index is in the contents of that.
    found[GUIDES] += sorted(
        name for name in there - placed if os.path.dirname(name) in ("", "tutorials") or below(name) not in there
    )
    return found


def place(name: str) -> tuple[int, str]:
    """Return what pages below an index are sorted by: those of the API have an order, others that of their names."""
    known = [f"reference/api/{page}" for page in (*api.PAGES, *api.MODULE_TITLES)]
    return known.index(name) if name in known else len(known), name


def below(name: str) -> str:
    """Return the index that a page is below of."""
    folder = os.path.dirname(name)
    return f"{folder}/index" if folder else "index"


def write(directory: Path) -> None:
    """Write all that Sphinx reads into a new directory.

    Raises DeadLinkError.
    """
    texts = {page: rewritten((ROOT / name).read_text("utf-8"), name, page) for page, name in sources().items()}
    texts.update(made())
    names = {page.removesuffix(".md") for page in texts}
    order = groups(names)
    placed = {name for group in order.values() for name in group}
    for name in sorted(names):
        if name.endswith("/index"):
            children = sorted((one for one in names - placed if below(one) == name and one != name), key=place)
            if children:
                texts[f"{name}.md"] += contents([os.path.basename(child) for child in children])
    texts["index.md"] += "".join(contents(group, title) for title, group in order.items())
    for page, text in texts.items():
        file = directory / page
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for picture in (ROOT / "docs").rglob("*.svg"):
        if picture.is_relative_to(ROOT / "docs" / "site"):
            continue
        file = directory / picture.relative_to(ROOT / "docs")
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, file)
