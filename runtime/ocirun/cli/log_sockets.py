"""Logs that are no files: ``journald:ID`` and ``syslog:ID`` as destinations of ``--log``.

Both are Unix sockets of datagrams, a record each: of the journal in its native form (fields, see
systemd.journal-fields(7)), of syslog as syslog(3) writes it.  Nobody is waited for: a socket that is full fails with
EAGAIN, as a file of a full disk does with ENOSPC.
"""

from __future__ import annotations

import time

JOURNAL = "/run/systemd/journal/socket"
SYSLOG = "/dev/log"

_PRIORITIES = {"error": 3, "warning": 4, "debug": 7}  # LOG_ERR, LOG_WARNING, LOG_DEBUG of syslog(3)
_LOG_USER = 1 << 3
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def socket_of(destination: str) -> str:
    """Return the path of the socket."""
    return JOURNAL if destination.startswith("journald:") else SYSLOG


def check(destination: str) -> None:
    """Connect to the socket and let it go.  Raises OSError."""
    _send(destination, b"")


def append(destination: str, level: str, text: str, errno: int) -> None:
    """Send one record.  Raises OSError.

    text    the message, or a whole record as JSON
    errno   of the error, 0 for none
    """
    kind, _, identifier = destination.partition(":")
    identifier = identifier or "ocirun"
    priority = _PRIORITIES[level]
    if kind == "journald":
        fields = {"MESSAGE": text, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": identifier}
        if errno:
            fields["ERRNO"] = str(errno)
        data = b"".join(map(_field, fields, fields.values()))
    else:
        now = time.localtime()
        stamp = f"{_MONTHS[now.tm_mon - 1]} {now.tm_mday:2} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
        data = _bytes(f"<{_LOG_USER | priority}>{stamp} {identifier}: {text}")
    _send(destination, data)


def _field(name: str, value: str) -> bytes:
    """Return one field as the journal's protocol has it: a value of several lines comes with its size before it."""
    data = _bytes(value)
    if b"\n" not in data:
        return name.encode() + b"=" + data + b"\n"
    return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _send(destination: str, data: bytes) -> None:
    import _socket

    kind = _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK
    channel = _socket.socket(_socket.AF_UNIX, kind)
    try:
        channel.connect(socket_of(destination))
        if data:
            channel.send(data)
    finally:
        channel.close()
