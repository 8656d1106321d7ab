"""The hooks that come after `create`: poststart in `start`, poststop in `delete`, from the saved config."""

from __future__ import annotations

import os

from ..._base import procfile
from ...errors import HookError, HostError
from ...host import facts as host
from ...plan import crun_annotations
from ...state import record as records
from ...state.saved import config
from . import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...state.record import Record


def saved(record: Record, directory: int, kind: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Return (kind, index, hook) of the config as it was at create; none of a kind that the record does not have.

    Raises StateDamagedError, HostError.
    """
    if kind not in record.hooks:
        return []
    entries = (config(directory, record.bundle).get("hooks") or {}).get(kind) or ()
    return [(kind, index, hook) for index, hook in enumerate(entries)]


def run_all(record: Record, entries: list[tuple[str, int, dict[str, Any]]], status: str) -> None:
    """Run hooks.  Raises HookError at the first that fails."""
    logs = crun_annotations.hook_logs({"annotations": record.annotations})
    for entry in entries:
        _run(record, entry, status, logs)


def _run(record: Record, entry: tuple[str, int, dict[str, Any]], status: str, logs: tuple[str, str]) -> None:
    kind, index, hook = entry
    args = {
        "kind": kind,
        "index": index,
        "path": hook["path"],
        "args": list(hook.get("args") or [hook["path"]]),
        "env": hook.get("env"),
        "timeout": hook.get("timeout") or 0,
        "status": status,
        "logs": logs,
    }
    pid = record.pid if status == records.RUNNING else 0
    state = hooks.state_json(record.container_id, status, pid, record.bundle, record.annotations)
    hooks.run_hook(
        args,
        pointer=f"/hooks/{kind}/{index}",
        index=-1,
        state=state,
        cwd=record.bundle if procfile.exists(record.bundle) else "/",
        environ=list(host.environment()),
    )


def warnings(record: Record, entries: list[tuple[str, int, dict[str, Any]]]) -> list[str]:
    """Run poststop hooks: a failing one is a warning, and the others run all the same.

    So is a file for their output that cannot be opened: what they clear away is more than what they say.
    """
    found = []
    logs = crun_annotations.hook_logs({"annotations": record.annotations})
    try:
        for fd in hooks.open_logs(logs).values():
            os.close(fd)
    except HostError as error:
        found.append(f"what poststop hooks write is not kept: {error.message}")
        logs = ("", "")
    for entry in entries:
        try:
            _run(record, entry, records.STOPPED, logs)
        except (HookError, HostError) as error:
            found.append(error.message)
    return found
