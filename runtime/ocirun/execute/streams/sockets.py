"""Descriptors sent to the caller's sockets: the console's master, a pidfd, a seccomp listener."""

from __future__ import annotations

import os
from struct import pack

from ...errors import HostError

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

    raw = os.fsencode(path)
    if not raw or raw[0] == 0:
        raise HostError("socket path is empty or abstract", remedy="give the path of a socket in the file system")
    parent = -1
    connection = None
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, 0)
        # Not settimeout: that makes the socket non-blocking, and connect(2) of one does not wait at all.
        limit = pack("@ll", int(_TIME_LIMIT), int(_TIME_LIMIT % 1 * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
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
        sent = connection.sendmsg([payload], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pack("i", fd))])
        if sent < len(payload):
            connection.sendall(payload[sent:])
    except BlockingIOError:
        raise HostError(f"socket {path}: the listener does not accept", call="connect") from None
    except OSError as error:
        raise HostError.from_os(f"socket {path}", error, call="connect") from None
    finally:
        if connection is not None:
            connection.close()
        if parent >= 0:
            os.close(parent)
