"""The parts of a plan for readers: each begins with the first operation of its kind, as their order is fixed."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .ops import Op, Plan

# Section -> the operations that begin it, wherever it has not begun; all others belong to the one that has.
_BEGIN: dict[str, frozenset[str]] = {
    "state": frozenset(("reserve_state", "open_init")),
    "cgroups": frozenset(
        (
            *("look_at_cgroup", "make_cgroup", "enable_controllers", "write_cgroup", "open_cgroup"),
            *("start_unit", "make_rdt_group", "start_in_cgroup"),
        )
    ),
    "namespaces": frozenset(("open_namespace", "spawn")),
    "files": frozenset(("propagate", "open_root")),
    "root": frozenset(("pivot", "move_root", "change_root")),
    "identity": frozenset(("set_umask",)),
    "limits": frozenset(("set_rlimit",)),
    "program": frozenset(("ready", "execute")),
}
NAMES = tuple(_BEGIN)
# What a summary leaves out: steps on the way to another one.
_MINOR = frozenset(
    (
        *("attach", "close", "sync", "receive_fd", "send_fd", "open_path", "guard", "save_link", "look_at_cgroup"),
        *("clone_mount", "open_root", "open_procfs", "open_cgroup", "log_hooks", "reset_affinity", "place_process"),
    )
)
_SHOWN = 2  # phrases of one operation


def begins(op: Op, current: str) -> str:
    """Return the section that an operation begins, "" for none.

    current   the section before it, "" at the start of the plan
    """
    if op.name == "open_root" and op.args.get("enter"):
        return ""  # the helper only goes there, on its way into a user namespace
    place = NAMES.index(current) + 1 if current else 0
    return next((name for name in NAMES[place:] if op.name in _BEGIN[name]), "" if current else NAMES[0])


def split(plan: Plan) -> Iterator[tuple[str, int, int]]:
    """Yield (section, number of its first operation, number behind its last)."""
    current, first = "", 0
    for index, op in enumerate(plan.ops):
        if name := begins(op, current):
            if index > first:
                yield current, first, index
            current, first = name, index
    if plan.ops:
        yield current, first, len(plan.ops)


def summary(ops: list[Op], phrase: Callable[[Op], str]) -> list[str]:
    """Return what a section does, in a few of the phrases of its operations."""
    kinds: dict[str, dict[str, None]] = {}
    for op in ops:
        if op.name not in _MINOR:
            kinds.setdefault(op.name, {})[phrase(op)] = None
    told = []
    for phrases in kinds.values():
        words = [*phrases][:_SHOWN]
        left = len(phrases) - len(words)
        told += [*words[:-1], f"{words[-1]} and {left} more"] if left else words
    return told
