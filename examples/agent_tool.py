"""A tool for an agent: one session with files that stay from call to call, commands with limits, and a list of changes.

    python3 examples/agent_tool.py ROOTFS

It reads a call as JSON from each line, and answers with a line of JSON:
{"tool": "write", "path": "/work/x", "text": "echo 42"}, {"tool": "run", "command": "sh /work/x"},
{"tool": "read", "path": "/work/x"}, {"tool": "changes"}.  At the end of input the session goes, with all its files.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import ocirun

TOLD = ("exit_code", "signal", "limit", "stdout", "stderr", "stdout_cut", "stderr_cut")


class Session:
    """A container whose root is thrown away, and the tools that work in it.  Its first process reaps all orphans."""

    def __init__(self, rootfs: str) -> None:
        config = ocirun.sandbox(rootfs, ["sh", "-c", "while :; do sleep inf & wait; done"], cwd="/work", disk=64 << 20)
        self.container = ocirun.Container.create(f"agent-{os.getpid()}-{id(self)}", config=config)
        self.container.start()

    def call(self, line: str) -> dict[str, Any]:
        """Answer a call; what is wrong with it, or went wrong, is an answer too."""
        try:
            match json.loads(line):
                case {"tool": "run", "command": str(command)}:
                    words = ["sh", "-c", command]
                    done = self.container.run(words, timeout=10.0, pids=32, output_limit=9999, text=True)
                    return {name: getattr(done, name) for name in TOLD}
                case {"tool": "write", "path": str(path), "text": str(text)}:
                    self.container.put(path, text.encode())
                    return {}
                case {"tool": "read", "path": str(path)}:
                    return {"text": self.container.get(path, limit=100_000).decode(errors="replace")}
                case {"tool": "changes"}:
                    self.container.pause()  # so that they are of one moment
                    try:
                        found = self.container.changes()
                    finally:
                        self.container.resume()
                    return {"added": found.added, "changed": found.changed, "removed": found.removed}
                case _:
                    return {"error": "no such tool, or not its parameters"}
        except (ocirun.OcirunError, ValueError) as error:
            return {"error": str(error)}


if __name__ == "__main__":
    with (session := Session(sys.argv[1])).container:
        for line in sys.stdin:
            print(json.dumps(session.call(line)), flush=True)
