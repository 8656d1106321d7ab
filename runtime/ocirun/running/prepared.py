"""A config made ready once, for many runs."""

from __future__ import annotations

import os

from ..launch.options import CreateOptions
from ..launch.prepare import Preparation
from ..roots import default_root
from . import changes, watch
from .course import OUTPUT_LIMIT, Course
from .once import new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..config.load import Config
    from ..plan.ops import Plan
    from .course import Make
    from .outcome import Outcome


class Prepared:
    """A config that is read, checked and planned; each run does what is left.

        greeter = ocirun.Prepared("/srv/bundle", args=["cat"], memory=64 << 20)
        for name in names:
            print(greeter.run(stdin=name).stdout)

    Any number of threads may run it at once.  Nothing is held open.  It is as old as its making: a change of
    config.json, of the host's cgroup hierarchies, of this process's rights, environment or own cgroup since then
    is not seen.  The root file system belongs to the runs as it is, and is one for all of them.
    """

    __slots__ = ("_base", "_preparation", "bundle", "root")

    def __init__(
        self,
        bundle: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        mounts: Sequence[Mapping[str, Any]] = (),
        memory: int | None = None,
        pids: int | None = None,
        cpus: float | None = None,
        root: str = "",
    ) -> None:
        """Read, check, plan; the parameters are those of `ocirun.run`.

        Raises ConfigError, UnsupportedError, HostError.
        """
        self.bundle = os.path.abspath(bundle or ".")
        self.root = root or default_root(os.environ)
        config_read = changes.read(self.bundle, config)
        self._base, _ = changes.apply(
            config_read, args=args, env=env, cwd=cwd, mounts=mounts, memory=memory, pids=pids, cpus=cpus
        )
        self._preparation = Preparation(self._base, self.root, CreateOptions(activation=False), stay=True)

    def run(
        self,
        *,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        mounts: Sequence[Mapping[str, Any]] = (),
        stdin: bytes = b"",
        timeout: float | None = None,
        memory: int | None = None,
        pids: int | None = None,
        cpus: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
        container_id: str = "",
    ) -> Outcome:
        """Run it in a container of its own, and remove the container.

        The parameters are those of `ocirun.run`, and stand for this run in place of, or behind, what the
        config says.  Only they are checked; their errors have pointers into the config with them in it.
        Raises as `ocirun.run`.
        """
        make = self.making(
            container_id, args=args, env=env, cwd=cwd, mounts=mounts, memory=memory, pids=pids, cpus=cpus
        )
        return watch.run(Course(self.root, output_limit), make, stdin=stdin, timeout=timeout)

    def plan(self, container_id: str = "", **own: Any) -> Plan:
        """The plan of a run; `own` are parameters of `run` that change the config.  Touches nothing."""
        config, differs = self._changed(**own)
        return self._preparation.plan(container_id or new_id(), config, differs)

    def making(self, container_id: str = "", **own: Any) -> Make:
        """What creates the container of one run, for a `Course`; what is wrong with `own` is raised here."""
        config, differs = self._changed(**own)
        name = container_id or new_id()
        return lambda stdio: self._preparation.create(name, config, differs, stdio)

    def _changed(
        self,
        *,
        args: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        mounts: Sequence[Mapping[str, Any]] = (),
        memory: int | None = None,
        pids: int | None = None,
        cpus: float | None = None,
    ) -> tuple[Config, frozenset[str]]:
        return changes.apply(
            self._base, args=args, env=env, cwd=cwd, mounts=mounts, memory=memory, pids=pids, cpus=cpus
        )
