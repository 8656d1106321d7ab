"""The version of ocirun, of the runtime specification it follows, and of its source."""

from __future__ import annotations

import os

VERSION = "0.1.0"

SPEC_VERSION = "1.3.0"
"""The release of the OCI runtime specification that configs and states are held to."""


def commit() -> str:
    """Return the commit that the package was built from, or ``unknown``.

    The build of a wheel leaves it in a file ``COMMIT`` beside this module; a
    checkout has none.
    """
    try:
        with open(os.path.join(os.path.dirname(__file__), "COMMIT"), encoding="ascii") as file:
            return file.readline(80).strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


def text() -> str:
    """Return the lines of ``ocirun --version``.

    Docker takes the name and the number from the last line that holds the
    word "version", and the rest of the line that starts with "commit:";
    so no line but the first may hold that word.
    """
    import sys

    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"ocirun version {VERSION}\ncommit: {commit()}\nspec: {SPEC_VERSION}\npython: {python}\n"
