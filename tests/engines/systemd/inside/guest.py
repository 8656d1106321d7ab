"""The guest as the machine of the engines: nothing stands between them and its systemd."""

from __future__ import annotations

import os
import urllib.request

from ...leaks import Quiet
from ...machine import PATH, Machine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from ...machine import Result

TOP = "/sys/fs/cgroup"
USER, UID = "tester", 1000
USER_GROUP = f"/user.slice/user-{UID}.slice/user@{UID}.service"
#: Words of what is not a container's, and comes and goes.
NOISE = (
    "session-",  # of runuser, closed a moment later
    "/user/1000",
    "systemd-",
    "(sd-",
    "run-",
    "user-runtime-dir@",
    "modprobe",
)


class Guest(Machine):
    """The machine that this is."""

    def __init__(self) -> None:
        self.store = ""  # what other machines keep there has its real place
        self.root = ""
        self.pid = 1
        self.environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
        self._started = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._started:
            one.terminate()
            one.wait()

    def words(self, argv: Sequence[str]) -> list[str]:
        return ["sh", "-c", 'cd "$OCIRUN_CWD" && unset OCIRUN_CWD && exec "$@"', "sh", *argv]

    def systemctl(self, *argv: str, check: bool = True) -> Result:
        """Run systemctl; unless `check` is False it has to succeed."""
        result = self.run("systemctl", *argv)
        return result.ok() if check else result

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit."""
        lines = self.systemctl("show", unit, *(f"--property={name}" for name in names)).out.splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def as_user(self, *argv: str, stdin: bytes = b"") -> Result:
        """Run a command as the ordinary user, as in a login."""
        environment = [f"HOME=/home/{USER}", f"XDG_RUNTIME_DIR=/run/user/{UID}", f"USER={USER}"]
        environment.append(f"DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/{UID}/bus")
        become = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--init-groups", "--inh-caps=-all"]
        return self.run(*become, "env", *environment, *argv, stdin=stdin, cwd=f"/home/{USER}")

    def units(self) -> set[str]:
        """Units of systemd's own instance and the user's, whatever their state."""
        listing = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--type=scope,service,slice"]
        found = {line.split()[0] for line in self.run(*listing).ok().out.splitlines()}
        listing.insert(1, "--user")
        return found | {f"user's {line.split()[0]}" for line in self.as_user(*listing).ok().out.splitlines()}

    def processes(self) -> dict[int, str]:
        return {pid: args for pid, args in super().processes().items() if not args.startswith("[")}

    def fetch(self, url: str) -> str:
        """As of other machines, without a process for it: what is asked for again and again would take a processor."""
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def groups(self) -> set[str]:
        return {where.removeprefix(TOP) for where, _, _ in os.walk(TOP)} - {""}


class GuestQuiet(Quiet):
    """The same, with the units of systemd.

    slices  those that systemd makes for a container and keeps, as others may be in them
    """

    def __init__(self, machine: Guest, states: Sequence[str], stays: Sequence[str], *, slices: Sequence[str]) -> None:
        self._guest, self._slices = machine, slices
        super().__init__(machine, states, stays)

    def check(self, limit: float = 30) -> None:
        if self._slices:
            self._guest.systemctl("stop", *self._slices, check=False)
        super().check(limit)

    def _look(self) -> set[str]:
        found = super()._look() | {f"unit {name}" for name in self._guest.units()}
        return {one for one in found if not any(word in one for word in NOISE)}


def group(pid: int | str) -> str:
    """The cgroup of a process, as the machine sees it."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        return file.read().strip().removeprefix("0::")


def values(path: str, *names: str) -> list[str]:
    """What is in files of a cgroup."""
    found = []
    for name in names:
        with open(f"{TOP}{path}/{name}", encoding="utf-8") as file:
            found.append(file.read().strip())
    return found
