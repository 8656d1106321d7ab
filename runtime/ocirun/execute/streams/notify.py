"""sd_notify(3) for a container: its own socket, from which only readiness goes on to the caller's.

systemd sees the runtime, not the container, as the service.  What the
container sends may ask for anything (MAINPID, FDSTORE, WATCHDOG), so nothing
but READY=1 is taken from it; MAINPID is the runtime's own word.
"""

from __future__ import annotations

import os

from ...state import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...state.record import Record

_READY = b"READY=1"
_MESSAGE_MAX = 4096


def listen(directory: int) -> Any:
    """Make ``notify/notify.sock`` in the container's state directory; anyone in the container may write to it.

    One that a `create` has left is replaced: its listener ended with that process.
    """
    import _socket as socket

    try:
        os.mkdir("notify", 0o755, dir_fd=directory)
    except FileExistsError:
        os.unlink("notify/notify.sock", dir_fd=directory)
    fd = os.open("notify", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
        # Through a descriptor, as the path of the state root may be too long for sockaddr_un.
        listener.bind(f"/proc/self/fd/{fd}/notify.sock")
        os.chmod(f"/proc/self/fd/{fd}/notify.sock", 0o777)  # noqa: S103  any user of the container may be ready
        os.chmod(f"/proc/self/fd/{fd}", 0o755)  # noqa: S103  the state directory above it is 0711
    finally:
        os.close(fd)
    return listener


def wait_ready(listener: Any, pidfd: int, target: str, main_pid: int) -> bool:
    """Wait until the container says READY=1, or ends; then tell the caller's NOTIFY_SOCKET.

    Returns whether it was ready.
    """
    import select

    waiter = select.poll()
    waiter.register(listener.fileno(), select.POLLIN)
    waiter.register(pidfd, select.POLLIN)
    while True:
        ready = dict(waiter.poll())
        if listener.fileno() in ready and take(listener):
            send(target, main_pid)
            return True
        if pidfd in ready:
            return False


def in_start(directory: int) -> Any:
    """Return the socket again, for `start`; None for a container that was created without NOTIFY_SOCKET."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    try:
        return listen(directory)
    except FileNotFoundError:
        return None


def take(listener: Any) -> bool:
    """Read one message; whether it says READY=1."""
    message: bytes = listener.recv(_MESSAGE_MAX)
    return _READY in message.split(b"\n")


def send(target: str, main_pid: int) -> None:
    """Tell the service manager: ready, and which process to look at.  A manager that is gone is no error."""
    import _socket as socket

    address = "\0" + target[1:] if target.startswith("@") else target
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0)
    try:
        sender.connect(address)
        sender.send(f"MAINPID={main_pid}\nREADY=1\n".encode())
    except OSError:
        pass
    finally:
        sender.close()


def wait_started(listener: Any, record: Record) -> None:
    """Do `wait_ready` for the first process of a container; the listener is closed."""
    pidfd = records.open_init(record)
    if pidfd >= 0:
        wait_ready(listener, pidfd, os.environ["NOTIFY_SOCKET"], record.pid)
        os.close(pidfd)
    listener.close()
