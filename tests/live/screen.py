"""A terminal with a person at it: typed into tmux, read off its screen."""

from __future__ import annotations

import os
import subprocess

from waiting import eventually

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Screen:
    """One tmux server with one window, a shell in it.

    socket    where the server listens
    prefix    command that starts another one somewhere else, in namespaces for instance
    """

    def __init__(self, socket: str, prefix: Sequence[str] = ()) -> None:
        self.base = [*prefix, "tmux", "-S", socket, "-f", "/dev/null"]
        self("new-session", "-d", "-x", "90", "-y", "20", "env PS1='host> ' /bin/sh")

    def __call__(self, *words: str) -> str:
        return subprocess.run([*self.base, *words], check=True, capture_output=True, text=True, timeout=60).stdout

    def type(self, text: str) -> None:
        self("send-keys", "-l", text)
        self("send-keys", "Enter")

    def key(self, name: str) -> None:
        self("send-keys", name)

    def expect(self, text: str, limit: float = 20) -> str:
        def look() -> str:
            shown = self("capture-pane", "-p")
            return shown if text in shown else ""

        return eventually(look, lambda: f"{text!r} is on the screen:\n{self('capture-pane', '-p')}", limit, pause=0.05)


def settings(screen: Screen, path: str) -> str:
    """What stty says of the caller's terminal."""
    name = os.path.basename(path)
    screen.type(f"clear; stty -g > {path}; echo $((40+2))-{name}")
    screen.expect(f"42-{name}")
    with open(path, encoding="ascii") as file:
        return file.read()
