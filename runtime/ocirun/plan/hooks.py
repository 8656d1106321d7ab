"""The six hooks: where each runs, with which state on its standard input."""

from __future__ import annotations

from .._base import jsonio
from .._base.version import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .builder import Builder


def hooks(b: Builder, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """(pointer, hook) for each hook of a kind, in order."""
    entries = (b.data.get("hooks") or {}).get(kind) or ()
    return [(f"/hooks/{kind}/{index}", hook) for index, hook in enumerate(entries)]


def host_hooks(b: Builder, kind: str, status: str) -> None:
    """Hooks that the runtime starts in its own namespaces, with the bundle as working directory."""
    for index, (pointer, hook) in enumerate(hooks(b, kind)):
        b.host(
            "host_hook",
            pointer,
            kind=kind,
            index=index,
            path=hook["path"],
            args=list(hook.get("args") or [hook["path"]]),
            env=None if hook.get("env") is None else list(hook["env"]),
            timeout=hook.get("timeout") or 0,
            status=status,
        )


def init_hooks(b: Builder, kind: str, status: str, *, env: list[str] | None, cwd: str | None) -> None:
    """Hooks that the helper starts in the container's namespaces.

    env   for hooks without one: the caller's for createContainer, whose path means the host's files, and
          None, the program's with its HOME, for startContainer
    """
    head, tail = state_halves(b, status)
    for pointer, hook in hooks(b, kind):
        own = hook.get("env")
        b.init(
            "run_hook",
            pointer,
            path=hook["path"],
            args=list(hook.get("args") or [hook["path"]]),
            env=env if own is None else list(own),
            state_head=head,
            state_tail=tail,
            cwd_timeout=(cwd, hook.get("timeout") or 0),
        )


def state_halves(b: Builder, status: str) -> tuple[str, str]:
    """The state JSON (runtime-spec runtime.md "State") before and after the pid, which the helper fills in."""
    head = jsonio.dumps({"ociVersion": SPEC_VERSION, "id": b.request.container_id, "status": status})
    tail = jsonio.dumps({"bundle": b.request.bundle, "annotations": b.data.get("annotations") or {}})
    return head[:-1] + ',"pid":', "," + tail[1:]
