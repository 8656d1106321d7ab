"""The driver for a cgroup made by systemd: a transient unit, and below that the driver of v1 or v2.

systemd makes the cgroup when the unit is started with the container's first
process in it, and keeps the unit until it is stopped or empty.  Everything that
is a file of the cgroup is left to the inner driver; what systemd would write
anew at its next reload is told to systemd as well.
Source: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os
from _signal import SIGKILL

from ..._base import procfile
from ...errors import HostError, StateDamagedError, UnsupportedError, option
from ..driver import SYSTEMD, V2
from ..paths import UNIFIED
from ..settings.systemd import properties
from ..systemd import unit as units
from ..systemd.bus import Bus, BusError, addresses
from ..systemd.unit import Manager
from .delegating import Delegating

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ..driver import Driver
    from ..settings.systemd import Property
    from ..settings.translation import Setting
    from ..systemd.unit import Unit

_BOOTED = "/run/systemd/system"  # sd_booted(3)
_PREFIX = "org.freedesktop.systemd1."
_NO_UNIT = (f"{_PREFIX}NoSuchUnit", f"{_PREFIX}UnitNotLoaded")
_ATTACH_SINCE = 238
_REMEDIES = {
    "org.freedesktop.DBus.Error.AccessDenied": "an ordinary user has its own instance of systemd",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": "an ordinary user has its own instance of systemd",
    "org.freedesktop.DBus.Error.PropertyReadOnly": "leave the annotation out: this systemd has no such property",
    f"{_PREFIX}NoSuchProcess": "does systemd see the same processes as ocirun?",
}


def connect(*, user: bool) -> Bus:
    """Return a connection to an instance of systemd.  Raises UnsupportedError where there is none, HostError."""
    return Bus(addresses(user=user, environ=os.environ, uid=_uid_outside()))


def find_manager(*, user: bool) -> Manager:
    """Return the facts about an instance of systemd.  Raises UnsupportedError where none runs, HostError."""
    if not procfile.exists(_BOOTED):
        raise UnsupportedError(
            "systemd does not run on this host, so it cannot make the cgroup",
            pointer=units.POINTER,
            remedy=f"leave out {option('systemd-cgroup')}",
        )
    with connect(user=user) as bus:
        root = "/org/freedesktop/systemd1"
        version, group = bus.get(root, "Manager", "Version"), bus.get(root, "Manager", "ControlGroup")
    if not isinstance(version, str) or not isinstance(group, str):
        raise HostError("systemd says nothing of its version and its cgroup")
    return Manager(user=user, version=version_number(version), control_group=group)


def version_number(text: str) -> int:
    """Return 252 of ``252.39-1~deb12u1``, ``v252`` or ``systemd 252``; 0 for anything else."""
    digits = ""
    for letter in text:
        if letter.isascii() and letter.isdigit():
            digits += letter
        elif digits:
            break
    return int(digits[:6] or 0)


def _uid_outside() -> int:
    """Return our uid in the parent of our user namespace: /run/user has that one."""
    uid = os.geteuid()
    for line in procfile.text("/proc/self/uid_map", 1 << 16).splitlines():
        first, outside, count = (int(word) for word in line.split())
        if first <= uid < first + count:
            return outside + uid - first
    return uid


class SystemdDriver(Delegating):
    """A container's unit and its cgroup; the verbs are described in `Driver`.

    unit         the unit
    version      of systemd
    properties   of the unit, those of annotations among them
    """

    __slots__ = ("_invocation", "_moved", "_properties", "unit", "version")

    def __init__(self, inner: Driver, unit: Unit, *, version: int, properties: Sequence[Property] = ()) -> None:
        super().__init__(inner)
        self.unit: Unit = unit
        self.version = version
        self._properties = list(properties)
        # Which run of the unit is ours: the name may be somebody else's by now.
        self._invocation = ""
        self._moved = False
        self.joins = inner.joins and not unit.user
        self.clones = inner.clones and not unit.user

    def record(self) -> dict[str, Any]:
        """Return the driver as plain values."""
        return {
            "driver": SYSTEMD,
            "unit": self.unit.record(),
            "version": self.version,
            "invocation": self._invocation,
            "inner": self.inner.record(),
        }

    def unit_properties(self, settings: Sequence[Setting]) -> list[Property]:
        """Return the properties of the unit with these settings, as `start` takes them; pure."""
        own = {name for name, _, _ in self._properties}
        return [*self._properties, *(one for one in self.properties_of(settings) if one[0] not in own)]

    def properties_of(self, settings: Sequence[Setting]) -> list[Property]:
        """Return the properties that stand for settings; pure."""
        return properties(settings, version=self.version)

    # Verbs of the unit.

    def start(self, pid: int, properties: Sequence[Property]) -> None:
        """Start the unit with a process in it, and take its cgroup over.  Raises HostError, UnsupportedError."""
        wanted = [(name, (signature, value)) for name, signature, value in properties]
        if not self.unit.is_slice:
            wanted.append(("PIDs", ("au", [pid])))
        with connect(user=self.unit.user) as bus:
            try:
                bus.subscribe()
                job = self._start(bus, wanted)
                result = bus.job(job)
                if result == "done":
                    self._invocation = self._current(bus)
            except BusError as error:
                raise self._refused("start", error) from None
        if result != "done":
            raise HostError(
                f"systemd could not start {self.unit.name}: its job ended with the result {result!a}",
                pointer=units.POINTER,
                call="StartTransientUnit",
                remedy=f"see `{self._command('status')}`",
            )
        self._verify(pid)
        self.inner.adopts = True
        self.prepare()

    def _start(self, bus: Bus, wanted: list[Any]) -> str:
        """Return the job that starts the unit; a failed one of that name, which nobody uses, is cleared away first."""
        for attempt in range(2):
            try:
                answer = bus.manager("StartTransientUnit", "ssa(sv)a(sa(sv))", self.unit.name, "fail", wanted, [])
            except BusError as error:
                if error.name != f"{_PREFIX}UnitExists":
                    raise
                state = self._state(bus)
                if state == "failed" and attempt == 0:
                    bus.manager("ResetFailedUnit", "s", self.unit.name)
                    continue
                raise HostError(
                    f"{units.POINTER}: the unit {self.unit.name} exists already, and is {state or 'loaded'}",
                    pointer=units.POINTER,
                    call="StartTransientUnit",
                    remedy=f"choose another name, or if nobody needs it: `{self._command('stop')}`",
                ) from None
            return self._text(answer)
        raise HostError(f"the unit {self.unit.name} stays failed", pointer=units.POINTER)

    def _verify(self, pid: int) -> None:
        """Check that the process is where the plan has said, since limits are written there."""
        if self.unit.is_slice:
            return
        own = _own_groups(pid)
        there = own.get("name=systemd", own.get("", ""))
        if there != self.unit.group:
            raise HostError(
                f"systemd has put the process into the cgroup {there!a}, and {self.unit.group!a} was expected",
                pointer=units.POINTER,
                remedy="does ocirun run in the cgroup namespace of systemd?",
            )

    def set(self, properties: Sequence[Property]) -> None:
        """Change properties of the unit until it ends.  Raises HostError."""
        if not properties:
            return
        wanted = [(name, (signature, value)) for name, signature, value in properties]
        with connect(user=self.unit.user) as bus:
            try:
                if self._current(bus) != self._invocation:
                    raise HostError(f"the unit {self.unit.name} is not the container's any more")
                bus.manager("SetUnitProperties", "sba(sv)", self.unit.name, True, wanted)
            except BusError as error:
                raise self._refused("change", error) from None

    def apply(self, settings: Sequence[Setting]) -> None:
        """Tell systemd, then write the files: not every setting has a property, and rounding differs."""
        period = 0
        files = {setting.file for setting in settings}
        if "cpu.cfs_quota_us" in files and "cpu.cfs_period_us" not in files:
            period = int(self.inner.read("cpu", "cpu.cfs_period_us"))
        self.set(properties(settings, version=self.version, period=period))
        self.inner.apply(settings)

    def follow(self, pid: int) -> str:
        why = super().follow(pid)
        if why and self.unit.user:
            raise HostError(
                f"the container's unit {self.unit.name} is gone, and only systemd may move a process to where its "
                "first process is now",
                pointer=units.POINTER,
            )
        self._moved = bool(why)
        return why

    def attach_point(self, pid: int, below: Mapping[str, str]) -> str | None:
        """Return the group to which systemd has to move a process: a user's instance may move it out of a session.

        And where v2 is there besides v1, systemd counts processes by a hierarchy that is none of our groups.
        """
        if self._moved:
            return None
        if self.kind == V2:
            return (below.get(UNIFIED) or self.inner.home(pid)[0]) if self.unit.user else None
        if not self.unit.user and (self.version < _ATTACH_SINCE or _own_groups(pid).get("") != self.unit.group):
            return None
        return below.get("name=systemd", "")

    def attach(self, pid: int, below: str = "") -> None:
        """Have systemd move a process into the unit, or into a group below its own (systemd 238)."""
        if self.version < _ATTACH_SINCE:
            raise UnsupportedError(f"systemd {self.version} cannot add a process to a unit; {_ATTACH_SINCE} can")
        with connect(user=self.unit.user) as bus:
            try:
                if self._current(bus) != self._invocation:
                    raise HostError(f"the unit {self.unit.name} is not the container's any more")
                bus.manager("AttachProcessesToUnit", "ssau", self.unit.name, f"/{below}", [pid])
            except BusError as error:
                raise self._refused("add a process to", error) from None

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        """Stop the unit and remove what is left of its cgroup.

        Without an answer from systemd the processes and the cgroup go all the same, and systemd drops an empty
        unit by itself.
        """
        if self.prepared and not self._stop(kill=kill):
            return
        self.inner.remove(kill=kill, limit=limit)

    def discard(self) -> None:
        """Stop the unit, if it was started; never raises OcirunError."""
        if self._invocation:
            try:
                self._stop(kill=True)
            except HostError:
                pass
            self._invocation = ""
        super().discard()

    def _stop(self, *, kill: bool) -> bool:
        """Stop our run of the unit; False where the unit, and with it the cgroup, is somebody else's by now."""
        try:
            with connect(user=self.unit.user) as bus:
                current = self._current(bus)
                if current and current != self._invocation:
                    return False
                if kill:
                    # At once: systemd would give the processes TimeoutStopSec to end by SIGTERM.
                    self.inner.kill(SIGKILL)
                if current:
                    bus.subscribe()
                    bus.job(self._text(bus.manager("StopUnit", "ss", self.unit.name, "replace")))
                    bus.manager("ResetFailedUnit", "s", self.unit.name)
        except UnsupportedError:
            return True
        except BusError as error:
            if error.name not in _NO_UNIT:
                raise self._refused("stop", error) from None
        return True

    # Questions to systemd.

    def _current(self, bus: Bus) -> str:
        """Return the id of the present run of the unit, "" where there is none."""
        try:
            path = self._text(bus.manager("GetUnit", "s", self.unit.name))
            value = bus.get(path, "Unit", "InvocationID")
        except BusError as error:
            if error.name in _NO_UNIT:
                return ""
            raise
        try:
            return bytes(value).hex()
        except (TypeError, ValueError):
            return ""

    def _state(self, bus: Bus) -> str:
        try:
            return str(bus.get(self._text(bus.manager("GetUnit", "s", self.unit.name)), "Unit", "ActiveState"))
        except BusError:
            return ""

    @staticmethod
    def _text(answer: tuple[Any, ...]) -> str:
        if len(answer) != 1 or not isinstance(answer[0], str):
            raise HostError("systemd has answered with something that is not a path", call="recvmsg")
        return answer[0]

    def _command(self, verb: str) -> str:
        return f"systemctl {'--user ' if self.unit.user else ''}{verb} {self.unit.name}"

    def _refused(self, what: str, error: BusError) -> HostError:
        pointer = units.POINTER
        for name, _, _ in self._properties:
            # "Cannot set property Foo, or unknown property."
            if f" {name}" in error.text.replace(",", " ").replace(".", " ") + " ":
                pointer = f"/annotations/org.systemd.property.{name}"
        return HostError(
            f"{pointer}: systemd refuses to {what} {self.unit.name}: {error.text or error.name}",
            pointer=pointer,
            call=error.name,
            remedy=_REMEDIES.get(error.name, ""),
        )


def _own_groups(pid: int) -> dict[str, str]:
    """Return controller -> the cgroup of a process, "" for v2."""
    from ...host.cgroups import parse_own

    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            return parse_own(file.read())
    except OSError as error:
        raise HostError.from_os(f"cgroup of process {pid}", error, call="read") from None


def from_record(record: dict[str, Any], recorded: Callable[[Any], Driver]) -> SystemdDriver:
    """Return the driver of a saved record.

    recorded   gives the driver for the files of the unit's cgroup
    Raises StateDamagedError.
    """
    version, invocation, held = record.get("version"), record.get("invocation"), record.get("inner")
    if type(version) is not int:
        raise StateDamagedError("the saved state names no cgroup of a unit")
    if not isinstance(invocation, str) or not isinstance(held, dict):
        raise StateDamagedError("the saved state names no run of a unit")
    if held.get("driver") == SYSTEMD:
        raise StateDamagedError("the saved state names a unit in a unit")
    inner = recorded(held)
    driver = SystemdDriver(inner, units.unit_from_record(record.get("unit")), version=version)
    driver._invocation = invocation
    return driver
