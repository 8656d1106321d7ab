"""The listener of a seccomp filter, handed to the program that answers its questions."""

from __future__ import annotations

import os

from ..._base import jsonio
from ..._base.version import SPEC_VERSION
from ...errors import HostError
from ..hooks import hooks
from ..streams import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context


def send(context: Context, path: str, metadata: str, status: str) -> None:
    """Send the descriptor that came with the helper's message, and the state that goes with it.

    The message is a ContainerProcessState (runtime-spec config-linux.md "The Container Process State").
    Raises HostError.
    """
    listener, context.side.native.message = context.side.native.message, -1
    if listener < 0:
        raise HostError("the init helper sent no listener")
    try:
        sockets.send_descriptor(path, listener, process_state(context, metadata, status).encode())
    finally:
        os.close(listener)


def process_state(context: Context, metadata: str, status: str) -> str:
    """Return the JSON of the message; ``pid`` is the process of the filter, that of ``state`` is init."""
    record = context.record
    init = record.pid or context.helper.pid
    state = hooks.state_json(record.container_id, status, init, record.bundle, record.annotations)
    message = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": context.helper.pid}
    if metadata:
        message["metadata"] = metadata
    return jsonio.dumps({**message, "state": jsonio.loads(state.encode())})
