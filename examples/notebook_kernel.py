"""The kernel of a notebook: one interpreter that stays alive, cells with their output, interrupt and restart.

    python3 examples/notebook_kernel.py ROOTFS SCRIPT...

Cells are scripts of the shell, and share variables.  Its prompt tells that a cell has ended, and how.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time

import ocirun


class Kernel:
    def __init__(self, rootfs: str) -> None:
        # The first process waits for all that loses its parent, so that nothing stays behind as a zombie.
        config = ocirun.sandbox(rootfs, ["sh", "-c", "while :; do sleep inf & wait; done"], env={"PS1": "\x01$?\x01"})
        self.container = ocirun.Container.create(f"kernel-{os.getpid()}-{id(self)}", config=config)
        self.container.start()
        self.start()

    def start(self) -> None:
        self.shell = self.container.popen(["sh", "-i"], stdin=ocirun.PIPE, stdout=ocirun.PIPE, stderr=ocirun.STDOUT)
        self.stdin, self.stdout = (file.fileno() for file in (self.shell.stdin, self.shell.stdout) if file)
        self.answer(10.0)

    def answer(self, seconds: float) -> tuple[str, int | None]:
        output, piece, end = b"", b"none yet", time.monotonic() + seconds
        while piece and select.select([self.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            piece = os.read(self.stdout, 65536)
            output = output[:100_000] + output[100_000:][-8:] + piece  # the rest is dropped, but not half a prompt
            if prompt := re.search(rb"\x01(\d+)\x01$", output):
                return output[: prompt.start()].decode(errors="replace"), int(prompt[1])
        return output.decode(errors="replace"), None

    def run(self, cell: str, seconds: float = 10.0) -> tuple[str, int | None]:
        """Run a cell: output and status; None: time is over (interrupt), or the interpreter has ended (restart)."""
        self.container.put("/tmp/cell", cell.encode())
        os.write(self.stdin, b". /tmp/cell </dev/null\n")
        return self.answer(seconds)

    def interrupt(self) -> tuple[str, int | None]:
        self.container.run(["kill", "-INT", "-1"], timeout=10.0)  # all in there, but the first process
        return self.answer(5.0)  # a shell that does not answer is to be restarted

    def restart(self) -> None:
        self.shell.__exit__(None, None, None)  # kills what the cells have started, too
        self.start()


if __name__ == "__main__":
    with (kernel := Kernel(sys.argv[1])).container, kernel.shell:
        for code in sys.argv[2:]:
            print(*kernel.run(code))
