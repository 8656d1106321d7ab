"""A config made ready once, for many runs."""

from __future__ import annotations

import os

from .._base.boundary import methods_raise_ocirun_errors
from .._base.roots import default_root
from ..errors import stays_here
from ..execute.options import CreateOptions
from . import overrides, poll_loop, written
from .in_new_container import new_id
from .preparation import Preparation
from .program_run import ProgramRun
from .terms import Terms, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Never, Unpack

    from ..plan.ops import Plan
    from .outcome import Outcome
    from .overrides import Overrides
    from .program_run import Factory
    from .terms import Parameters


@methods_raise_ocirun_errors
class Prepared:
    """A config that is read, checked and planned; each run does what is left.

        greeter = ocirun.Prepared("/srv/bundle", args=["cat"], memory=64 << 20)
        for name in names:
            print(greeter.run(stdin=name).stdout)

    Any number of threads may run it at once.  Nothing is held open.  It is as old as its making: a change of
    config.json, of the host's cgroup hierarchies, of this process's rights, environment or own cgroup since then
    is not seen.  The root file system belongs to the runs as it is, and is one for all of them.
    """

    __slots__ = ("_preparation", "base", "bundle", "cgroup_manager", "learn", "root")

    def __init__(
        self,
        bundle: str = "",
        *,
        config: Mapping[str, Any] | None = None,
        root: str = "",
        init: bool | None = None,
        cgroup_manager: str = "",
        learn: bool | str = False,
        **own: Unpack[Overrides],
    ) -> None:
        """Read, check, plan; the parameters are those of `ocirun.run`.

        Raises UsageError, ConfigError, UnsupportedError, HostError.
        """
        self.bundle = os.path.abspath(bundle or ".")
        self.root = root or default_root(os.environ)
        self.base, _ = overrides.with_overrides(overrides.read_config(self.bundle, config), **own)
        self.cgroup_manager = cgroup_manager
        self.learn = overrides.learn_word(learn)
        options = CreateOptions(
            activation=False, init=init, bound=True, cgroup_manager=cgroup_manager, learn=self.learn
        )
        self._preparation = Preparation(self.base, self.root, options, keeps_session=True)

    def __reduce__(self) -> Never:
        """Raise UsageError: it has facts of this process, and may have secrets."""
        raise stays_here("a Prepared", "make one in each process, or in the first one before it forks")

    def run(
        self, *, container_id: str = "", keep: str | None = None, commit: bool = False, **own: Unpack[Parameters]
    ) -> Outcome:
        """Run it in a container of its own, and remove the container.

        The parameters are those of `ocirun.run`, and stand for this run in place of, or behind, what the
        config says.  Only they are checked; their errors have pointers into the config with them in it.
        Raises as `ocirun.run`.
        """
        terms, changes = split(own)
        make = self.factory(container_id, keep=keep, commit=commit, **changes)
        return poll_loop.watch(ProgramRun(self.root, Terms(**terms), keep=keep, commit=commit), make)

    def plan(self, container_id: str = "", **own: Unpack[Overrides]) -> Plan:
        """Return the plan of a run; `own` are parameters of `run` that change the config.  Touches nothing."""
        config, differs = overrides.with_overrides(self.base, **own)
        return self._preparation.plan(container_id or new_id(), config, differs)

    def factory(
        self, container_id: str = "", *, keep: str | None = None, commit: bool = False, **own: Unpack[Overrides]
    ) -> Factory:
        """Return what creates the container of one run, for a `ProgramRun`; what is wrong with `own` is raised here."""
        config, differs = overrides.with_overrides(self.base, **own)
        if keep is not None or commit:
            written.check(config.data, keep, commit=commit)
        name = container_id or new_id()
        return lambda: self._preparation.session(name, config, differs)
