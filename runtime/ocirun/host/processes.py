"""Processes of this host, by /proc."""

from __future__ import annotations

from .._base import procfile


def descendants(pid: int) -> list[int]:
    """Return the process and all below it that are there, parents first.

    In a pid namespace that includes those whose parents have died, as its
    first process takes them over (pid_namespaces(7)).
    """
    found: list[int] = []
    queue = [pid]
    while queue:
        here = queue.pop()
        tasks = procfile.names(f"/proc/{here}/task")
        if tasks:  # not ended meanwhile
            found.append(here)
        for task in tasks:
            # Not there in a kernel without CONFIG_PROC_CHILDREN.
            queue.extend(int(word) for word in procfile.text(f"/proc/{here}/task/{task}/children", 1 << 20).split())
    return found
