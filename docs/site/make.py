"""Make the site of the documentation from the Markdown files, the option tables and the docstrings.

    .venv/bin/python docs/site/make.py [DIRECTORY]     `./dev docs`; DIRECTORY is build/site unless it is given

Needs no network, and makes pages that ask no other host for anything.  Each warning is an error.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import pages  # noqa: E402

SITE = pages.ROOT / "build" / "site"
# Of a web server or a forge: names with an underscore are files as others are.
PLAIN = ".nojekyll"


def build(site: Path) -> int:
    """Make the site anew; returns the exit status of Sphinx."""
    from sphinx.cmd.build import main as sphinx

    # Beside it, as what is in it is published.
    source, memory = site.with_name(f"{site.name}-source"), site.with_name(f"{site.name}-doctrees")
    for old in (site, source, memory):
        shutil.rmtree(old, ignore_errors=True)
    pages.write(source)
    status: int = sphinx(["-W", "--keep-going", "-q", "-c", str(HERE), "-d", str(memory), str(source), str(site)])
    if status == 0:
        (site / PLAIN).touch()
        (site / ".buildinfo").unlink(missing_ok=True)
        shutil.rmtree(source)
        shutil.rmtree(memory)
    return status


if __name__ == "__main__":
    site = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else SITE
    status = build(site)
    if status == 0:
        print(f"{site}/index.html")
    sys.exit(status)
