"""What a translation of limits gives: settings of cgroup files, and what is wrong or odd about them.  Pure."""

from __future__ import annotations

from ...errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Available = Callable[[str, str], bool]

POINTER = "/linux/resources"
# The kind of driver for cgroup v2; its group, and the files of that which belong to no controller.
V2 = "v2"
UNIFIED = "unified"
# In place of a file's name: on v2 device rules are a program, not a file.
DEVICE_FILTER = "device filter"
# Written after the container is set up: under a quota of 1 ms in 100 the set-up would take minutes.
LATE_FILES = frozenset(("cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us", "cpu.max", "cpu.max.burst"))


class Setting:
    """One write to one cgroup file; a value.

    controller  whose directory it is in
    file        name of the file
    value       text to write, in one call
    pointer     JSON pointer of the config value it comes from
    """

    __slots__ = ("controller", "file", "pointer", "value")

    def __init__(self, controller: str, file: str, value: str, pointer: str = "") -> None:
        self.controller = controller
        self.file = file
        self.value = value
        self.pointer = pointer

    @property
    def late(self) -> bool:
        """Better written when the container is set up, before the user's program starts."""
        return self.file in LATE_FILES

    def fields(self) -> tuple[str, str, str, str]:
        """Return (controller, file, value, pointer)"""
        return self.controller, self.file, self.value, self.pointer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        return f"Setting{self.fields()}"


class Translation:
    """Collects settings and problems of one translation.

    available  (controller, file or "") -> the container has that controller, and its groups that file
    """

    __slots__ = ("available", "pointer", "problems", "settings", "warnings")

    def __init__(self, available: Available, pointer: str) -> None:
        self.available = available
        self.pointer = pointer
        self.settings: list[Setting] = []
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def add(self, controller: str, file: str, value: str, at: str, *, lifts: bool = False) -> None:
        """Add a write; a problem where the controller is missing.

        at     the pointer below ours, such as ``cpu/idle``
        lifts  the value is "no limit", which needs no controller
        """
        if self.available(controller, ""):
            self.settings.append(Setting(controller, file, value, f"{self.pointer}/{at}"))
        elif not lifts:
            self.missing(controller, at)

    def missing(self, controller: str, at: str) -> None:
        """Add a problem: the controller is not there."""
        self.problem(at, f"needs the cgroup controller {controller}, which the container does not have on this host")

    def problem(self, at: str, message: str, *, expected: str = "", found: object = "") -> None:
        """Add a problem that stops the container."""
        self.problems.append(Problem(f"{self.pointer}/{at}", message, expected=expected, found=str(found)))

    def warn(self, at: str, message: str) -> None:
        """Add a problem that does not stop the container."""
        self.warnings.append(Problem(f"{self.pointer}/{at}", message, warning=True))

    def outside(self, at: str, value: int, low: int, high: int, unit: str = "") -> bool:
        """Add a problem where `value` is not in `low` .. `high`; returns whether it did."""
        if low <= value <= high:
            return False
        unit = f" {unit}" if unit else ""
        self.problem(at, f"{value} is outside {low} .. {high}{unit}", expected=f"{low} .. {high}{unit}", found=value)
        return True

    def one_word(self, at: str, text: str, what: str) -> bool:
        """Return whether `text` can stand in a line of words; else a problem is added."""
        strange = any(char <= " " or char in "/\x7f" or char.isspace() for char in text)
        if text and len(text) < 256 and not strange:
            return True
        self.problem(at, f"{text[:80]!a} is not {what}", found=text)
        return False

    def fill(self, resources: Mapping[str, Any], blocks: Mapping[str, Callable[[Any, Translation], None]]) -> None:
        """Add the settings of every block of `resources` that `blocks` has a function for."""
        for key, block in resources.items():
            part = blocks.get(key)
            if part is not None and block:
                part(block, self)

    def result(self) -> tuple[list[Setting], list[Problem]]:
        """Return (settings, warnings); raises ConfigError where there is a problem."""
        if self.problems:
            raise ConfigError(self.problems)
        return self.settings, self.warnings
