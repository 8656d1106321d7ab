"""New limits for a container that exists: check them, merge them into the old ones, write what changes.

The document is the ``linux.resources`` of config.json, as ``runc update``
takes it.  What is absent stays as it is, and so does what is zero where zero
is no limit that the kernel knows: engines send zeros for "unset".
"""

from __future__ import annotations

from .._base.jsonio import JsonError, dumps, loads
from ..cgroup.settings import device_rules, translate
from ..cgroup.settings.previous_value import previous
from ..cgroup.settings.translation import V2, Translation
from ..config._tables import LIST, OBJECT, RESOURCES
from ..config.check import Walk, without
from ..config.rules import resources as rules
from ..errors import ConfigError, HostError, Problem, StateDamagedError
from ..execute.block_sigint import BlockSigint
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ..cgroup.driver import Driver
    from ..cgroup.settings.translation import Setting
    from ..config._types import Node

FILE = "resources.json"

# Block -> keys of which zero, false and "" mean that nothing is asked for.
_UNSET = {
    "memory": ("limit", "reservation", "swap", "kernel", "kernelTCP", "disableOOMKiller"),
    "cpu": ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"),
    "pids": ("limit",),
    "blockIO": ("weight", "leafWeight"),
    "network": ("classID",),
}
# useHierarchy can only be changed while the group has none below it, and since Linux 5.11 not at all.
_WITHOUT_EFFECT = ("useHierarchy",)
# Blocks whose values hold each other, so that the ones from before count too.
_JOINED = ("memory", "cpu")
_JOINED_AT = ("/memory/", "/cpu/")
# Key of an array -> what tells its entries apart.
_NAMED_BY = {"hugepageLimits": ("pageSize",), "priorities": ("name",)}
_DEVICE = ("major", "minor")


def update(directory: int, driver: Driver, wanted: object, *, source: str) -> list[str]:
    """Give a container new limits, all or none; returns warnings.

    directory   the container's, locked
    wanted      the document, as plain values or as the bytes of JSON
    Raises ConfigError with pointers into the document, HostError where the
    kernel refuses a value; then everything is as before.
    """
    given, warnings = checked(_parsed(wanted, source) if isinstance(wanted, bytes) else wanted, source=source)
    old = saved(directory)
    new = merged(old, given)
    rules = given.pop("devices", None)
    try:
        settings, more = _settings(driver, old, new, given)
        devices = _Devices(driver, old.get("devices") or (), old.get("devices") or () if rules is None else rules)
    except ConfigError as error:
        raise refused(error.problems, source) from None
    if "limit" in given.get("memory", ()):
        _refuse_below_usage(driver, new["memory"])
    # Ctrl-C waits: it is all or none.
    with BlockSigint():
        undo = _write(driver, settings, devices)
        try:
            store.write_file(directory, FILE, dumps(new).encode())
        except OSError as error:
            failed = _take_back(driver, undo, devices)
            raise HostError.from_os(f"save {FILE}", error, call="write", remedy=failed) from None
    return [problem.line() for problem in (*warnings, *more)]


def checked(wanted: object, *, source: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return what the document asks for, and warnings.

    A rule that denies everything, and nothing else, is left out: engines send it with every update, and the container
    keeps the rules that it has.  Keys may be in any case, as encoding/json of Go reads them.
    """
    document = _names(wanted, RESOURCES)
    if isinstance(document, dict) and _is_unset(document.get("devices")):
        document.pop("devices", None)
    walk = Walk(unknown=True)
    walk.value(document, RESOURCES, rules.PLACE)
    report = walk.report
    report.faults = [problem.pointer for problem in report.problems if not problem.warning]
    if isinstance(document, dict):
        document = without(document, walk.nulls)
        rules.check(document, report)
    problems = [_below(problem) for problem in report.problems]
    if report.faults or any(not problem.warning for problem in problems):
        raise refused(problems, source)
    return _asked(document), problems


def _is_unset(rules: Any) -> bool:
    """Return whether these are the device rules that engines send for none."""
    everything: Any = ({"allow": False, "access": "rwm"}, {"allow": False})
    return not rules or (isinstance(rules, list) and all(_filled(rule) in everything for rule in rules))


def _filled(rule: Any) -> Any:
    return (
        {key: value for key, value in rule.items() if value not in (None, "", "a")} if isinstance(rule, dict) else rule
    )


def _parsed(raw: bytes, source: str) -> Any:
    try:
        return loads(raw)
    except JsonError as error:
        raise ConfigError([Problem("", str(error))], path=source) from None


def _names(value: Any, node: Node) -> Any:
    """Return `value` with the keys that differ from known ones in case only spelt as those; a copy."""
    if node[0] == LIST and isinstance(value, list):
        return [_names(item, node[1]) for item in value]
    if node[0] != OBJECT or not isinstance(value, dict):
        return value
    known = {key.lower(): key for key in node[1]}
    result = {}
    for key, item in value.items():
        name = known.get(key.lower(), key)
        if name in value or name in result:
            name = key
        result[name] = _names(item, node[1][name]) if name in node[1] else item
    return result


def _below(problem: Problem) -> Problem:
    """Return the problem with a pointer into the document instead of config.json."""
    pointer = problem.pointer.removeprefix(rules.PLACE)
    return Problem(pointer, problem.message, expected=problem.expected, found=problem.found, warning=problem.warning)


def refused(problems: Iterable[Problem], source: str) -> ConfigError:
    """Return the error of a document that is no config.json, with its first problems in the message."""
    error = ConfigError([problem for problem in problems if not problem.warning], path=source)
    # No other command could list the rest.
    error.message = f"{source}: " + "; ".join(problem.line() for problem in error.problems[:5])
    return error


def _asked(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without what is unknown or unset."""
    result: dict[str, Any] = {}
    known: Node = RESOURCES
    for key, value in document.items():
        if key in known[1]:
            asked = _set(value, known[1][key], _UNSET.get(key, ())) if known[1][key][0] == OBJECT else value
            if asked:
                result[key] = asked
    return result


def _set(block: dict[str, Any], node: Node, unset: tuple[str, ...]) -> dict[str, Any]:
    return {
        key: value
        for key, value in block.items()
        if key in node[1] and key not in _WITHOUT_EFFECT and (value or key not in unset)
    }


def merged(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the limits after an update.

    Arrays keep the entries for other devices, page sizes and interfaces.
    Memory without a limit ends a limit of memory and swap too.
    """
    result = _merge(old, given)
    memory = given.get("memory") or {}
    if memory.get("limit") == -1 and "swap" not in memory:
        result["memory"].pop("swap", None)
    return result


def _merge(old: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in given.items():
        if isinstance(value, dict):
            result[key] = _merge(old.get(key) or {}, value)
        elif key == "devices":  # their order has a meaning
            result[key] = value
        elif isinstance(value, list):
            names = _NAMED_BY.get(key, _DEVICE)
            fresh = [[entry.get(name) for name in names] for entry in value]
            kept = [entry for entry in old.get(key) or () if [entry.get(name) for name in names] not in fresh]
            result[key] = kept + value
        else:
            result[key] = value
    return result


def saved(directory: int) -> dict[str, Any]:
    """Return the limits that a container has: those of its last update, or of its config.

    Raises StateDamagedError.
    """
    try:
        resources: Any
        try:
            resources = loads(store.read_file(directory, FILE))
        except FileNotFoundError:
            from ..state import saved as saving

            resources = (saving.config(directory, "/").get("linux") or {}).get("resources") or {}
    except OSError as error:
        if error.errno not in store.NO_FILE:
            raise HostError.from_os(FILE, error, call="openat") from None
        raise StateDamagedError(f"{FILE}: is no file", remedy=store.remedy()) from None
    except JsonError as error:
        raise StateDamagedError(f"the saved limits cannot be read: {error}", remedy=store.remedy()) from None
    walk = Walk()
    walk.value(resources, RESOURCES, "")
    if walk.report.problems:
        raise StateDamagedError(f"{FILE}: {walk.report.problems[0].line()}", remedy=store.remedy())
    return dict(resources)


def _settings(
    driver: Driver, old: dict[str, Any], new: dict[str, Any], given: dict[str, Any]
) -> tuple[list[Setting], list[Problem]]:
    """Return what to write, and warnings: all that is given, and what else comes out differently."""
    settings, warnings = _translated(driver, {key: new[key] if key in _JOINED else given[key] for key in given})
    try:
        before = set(_values(_translated(driver, {key: old[key] for key in _JOINED if key in given and key in old})[0]))
    except ConfigError:
        before = set()
    named = {f"/{block}/{key}" for block in _JOINED for key in given.get(block, ())}
    if (given.get("cpu") or {}).get("idle") == 0:
        # What was an idle group has the default weight now (sched_group_set_idle).
        named.add("/cpu/shares")
    chosen = []
    for setting, value in zip(settings, _values(settings), strict=True):
        joined = setting.pointer.startswith(_JOINED_AT)
        if not joined or setting.pointer in named or value not in before:
            chosen.append(setting)
    return chosen, warnings


def _translated(driver: Driver, blocks: dict[str, Any]) -> tuple[list[Setting], list[Problem]]:
    return translate.translate(driver.kind, blocks, pointer="", available=driver.available, devices=False)


def _values(settings: Iterable[Setting]) -> list[tuple[str, str, str]]:
    return [(setting.controller, setting.file, setting.value) for setting in settings]


def _refuse_below_usage(driver: Driver, memory: dict[str, Any]) -> None:
    """Carry out ``checkBeforeUpdate`` of the spec, where the kernel does not look by itself."""
    limit = memory["limit"]
    if driver.refuses or limit < 0 or not memory.get("checkBeforeUpdate"):
        return
    used = driver.usage().get("memory_bytes", 0)
    if used > limit:
        raise HostError(
            f"rejecting memory limit {limit}: the container uses {used} bytes",
            pointer="/memory/limit",
            remedy="without checkBeforeUpdate the limit is set, and the kernel kills what does not fit",
        )


class _Devices:
    """New device rules in the place of old ones, and the way back: nothing that both allow is denied meanwhile.

    Raises ConfigError for rules that the group cannot hold.
    """

    def __init__(self, driver: Driver, old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> None:
        self._driver = driver
        self._settings: list[Setting] = []
        self._undo: list[Setting] = []
        if list(old) == list(new):
            return
        for before, after, found in ((old, new, self._settings), (new, old, self._undo)):
            result = Translation(driver.available, "")
            if driver.kind == V2:
                device_rules.v2(after, result)
            else:
                device_rules.v1_change(before, after, result)
            found.extend(result.result()[0])

    def change(self, *, back: bool = False) -> None:
        """Put the rules in place, or take them back.  Raises HostError."""
        settings = self._undo if back else self._settings
        if self._driver.kind == V2:
            for setting in settings:
                self._driver.filter_devices(setting.value)
        elif settings:
            self._driver.apply(settings)


def _write(driver: Driver, settings: list[Setting], devices: _Devices) -> list[Setting]:
    """Write the settings, or none; returns those that undo them.  Raises HostError."""
    undo = [previous(setting, driver.read(setting.controller, setting.file)) for setting in settings]
    try:
        driver.apply(settings)
        devices.change()
    except HostError as error:
        failed = _take_back(driver, undo, devices)
        if error.pointer and error.pointer not in error.message:
            error.message = f"{error.pointer}: {error.message}"
        if failed:
            error.remedy = f"{error.remedy}; {failed}" if error.remedy else failed
        raise
    return undo


def _take_back(driver: Driver, undo: list[Setting], devices: _Devices) -> str:
    """Undo what was written; what could not be, in words, or ""."""
    try:
        devices.change(back=True)
        changed = []
        for setting in undo:
            now = previous(setting, driver.read(setting.controller, setting.file))
            if now.value != setting.value:
                changed.append(setting)
        driver.apply(changed)
    except HostError as error:
        return f"not all could be set back: {error.message}"
    return ""
