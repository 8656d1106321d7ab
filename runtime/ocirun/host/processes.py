"""Processes of this host, by /proc."""

from __future__ import annotations

import os


def descendants(pid: int) -> list[int]:
    """The process and all below it that are there, parents first.

    In a pid namespace that includes those whose parents have died, as its
    first process takes them over (pid_namespaces(7)).
    """
    found: list[int] = []
    queue = [pid]
    while queue:
        here = queue.pop()
        try:
            tasks = os.listdir(f"/proc/{here}/task")
        except OSError:
            continue
        found.append(here)
        for task in tasks:
            try:
                with open(f"/proc/{here}/task/{task}/children", "rb") as file:
                    queue.extend(int(word) for word in file.read().split())
            except OSError:  # ended meanwhile, or a kernel without CONFIG_PROC_CHILDREN
                continue
    return found
