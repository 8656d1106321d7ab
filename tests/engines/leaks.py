"""What must be gone when the containers are: processes, mounts, cgroups, state."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .machine import Machine


class Quiet:
    """How a machine looks now, to be compared with how it looks later.

    states  directories inside in which the runtime keeps one directory for each container
    stays   words of the command lines of processes, or of paths, that belong to the engine itself
    """

    def __init__(self, machine: Machine, states: Sequence[str], stays: Sequence[str]) -> None:
        self._machine = machine
        self._states = states
        self._stays = stays
        self._before = self._look()

    def check(self, limit: float = 30) -> None:
        """Fail unless it looks like that again; engines finish some things later, so wait for a while."""
        end = time.monotonic() + limit
        while more := self.more():
            if time.monotonic() > end:
                self._before = self._look()  # the next test is not to be blamed for it
                raise AssertionError("left behind:\n  " + "\n  ".join(more))
            time.sleep(0.1)

    def more(self) -> list[str]:
        """What there is now and was not then."""
        return sorted(one for one in self._look() - self._before if not any(word in one for word in self._stays))

    def _look(self) -> set[str]:
        machine = self._machine
        found = {f"process {pid} {args}" for pid, args in machine.processes().items()}
        found |= {f"mount {path}" for path in machine.mounts()}
        found |= {f"cgroup {path}" for path in machine.groups()}
        for state in self._states:
            where = f"/proc/{machine.pid}/root{state}"
            if os.path.isdir(where):
                # A name with "~" is none of a container.
                found |= {f"state {state}/{name}" for name in os.listdir(where) if "~" not in name}
        return found
