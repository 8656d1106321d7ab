"""What the function of a command gets: its values, the global settings, a way to warn."""

from __future__ import annotations

import os

from ocirun._base.roots import default_root
from ocirun.cli.parse import truth
from ocirun.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ocirun.cli.parse import Values


class Settings:
    """The global options that commands use.

    root             absolute path of the state root; it need not exist
    rootless         "true", "false" or "auto"
    cgroup_manager   "cgroupfs", "systemd" or "disabled"
    """

    __slots__ = ("cgroup_manager", "root", "rootless")

    def __init__(self, root: str, *, rootless: str = "auto", cgroup_manager: str = "cgroupfs") -> None:
        self.root = root
        self.rootless = rootless
        self.cgroup_manager = cgroup_manager


class Call:
    """One call of a command.

    values     options and arguments of the command
    settings   what the global options come to
    given      the global options themselves
    start      how this interpreter was started, see `main`
    """

    __slots__ = ("given", "settings", "start", "values")

    def __init__(self, values: Values, settings: Settings, given: Values, start: str = "module") -> None:
        self.values = values
        self.settings = settings
        self.given = given
        self.start = start

    @property
    def id(self) -> str:
        """The container id, the first argument."""
        return self.values.arguments[0]

    @property
    def debug(self) -> Callable[[str, Mapping[str, object]], None] | None:
        """What reports a step on the way, with its parts by name; None unless it is asked for."""
        if not (self.given.flag("debug") or self.given.text("log-level") == "debug"):
            return None
        from ocirun.cli.log import Log

        return Log.of(self.given).debug_line

    def warn(self, text: str) -> None:
        """Report something that does not end the call."""
        # Imported only here: most calls have nothing to report.
        from ocirun.cli.log import Log

        Log.of(self.given).warn(text)


def settings(values: Values) -> Settings:
    """Return the settings that the global options `values` and the environment ask for.

    Raises UsageError for values that cannot be, HostError when a relative
    root has no current directory to start from.
    """
    rootless = values.text("rootless")
    if rootless.lower() in ("", "auto"):
        rootless = "auto"
    else:
        tolerant = truth(rootless)
        if tolerant is None:
            raise UsageError(f'option --rootless: "{rootless}" is none of true, false, auto')
        rootless = "true" if tolerant else "false"
    # conmon passes on --systemd-cgroup and adds --cgroup-manager disabled: the more exact one decides.
    manager = values.text("cgroup-manager") or ("systemd" if values.flag("systemd-cgroup") else "cgroupfs")
    return Settings(_root(values), rootless=rootless, cgroup_manager=manager)


def _root(values: Values) -> str:
    if "root" not in values.given:
        return default_root(os.environ)
    given = values.text("root")
    if not given:
        raise UsageError("option --root: the path is empty")
    try:
        root = os.path.abspath(given)
    except OSError as error:  # the current directory was removed
        raise HostError.from_os(f"--root {given}", error, call="getcwd") from None
    if root.strip("/") == "":
        raise UsageError("option --root: the state of containers cannot be kept in / itself")
    return root
