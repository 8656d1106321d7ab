"""What a container has used, kept beside its state: read before its cgroup goes, as that takes the numbers along."""

from __future__ import annotations

from .. import jsonio, procfile
from . import store

FILE = "usage.json"


def save(directory: int, used: dict[str, int]) -> None:
    """Keep what a cgroup driver's `usage` said; an empty answer never replaces a better one.  OSError as it comes."""
    if used:
        store.write_file(directory, FILE, jsonio.dumps(used).encode())


def load(directory: int) -> dict[str, int]:
    """What was kept, {} if nothing was."""
    try:
        values = jsonio.loads(store.read_file(directory, FILE))
    except OSError as error:
        return procfile.unanswered(error, FILE, {})
    except jsonio.JsonError:
        return {}
    if not isinstance(values, dict) or not all(type(value) is int for value in values.values()):
        return {}
    return values
