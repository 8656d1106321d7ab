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

    from ..cgroup.driver import Driver
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
        planning.check_terminal(config.data.get("process"), options.console_socket, here=stay and options.foreground)
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
        self._hole, self._cgroup = hole, cgroup
        self._template = Template(_data(config), facts, request, cgroup)
        self._shared = encode.Shared(self._template.plan)

    def plan(self, container_id: str, config: Config, differs: frozenset[str]) -> Plan:
        """The plan of one container; see `create`."""
        plan = self._template.fill(container_id, _data(config), differs)
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
        store.check_id(container_id)
        options = self._options.but(stdio=stdio)
        cgroup = planning.choose(config, container_id, options, self._layout)
        encoder: encode.Encoder = encode.encode
        if self._fits(cgroup, container_id):
            encoder = self._shared.encode
            plan = self.plan(container_id, config, differs)
        else:
            plan, cgroup = planning.plan(config, container_id, self.root, options, stay=self._stay)
        return create.carry_out(
            container_id, self.root, options, config=config, plan=plan, cgroup=cgroup, encoder=encoder
        )

    def _fits(self, cgroup: Driver, container_id: str) -> bool:
        """The cgroup is the prepared one with another id.

        It is not where the id cannot stand as it is (a unit's name has no "+"), where an ordinary user may write
        to other hierarchies than before, or where a group above has lost controllers.
        """
        prepared = self._cgroup
        known = [(name, path.replace(self._hole, container_id)) for name, path in prepared.directories()]
        if cgroup.directories() != known or cgroup.kind != prepared.kind:
            return False
        units = [driver.unit.name if driver.unit is not None else "" for driver in (prepared, cgroup)]
        if units[0].replace(self._hole, container_id) != units[1]:
            return False
        enabling = {path.replace(self._hole, container_id): names for path, names in prepared.enabling}
        return all(set(names) <= set(enabling.get(path, ())) for path, names in cgroup.enabling)


def _data(config: Config) -> dict[str, Any]:
    data: Any = config.data
    return data  # type: ignore[no-any-return]
