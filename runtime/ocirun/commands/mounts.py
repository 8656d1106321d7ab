"""Mounts of a running container: add some, take some off, tell which there are."""

from __future__ import annotations

import os

from .._base.jsonio import JsonError, dumps, loads
from ..config import check
from ..errors import ConfigError, HostError, OcirunError, Problem, StateDamagedError, StateError, StepError
from ..execute.block_sigint import BlockSigint
from ..plan.builder import Request, below, clean, join
from ..plan.mounts import words
from ..plan.mounts_plan import build_add, build_remove
from ..plan.ops import OPEN_ITSELF
from ..state import record as records
from ..state import saved, store
from . import joining, planning
from .update import refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from ..plan.builder import Facts
    from ..plan.ops import Plan
    from ..state.record import Record

FILE = "mounts.json"
# Operations after which something is mounted.
_ATTACHES = ("attach", "mount_classic")


def carry_out(record: Record, cgroup: Driver, directory: int, wanted: object, *, adds: bool, source: str) -> list[str]:
    """Change the mounts of a container; returns warnings.  Gives up the driver and the directory, which is locked.

    wanted   a list of mounts in the form of config.json; to take them off, destinations will do
    adds     they are added; else taken off
    source   where they are from, for messages
    Raises StateError, ConfigError, UnsupportedError, StepError, HostError.
    """
    try:
        with cgroup:
            change = Change(record, cgroup, directory, source=source)
            made = change.plan(wanted, adds=adds)
            # Ctrl-C waits: between a mount and the note of it nobody would know of it.
            with BlockSigint():
                change.carry_out(made, wanted, adds=adds)
            return change.told(made)
    finally:
        os.close(directory)


def explain(record: Record, cgroup: Driver, directory: int, wanted: object, *, adds: bool, source: str) -> Plan:
    """Return the plan of what `carry_out` would do; changes nothing."""
    try:
        with cgroup:
            return Change(record, cgroup, directory, source=source).plan(wanted, adds=adds)
    finally:
        os.close(directory)


def current(record: Record, directory: int) -> list[dict[str, Any]]:
    """Return the mounts that a container has: those of its config, without those removed, and those added.

    Gives up the directory.  Raises StateDamagedError, HostError.
    """
    try:
        return _current(directory, saved.config(directory, record.bundle), record.bundle)
    finally:
        os.close(directory)


class Change:
    """A change of the mounts of a container: what it has, what is wanted, the plan.

    record, cgroup, directory   of the container; the directory is locked
    source                      where the wanted mounts are from, for messages
    Raises StateError, and StateDamagedError for a container without a saved config.
    """

    def __init__(self, record: Record, cgroup: Driver, directory: int, *, source: str) -> None:
        self._record = record
        self._cgroup = cgroup
        self._directory = directory
        self._source = source
        self.warnings: list[Problem] = []
        status = records.status(record, records.load_progress(directory))
        if status not in (records.CREATED, records.RUNNING):
            raise StateError("container not running", status=status)
        self._data = saved.config(directory, record.bundle)
        self._before = _current(directory, self._data, record.bundle)

    def plan(self, wanted: object, *, adds: bool) -> Plan:
        """Return the plan of a change.  Raises ConfigError, UnsupportedError."""
        if not adds:
            return self._removal([(pointer, self._before[at]) for at, pointer in self._chosen(wanted)])
        mounts = self._checked(wanted)
        data = {**self._data, "mounts": mounts}
        try:
            return build_add(
                data,
                self._facts(data),
                self._request(),
                self._cgroup,
                **joining.target(self._record),
                before=self._before,
            )
        except ConfigError as error:
            raise self._below(error.problems) from None

    def carry_out(self, plan: Plan, wanted: object, *, adds: bool) -> None:
        """Carry out a plan, and save what is mounted then.

        Raises StepError, HostError; nothing that was added is left then, but what was taken off stays so.
        """
        if not adds:
            self._remove(plan, self._chosen(wanted))
            return
        added: list[dict[str, Any]] = list(self._checked(wanted))
        # A link that was made in place of a mount is a file of the container.
        links = {op.pointer for op in plan.ops if op.name == "make_link"}
        try:
            self._run(plan)
            self._save([*self._before, *(one for at, one in enumerate(added) if f"/mounts/{at}" not in links)])
        except OcirunError as error:
            last = error.index if isinstance(error, StepError) and error.index >= 0 else len(plan.ops)
            self._take_back(plan, last, added, error)
            raise

    def told(self, plan: Plan) -> list[str]:
        """Return the warnings, with their pointers into the array."""
        return [f"{self._source}: {problem.line()}" for problem in self._placed([*self.warnings, *plan.warnings])]

    def _remove(self, plan: Plan, chosen: list[tuple[int, str]]) -> None:
        gone = len(chosen)
        try:
            self._run(plan)
        except StepError as error:
            gone = sum(1 for op in plan.ops[: max(error.index, 0)] if op.name == "unmount")
            raise
        finally:
            taken = {index for index, _ in chosen[:gone]}
            self._save([mount for index, mount in enumerate(self._before) if self._stands_on(index) not in taken])

    def _take_back(self, plan: Plan, last: int, added: list[dict[str, Any]], error: OcirunError) -> None:
        """Take off what the first operations of a plan have mounted, the newest first."""
        pointers = dict.fromkeys(op.pointer for op in plan.ops[:last] if op.name in _ATTACHES)
        undone = [(pointer, added[int(pointer.split("/")[2])]) for pointer in pointers]
        if not undone:
            return
        try:
            self._run(self._removal(undone[::-1]))
        except OcirunError as failed:
            error.message += f"; what was mounted before could not be taken off: {failed.message}"

    def _run(self, plan: Plan) -> None:
        try:
            joining.carry_out(plan, self._record, self._cgroup, self._directory, does="changed the mounts")
        except StepError as error:
            # The plan has its pointers into config.json, the source has an array.
            place = error.pointer.removeprefix("/mounts")
            if place != error.pointer:
                error.message = error.message.replace(error.pointer, f"{self._source}: {place}", 1)
                error.pointer = place
            raise

    def _save(self, mounts: list[dict[str, Any]]) -> None:
        try:
            store.write_file(self._directory, FILE, dumps(mounts).encode())
        except OSError as error:
            raise HostError.from_os(f"save {FILE}", error, call="write") from None

    def _checked(self, wanted: object) -> Any:
        """Return what is to be mounted.  Raises ConfigError."""
        if not isinstance(wanted, list) or not wanted:
            text = "must be an array of mounts, as config.json has them"
            raise ConfigError([Problem("", text)], path=self._source)
        data = {**self._data, "mounts": wanted}
        found = check.checked_parts(data, ("mounts",))
        found = [problem for problem in found if problem.pointer.startswith("/mounts")]
        if not all(problem.warning for problem in found):
            raise self._below(found)
        self.warnings = found
        return data["mounts"]

    def _chosen(self, wanted: object) -> list[tuple[int, str]]:
        """Return (place among the mounts there are, pointer) of each that is to go, the newest first."""
        if not isinstance(wanted, list) or not wanted:
            text = "must be an array of mounts, of which the destinations are looked at"
            raise ConfigError([Problem("", text)], path=self._source)
        # A remount goes with what it has changed, and has no place of its own.
        places = ["" if _is_remount(mount) else self._destination(mount) for mount in self._before]
        chosen: dict[int, str] = {}
        problems = []
        for number, entry in enumerate(wanted):
            pointer = f"/mounts/{number}/destination"
            destination = entry.get("destination") if isinstance(entry, dict) else entry
            if not isinstance(destination, str) or not destination:
                problems.append(Problem(pointer, "must be the path of a mount"))
                continue
            path = below(self._rootfs(), destination)
            index = next((at for at in reversed(range(len(places))) if places[at] == path and at not in chosen), -1)
            if index < 0 and _is_remount(entry) and any(places[at] == path for at in chosen):
                continue
            if index < 0:
                text = f"the container has no mount on {path}"
                known = sorted(set(places) - {""})
                problems.append(Problem(pointer, text, expected=", ".join(known)))
                continue
            chosen[index] = pointer
        for index, pointer in chosen.items():
            # Earlier ones are not in it, but under it.
            inside = [
                place
                for at, place in enumerate(places)
                if at > index and place.startswith(places[index] + "/") and at not in chosen
            ]
            if inside:
                text = f"{places[index]} cannot be taken off: {inside[0]} is mounted in it"
                problems.append(Problem(pointer, text, expected=f"{inside[0]} among the mounts to remove"))
        if problems:
            raise self._below(problems)
        return sorted(chosen.items(), reverse=True)

    def _below(self, problems: list[Problem]) -> ConfigError:
        """Return an error whose pointers are those of the array."""
        return refused(self._placed(problems), self._source)

    def _placed(self, problems: list[Problem]) -> list[Problem]:
        for problem in problems:
            problem.pointer = problem.pointer.removeprefix("/mounts")
        return problems

    def _destination(self, mount: dict[str, Any]) -> str:
        return below(self._rootfs(), mount["destination"])

    def _stands_on(self, index: int) -> int:
        """Return the place of a mount, and for a remount that of the mount which it has changed."""
        if not _is_remount(self._before[index]):
            return index
        path = self._destination(self._before[index])
        earlier = (at for at in reversed(range(index)) if not _is_remount(self._before[at]))
        return next((at for at in earlier if self._destination(self._before[at]) == path), index)

    def _rootfs(self) -> str:
        return clean(join(self._record.bundle, (self._data.get("root") or {}).get("path", "")))

    def _removal(self, mounts: list[tuple[str, dict[str, Any]]]) -> Plan:
        facts = self._facts(self._data)
        removed = [(pointer, self._destination(mount), self._opening(mount)) for pointer, mount in mounts]
        return build_remove(
            self._data, facts, self._request(), self._cgroup, **joining.target(self._record), removed=removed
        )

    def _opening(self, mount: dict[str, Any]) -> int:
        """Return how the place of a mount is opened: where a link is mounted, or mounted over, it is not followed."""
        options = words.given(mount)
        source = join(self._record.bundle, mount.get("source") or "")
        itself = "dest-nofollow" in options or ("src-nofollow" in options and planning.link(source) is not None)
        return OPEN_ITSELF if itself else 0

    def _request(self) -> Request:
        record = self._record
        return Request(container_id=record.container_id, bundle=record.bundle, directory="", config=self._source)

    def _facts(self, data: dict[str, Any]) -> Facts:
        facts = joining.facts(self._record, data)
        facts.links = planning.links(data, self._record.bundle)
        return facts


def _is_remount(mount: Any) -> bool:
    """Return whether an entry changes a mount that is there, and adds none."""
    given = (mount.get("options") if isinstance(mount, dict) else None) or ()
    if not isinstance(given, list) or not all(isinstance(option, str) for option in given):
        return False
    options = words.given(mount)
    return "remount" in options and options.isdisjoint(("bind", "rbind"))


def _current(directory: int, data: dict[str, Any], bundle: str) -> list[dict[str, Any]]:
    mounts = added(directory)
    if mounts is not None:
        return mounts
    links = planning.links(data, bundle)
    return [mount for mount in data.get("mounts") or () if join(bundle, mount.get("source") or "") not in links]


def added(directory: int) -> list[dict[str, Any]] | None:
    """Return the mounts of a container whose mounts were changed; None where they are those of its config.

    Raises StateDamagedError, HostError.
    """
    try:
        mounts = loads(store.read_file(directory, FILE))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError.from_os(FILE, error, call="openat") from None
    except JsonError as error:
        raise StateDamagedError(f"{FILE}: {error}", remedy=store.remedy()) from None
    if not isinstance(mounts, list) or not all(
        isinstance(mount, dict) and isinstance(mount.get("destination"), str) for mount in mounts
    ):
        raise StateDamagedError(f"{FILE}: is no list of mounts", remedy=store.remedy())
    return mounts
