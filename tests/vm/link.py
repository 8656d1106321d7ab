"""The outer end of the agent's port, and of QEMU's own control socket (QMP)."""

from __future__ import annotations

import json
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


class MachineEnded(Exception):
    """The machine is gone; the text is what its console said last."""


class Agent:
    """Requests to the agent; `agent` tells the protocol."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        timeout: float = 600.0,
        out: Callable[[bytes], object] = bytes,
        err: Callable[[bytes], object] = bytes,
    ) -> int:
        """Run a command in the guest, hand on its output as it comes, return its exit status.

        timeout   seconds; after that the command is killed and the status is 124
        Raises MachineEnded.
        """
        request = {"argv": list(argv), "cwd": cwd, "env": dict(env or {}), "timeout": timeout, "time": time.time()}
        body = json.dumps(request).encode()
        # A resumed machine needs a moment, and a stuck one must not hold up everything.
        self._link.settimeout(timeout + 60)
        try:
            self._link.sendall(struct.pack(">I", len(body)) + body)
            while True:
                letter, size = struct.unpack(">cI", self._read(5))
                data = self._read(size)
                if letter == b"x":
                    return int(data)
                (out if letter == b"o" else err)(data)
        except OSError as error:
            raise MachineEnded(f"the agent does not answer: {error}") from error

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._link.recv(size - len(data))
            if not part:
                raise MachineEnded("the machine has ended")
            data += part
        return data


class Control:
    """QEMU's machine protocol: one JSON document a line."""

    def __init__(self, link: socket.socket) -> None:
        link.settimeout(60)
        self._lines = link.makefile("rw", encoding="utf-8")
        self._next()
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: Any) -> Any:
        """What the command returns.  Raises MachineEnded, RuntimeError with QEMU's words."""
        self._lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._lines.flush()
        while True:
            answer = self._next()
            if "error" in answer:
                raise RuntimeError(f"QEMU: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def _next(self) -> Any:
        try:
            line = self._lines.readline()
        except OSError as error:
            raise MachineEnded(f"QEMU does not answer: {error}") from error
        if not line:
            raise MachineEnded("QEMU has ended")
        return json.loads(line)

    def close(self) -> None:
        """Close the socket's file."""
        self._lines.close()
