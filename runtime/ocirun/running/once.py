"""What creates the container of a single run."""

from __future__ import annotations

import os
from itertools import count

from ..launch import create as creation
from ..launch.options import CreateOptions
from ..roots import default_root
from . import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Unpack

    from ..launch.session import Session
    from .changes import Own
    from .course import Make


# Of this process: its number, where its ids begin, and how many there were.
_ids = (0, 0, count())


def new_id() -> str:
    """An id for a container that nobody else names; always as long."""
    global _ids
    pid, first, numbers = _ids
    if pid != os.getpid():
        _ids = pid, first, numbers = os.getpid(), int.from_bytes(os.urandom(8), "little"), count()
    return f"run-{(first + next(numbers)) % (1 << 64):016x}"


def making(
    bundle: str,
    config: Mapping[str, Any] | None,
    container_id: str,
    root: str,
    *,
    init: bool | None,
    **own: Unpack[Own],
) -> Make:
    """What creates the container of one run, for a `Course`; an error of the config is raised here."""
    base = changes.read(os.path.abspath(bundle or "."), config)
    checked, _ = changes.apply(base, **own)
    name, where = container_id or new_id(), root or default_root(os.environ)

    def make() -> Session:
        options = CreateOptions(activation=False, init=init, bound=True)
        return creation.planned(name, where, options, stay=True, config=checked)

    return make
