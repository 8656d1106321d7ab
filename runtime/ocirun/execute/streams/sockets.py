"""Descriptors sent to the caller's sockets: the console's master, a pidfd, a seccomp listener."""

from __future__ import annotations

import os
from struct import pack

from ...errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

# sockaddr_un.sun_path with its NUL (unix(7))
_PATH_MAX = 108
# A listener with a full backlog makes connect wait; nobody is kept longer than this, in seconds.
_TIME_LIMIT = 10.0


def send_descriptor(path: str, fd: int, payload: bytes) -> None:
    """Connect to the socket `path` and send one message with `payload` and the descriptor.

    No answer is waited for: engines accept only after the runtime has ended.
    Raises HostError.
    """
    import _socket as socket

    try:
        connection = connected(path, _TIME_LIMIT)
        try:
            sent = connection.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pack("i", fd))])
            if sent < len(payload):
                connection.sendall(payload[sent:])
        finally:
            connection.close()
    except BlockingIOError:
        raise HostError(f"socket {path}: the listener does not accept", call="connect") from None
    except OSError as error:
        raise HostError.from_os(f"socket {path}", error, call="connect") from None


def connected(path: str, limit: float) -> _socket.socket:
    """Return a connection to the Unix socket of streams `path`, however long the path is.

    limit   seconds that connecting may take, and each sending
    Raises OSError as it comes, BlockingIOError when time is up, HostError for what is no path of a socket.
    """
    import _socket as socket

    raw = os.fsencode(path)
    if not raw or raw[0] == 0:
        raise HostError("socket path is empty or abstract", remedy="give the path of a socket in the file system")
    parent = -1
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0)
    try:
        # Not settimeout: that makes the socket non-blocking, and connect(2) of one does not wait at all.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pack("@ll", int(limit), int(limit % 1 * 1e6)))
        if len(raw) >= _PATH_MAX:
            # A longer path is reached through a descriptor of its directory.
            directory, name = os.path.split(raw)
            parent = os.open(directory or b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            raw = b"/proc/self/fd/%d/%s" % (parent, name)
            if len(raw) >= _PATH_MAX:
                raise HostError(
                    f"socket {path}: its name has {len(name)} bytes, which no address of a socket has room for",
                    remedy="choose a name of at most 80 bytes; its directory may be as long as you like",
                )
        connection.connect(raw)
    except BaseException:
        connection.close()
        raise
    finally:
        if parent >= 0:
            os.close(parent)
    return connection
