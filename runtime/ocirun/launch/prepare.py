"""One config, many containers: what is the same for all of them is found out once.

Read once: config, facts of the host, cgroup hierarchies.  Made once: the plan
with holes (plan.template) and its bytes.  For each container there remain the
choice of its cgroups, the holes, and what its config has of its own.
"""

from __future__ import annotations

import os

from ..host import facts as host
from ..plan import encode
from ..plan.template import Template
from ..state import store
from . import create, planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..config.load import Config
    from ..plan.ops import Plan
    from ..state.record import Record
    from .options import CreateOptions
    from .session import Session


class Preparation:
    """A config made ready on this host.  Threads may share it: after it is made, nothing in it changes.

    config   the config it was made of
    root     the state root of its containers
    """

    def __init__(self, config: Config, root: str, options: CreateOptions, *, stay: bool) -> None:
        """Read the facts and build the plan.

        stay   as in `create.create`
        Raises ConfigError, UnsupportedError, UsageError, HostError.
        """
        planning.check_terminal(config, options, stay=stay)
        self.config = config
        self.root = root
        self._stay = stay
        # Asked once: what we may do does not change.
        self._options = options.but(rootless="true" if planning.is_rootless(options) else "false")
        self._layout = host.cgroup_layout()
        hole = f"hole-{os.urandom(16).hex()}"
        cgroup = planning.choose(config, hole, self._options, self._layout)
        facts = planning.create_facts(config, self._options, self._layout)
        request = planning.request(config, hole, root, self._options, stay=stay)
        self._groups = [name for name, _ in cgroup.directories()]
        self._template = Template(_data(config), facts, request, cgroup)
        self._shared = encode.Shared(self._template.plan)

    def plan(self, container_id: str, config: Config, differs: frozenset[str]) -> Plan:
        """The plan of one container; see `create`."""
        plan = self._template.fill(store.check_id(container_id), _data(config), differs)
        planning.add_warnings(plan, config)
        return plan

    def create(
        self, container_id: str, config: Config, differs: frozenset[str], stdio: tuple[int, int, int]
    ) -> tuple[Record, Session]:
        """Make one container, as `create.create` does.

        config    its config, checked
        differs   the parts of it (template.PARTS) that are not those of `self.config`
        stdio     as in CreateOptions
        """
        options = self._options.but(stdio=stdio)
        plan = self.plan(container_id, config, differs)
        cgroup = planning.choose(config, container_id, options, self._layout)
        encoder: encode.Encoder = self._shared.encode
        if cgroup.unit is not None or [name for name, _ in cgroup.directories()] != self._groups:
            # What an ordinary user may write to has changed: nothing is as it was prepared.  And the name of a
            # unit is more than the id with words around it.
            encoder = encode.encode
            plan, cgroup = planning.plan(config, container_id, self.root, options, stay=self._stay)
        return create.carry_out(
            container_id, self.root, options, config=config, plan=plan, cgroup=cgroup, encoder=encoder
        )


def _data(config: Config) -> dict[str, Any]:
    data: Any = config.data
    return data  # type: ignore[no-any-return]
