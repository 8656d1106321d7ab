"""A helper that joins a running container, does something in it, and ends: for its mounts and its files."""

from __future__ import annotations

from ..errors import HostError
from ..execute import spawn
from ..execute.session import Session
from ..execute.stall import Stall
from ..host import facts as host
from . import exec as execution
from . import planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.builder import Facts
    from ..plan.ops import Plan
    from ..state.record import Record


def facts(record: Record, data: dict[str, Any]) -> Facts:
    """Return what a plan for a running container must know.

    data   its config
    """
    found = planning.facts(host.cgroup_layout(), data, preserve_fds=0, activation=False)
    execution.look_at_groups(found, data, record.pid)
    return found


def target(record: Record) -> dict[str, Any]:
    """Return the arguments of a plan that tell whom to join."""
    return {"pid": record.pid, "foreign": execution.foreign_namespaces(record.pid)}


def carry_out(
    plan: Plan, record: Record, cgroup: Driver, directory: int, *, does: str, made: Mapping[str, bytes] | None = None
) -> int:
    """Carry a plan out; the descriptor of what was taken, which is the caller's, -1 for none.

    does   what the helper has done by its end, for messages
    made   bytes for arguments of operations, by name
    Raises StepError, HostError.
    """
    session = Session(plan, record, cgroup, directory)
    session.made = dict(made or {})
    session.progress_name = ""
    session.idle = Stall(plan, cgroup, None, ignore_paused=True)
    try:
        session.create()
        ended = spawn.exit_code(session.helper.pidfd)
        if ended:
            raise HostError(f"the helper that had {does} ended with {ended}")
        taken, session.taken = session.taken, -1
        return taken
    finally:
        session.close()
