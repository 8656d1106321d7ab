"""Which container an error is about, where it was looked for, and where else it may be: for a reader at a terminal.

Logs and pipes have runc's words alone, as programs match these.
"""

from __future__ import annotations

import os
from errno import ENOENT

from ocirun._base.near import did_you_mean
from ocirun._base.roots import default_root
from ocirun.errors import ContainerNotFoundError, HostError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.errors import ContainerExistsError

_SHOWN = 5
# What can be done with a container in a status that forbids what was asked for.
_NEXT = {
    "created": "`ocirun start {id}` starts its program",
    "running": "`ocirun exec {id} COMMAND` runs one more program in it, `ocirun kill {id}` asks its own to end",
    "paused": "`ocirun resume {id}` lets it go on",
    "stopped": "`ocirun delete {id}` removes it, and `ocirun run {id}` then starts anew",
}


def rows(error: ContainerNotFoundError | ContainerExistsError | StateError) -> list[tuple[str, str]]:
    """Return what there is to say besides the message, as pairs of a title and a text."""
    if not error.container:
        return []
    found = [("container", error.container)]
    place = error.root
    if isinstance(error, StateError):
        if error.status:
            found.append(("status", error.status))
        remedy = _NEXT.get(error.status, "").replace("{id}", error.container)
    elif isinstance(error, ContainerNotFoundError):
        ids, told = _ids(error.root)
        place += told
        meant = did_you_mean(error.container, ids)
        remedy = "; ".join(part for part in (meant, _elsewhere(error.root)) if part)
    else:
        remedy = f"choose another id; or `ocirun delete {error.container}` removes it, with --force if it runs"
    found.append(("state root", place))
    return found if error.remedy or not remedy else [*found, ("remedy", remedy)]


def _ids(root: str) -> tuple[list[str], str]:
    """Return the ids in a state root, and what there is to say of it."""
    from ocirun.containers import list_ids

    try:
        ids = list_ids(root, must_exist=True)
    except HostError as error:
        return [], ", which does not exist" if error.errno == ENOENT else f", which cannot be read: {error.message}"
    if not ids:
        return [], ", which holds no container"
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return ids, f", which holds {', '.join(ids[:_SHOWN])}{more}"


def _elsewhere(root: str) -> str:
    usual = default_root(os.environ)
    if root != usual:
        return f"without --root it is looked for in {usual}"
    of_root = default_root({})
    if usual != of_root:
        return f"this is where your own containers are; those of root are in {of_root}: `sudo ocirun list`"
    return (
        "those of ordinary users are in XDG_RUNTIME_DIR/ocirun of each, those of engines in other places: give --root"
    )
