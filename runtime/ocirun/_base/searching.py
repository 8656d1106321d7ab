"""Which directory on a path is closed to somebody.  For error texts only."""

from __future__ import annotations

import os


def closed(path: str) -> str:
    """Return what is the matter with the first directory above a path that is closed to the caller, or to others.

    A root of a user namespace is one of the others for what it does not own.  "" if there is none.
    """
    steps = [part for part in os.path.abspath(path).split("/")[:-1] if part]
    places = ["/", *("/" + "/".join(steps[: number + 1]) for number in range(len(steps)))]
    for_caller = for_others = ""
    for place in places:
        try:
            status = os.stat(place)
        except OSError:
            break
        told = f"{place} is closed: it belongs to uid {status.st_uid}, with mode {status.st_mode & 0o7777:04o}"
        if not _is_open(place):
            for_caller = told
            break
        for_others = for_others or (told if not status.st_mode & 0o001 else "")
    return for_caller or for_others


def _is_open(place: str) -> bool:
    """Return whether the caller may go through a directory."""
    try:
        os.stat(f"{place}/.")
    except PermissionError:
        return False
    return True
