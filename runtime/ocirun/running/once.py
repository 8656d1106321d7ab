"""What creates the container of a single run."""

from __future__ import annotations

import os

from ..launch import create as creation
from ..launch.options import CreateOptions
from ..roots import default_root
from . import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Unpack

    from .changes import Own
    from .course import Make


def new_id() -> str:
    """An id for a container that nobody else names."""
    return f"run-{os.urandom(8).hex()}"


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

    def make(stdio: tuple[int, int, int]) -> Any:
        options = CreateOptions(stdio=stdio, activation=False, init=init, bound=True)
        return creation.create(name, where, options, stay=True, config=checked)

    return make
