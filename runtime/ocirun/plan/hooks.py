"""The six hooks: where each runs, with which state on its standard input."""

from __future__ import annotations

from .._base import jsonio
from .._base.version import SPEC_VERSION
from . import crun_annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .builder import Builder


_STREAMS = ("stdout", "stderr")
_OF_HELPER = ("createContainer", "startContainer")


def hooks(builder: Builder, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Return (pointer, hook) for each hook of a kind, in order."""
    entries = (builder.data.get("hooks") or {}).get(kind) or ()
    return [(f"/hooks/{kind}/{index}", hook) for index, hook in enumerate(entries)]


def open_logs(builder: Builder) -> None:
    """Plan that the files of the annotations are opened, before there is anything to take back."""
    if not any((builder.data.get("hooks") or {}).values()):
        return
    for stream, path in zip(_STREAMS, crun_annotations.hook_logs(builder.data), strict=True):
        if path:
            pointer = crun_annotations.hook_log_pointer(stream)
            builder.host("open_hook_log", pointer, path=path, slot=builder.inherit(f"hook_{stream}"))


def keep_logs(builder: Builder) -> None:
    """Plan that the helper writes what its hooks write to these files."""
    slots = _log_slots(builder)
    if any(slots) and any(hooks(builder, kind) for kind in _OF_HELPER):
        builder.init("log_hooks", stdout=slots[0], stderr=slots[1])


def let_logs_go(builder: Builder) -> None:
    """Plan that they are closed where there is nothing more to write: an init of ours stays."""
    for slot in filter(None, _log_slots(builder)):
        builder.init("close", slot=slot)


def _log_slots(builder: Builder) -> list[str | None]:
    """Return the slot of each stream's file, None where there is none."""
    return [name if (name := f"hook_{stream}") in builder.slots else None for stream in _STREAMS]


def host_hooks(builder: Builder, kind: str, status: str) -> None:
    """Plan hooks that the runtime starts in its own namespaces, with the bundle as working directory."""
    for index, (pointer, hook) in enumerate(hooks(builder, kind)):
        builder.host(
            "host_hook",
            pointer,
            kind=kind,
            index=index,
            path=hook["path"],
            args=list(hook.get("args") or [hook["path"]]),
            env=None if hook.get("env") is None else list(hook["env"]),
            timeout=hook.get("timeout") or 0,
            status=status,
            logs=crun_annotations.hook_logs(builder.data),
        )


def init_hooks(builder: Builder, kind: str, status: str, *, env: list[str] | None, cwd: str | None) -> None:
    """Plan hooks that the helper starts in the container's namespaces.

    env   for hooks without one: the caller's for createContainer, whose path means the host's files, and
          None, the program's with its HOME, for startContainer
    """
    head, tail = state_halves(builder, status)
    for pointer, hook in hooks(builder, kind):
        own = hook.get("env")
        builder.init(
            "run_hook",
            pointer,
            path=hook["path"],
            args=list(hook.get("args") or [hook["path"]]),
            env=env if own is None else list(own),
            state_head=head,
            state_tail=tail,
            cwd_timeout=(cwd, hook.get("timeout") or 0),
        )


def state_halves(builder: Builder, status: str) -> tuple[str, str]:
    """Return the state JSON (runtime-spec runtime.md "State") before and after the pid, which the helper fills in."""
    head = jsonio.dumps({"ociVersion": SPEC_VERSION, "id": builder.request.container_id, "status": status})
    tail = jsonio.dumps({"bundle": builder.request.bundle, "annotations": builder.data.get("annotations") or {}})
    return head[:-1] + ',"pid":', "," + tail[1:]
