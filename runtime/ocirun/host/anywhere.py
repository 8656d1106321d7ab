"""A host on which everything is allowed, to ask what a config or this version cannot do anywhere."""

from __future__ import annotations

from .cgroups import Layout, Mount
from .unified import Reach


class Anywhere(Layout):
    """Cgroup v2 in which every group can be made."""

    __slots__ = ()

    def __init__(self) -> None:
        """Take nothing: there is only one."""
        super().__init__({}, {"": "/"}, Mount("/sys/fs/cgroup"))

    def reach(self, below: str) -> Reach:
        """Return all that is asked for, and nothing is to be switched on."""
        del below
        return Reach([], [])

    def may_join(self, below: str) -> bool:
        """Return always."""
        del below
        return True
