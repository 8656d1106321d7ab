"""A copy of a directory of a container on its way to the caller."""

from __future__ import annotations

import os

from .._base import parameters
from ..errors import HostError, UsageError
from ..files import archive
from ..files.changes import Upper
from ..files.layers import Layers
from ..files.taking import Taking
from .written import filled, inside_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def taken(target: Any, take: Callable[[], tuple[int, dict[str, Any]]]) -> list[tuple[str, str]]:
    """Give a copy to what it is for; what was left out.

    target   as of `Container.get_tree`
    take     returns a descriptor of the copy, and the container's config
    Raises UsageError, HostError, and what `take` raises.
    """
    if hasattr(target, "write"):
        return _written(target, take)
    path = os.fspath(target) if hasattr(target, "__fspath__") else target
    if not isinstance(path, str) or not path:
        raise parameters.wrong("target", "the path of a directory, or a file that is open for writing", target)

    def fill(directory: int) -> list[tuple[str, str]]:
        fd, _ = take()
        try:
            # Nothing of the marks of an overlay is in it: it is a tree of its own.
            copy = Upper(fd, Layers([], ""), inside=_IDS, below=_IDS, stored=_IDS, opaque="trusted.overlay.opaque")
            taking = Taking(copy, directory, replaces=False)
            taking.run()
            return taking.left_out
        finally:
            os.close(fd)

    return filled("target", parameters.text("target", path), fill)


def _written(target: Any, take: Callable[[], tuple[int, dict[str, Any]]]) -> list[tuple[str, str]]:
    fd, data = take()
    linux = data.get("linux") or {}
    inside = inside_of(linux.get("uidMappings") or ()), inside_of(linux.get("gidMappings") or ())
    try:
        return archive.write(fd, target, inside=inside)
    except TypeError as error:
        raise UsageError(f"target: takes no bytes: {error}", remedy="open it as binary") from None
    except OSError as error:
        raise HostError.from_os("target", error, call="write") from None
    finally:
        os.close(fd)


def _same(number: int) -> int:
    return number


_IDS = (_same, _same)
