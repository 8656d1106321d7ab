"""One config, many containers: what is the same for all of them is found out once.

Read once: config, facts of the host, cgroup hierarchies.  Made once: the plan
with holes (plan.template) and its bytes.  For each container there remain the
choice of its cgroups, the holes, and what its config has of its own.
"""

from __future__ import annotations

import os

from .._base import rights
from ..cgroup.settings.translation import V2
from ..commands import create, planning
from ..execute.session import Session
from ..host import facts as host
from ..plan import cgroups, encode
from ..plan.builder import Facts
from ..plan.ops import HOST_CALLS, INIT_OPS
from ..plan.process.program import Environment, find_program
from ..plan.template import Template
from ..state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ..cgroup.driver import Driver
    from ..config.load import Config
    from ..execute.encoded import Encoded
    from ..execute.options import CreateOptions
    from ..plan.ops import Op, Plan
    from ..state.record import Record


class Preparation:
    """A config made ready on this host.  Threads may share it: after it is made, nothing in it changes.

    config   the config it was made of
    root     the state root of its containers
    """

    def __init__(self, config: Config, root: str, options: CreateOptions, *, keeps_session: bool) -> None:
        """Read the facts and build the plan.

        keeps_session   as in `create.create`
        Raises ConfigError, UnsupportedError, UsageError, HostError.
        """
        planning.check_terminal(
            config.data.get("process"), options.console_socket, here=keeps_session and options.foreground
        )
        self.config = config
        self.root = root
        self._keeps_session = keeps_session
        # Asked once: what we may do does not change.
        rootless = rights.is_rootless(options.rootless, host.privileged)
        self._options = options.replace(rootless="true" if rootless else "false")
        self._seen = host.seen(config.path)
        self._layout = host.cgroup_layout()
        # As long as an id of ours: in bytes that have it, such an id can take its place.
        hole = f"hole{os.urandom(8).hex()}"
        cgroup = planning.choose_driver(config, hole, self._options, self._layout)
        facts = planning.create_facts(config, self._options, self._layout)
        self._known = _known(facts)
        request = planning.request(config, hole, root, self._options, keeps_session=keeps_session)
        self.hole, self._cgroup = hole, cgroup
        self._template = Template(_data(config), facts, request, cgroup)
        self._shared = encode.Shared(self._template.plan)
        # What a container of the config as it is needs, with the hole for its id, by what follows its start.
        self._ready: dict[object, _Ready] = {}
        self._course: encode.AfterStart | None = None
        self._stream_uid = -1
        # Filters that were compiled for the first container.
        self._made: dict[str, bytes] = {}

    def is_unchanged(self) -> bool:
        """Return whether the file of the config, the host and this process are as they were.

        Where they are not, `holds_for` may still say that nothing of it matters.
        """
        namespaces = (_data(self.config).get("linux") or {}).get("namespaces") or ()
        if self._seen is None or self._seen[0] != self.config.raw or self._options.rootless != "false":
            return False
        # With a user namespace the directories above the root file system count too.
        return not any(one["type"] == "user" for one in namespaces) and host.seen(self.config.path) == self._seen

    def holds_for(self, config: Config) -> bool:
        """Return whether what was read then is read now: the config, the host, this process;
        so the plan would be the same.

        Raises HostError.
        """
        if config.raw != self.config.raw or config.bundle != self.config.bundle:
            return False
        facts = planning.create_facts(config, self._options, host.cgroup_layout())
        return facts.caller is None and _known(facts) == self._known

    def plan(self, container_id: str, config: Config, differs: frozenset[str]) -> Plan:
        """Return the plan of one container; see `create`."""
        plan = self._template.fill(container_id, _data(config), differs)
        planning.add_warnings(plan, config)
        return plan

    def session(self, container_id: str, config: Config, differs: frozenset[str]) -> Session:
        """Return what will make one container, as `create.planned`.

        config    its config, checked
        differs   the parts of it (template.PARTS) that are not those of `self.config`
        """
        store.check_id(container_id)
        if differs <= _PATCHED and len(container_id) == len(self.hole) and self._is_plain(config, container_id):
            if not differs:
                return PreparedSession(self, container_id)
            program = self._program(config)
            if program is not None:
                return PreparedSession(self, container_id, config, differs, program)
        cgroup = planning.choose_driver(config, container_id, self._options, self._layout)
        if not self._fits(cgroup, container_id):
            return create.planned(
                container_id, self.root, self._options, keeps_session=self._keeps_session, config=config
            )
        plan = self.plan(container_id, config, differs)
        session = create.session_of(container_id, self._options, config=config, plan=plan, cgroup=cgroup)
        session.encoder = self._shared.encode
        return session

    def ahead(self, container_id: str) -> PreparedSession:
        """Return what will make one container of the config as it is."""
        return PreparedSession(self, container_id)

    def _program(self, config: Config) -> Op | None:
        """Return the operation with the program of a config; None where others of the plan depend on it too."""
        process = _data(config).get("process") or {}
        environment = Environment(process.get("env"))
        if environment.needs_home != any(op.name == "find_home" for op in self._template.plan.ops):
            return None
        return find_program(list(process["args"]), environment)

    def whole(self, container_id: str, config: Config | None = None, differs: frozenset[str] = frozenset()) -> Session:
        """Return the session of a container, made without what is ready."""
        config = config or self.config
        cgroup = planning.choose_driver(config, container_id, self._options, self._layout)
        plan = self.plan(container_id, config, differs)
        return create.session_of(container_id, self._options, config=config, plan=plan, cgroup=cgroup)

    def plan_after_start(self) -> encode.AfterStart:
        """See `Session.whole_course`."""
        if self._course is None:
            self._course = self.whole(self.hole).plan_after_start()
            self._course.ahead = self._options.ahead
        return self._course

    def stream_uid(self) -> int:
        """Return whose the streams of a program are that comes later, as the host numbers it;
        0: they stay as they are.
        """
        if self._stream_uid < 0:
            linux = _data(self.config).get("linux") or {}
            op = next((op for op in self._template.plan.ops if op.name == "fix_stdio"), None)
            uid = op.args["uid"] if op is not None and host.privileged() else 0
            outside = cgroups.mapped(linux["uidMappings"], uid) if linux.get("uidMappings") else uid
            self._stream_uid = outside or 0
        return self._stream_uid

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """See `Session.usage_from`."""
        return self._cgroup.usage_from(texts)

    def ready(self, after_start: encode.AfterStart | None) -> _Ready:
        """Return the bytes for `after_start`, made at the first call."""
        key = (os.getpid(), after_start)
        found = self._ready.get(key)
        if found is None:
            found = self._ready[key] = _Ready(self.whole(self.hole), after_start, self._made)
        return found

    def keep_made(self, made: Mapping[str, bytes]) -> None:
        """Keep what host operations have made for one container, and that is the same for all."""
        # A filter that asks has a token of its own.
        if not self._made and not self._options.learn:
            self._made = {name: content for name, content in made.items() if name not in create.INTENT}
            self._ready = {}

    def _is_plain(self, config: Config, container_id: str) -> bool:
        """Return whether the cgroups are those of the plan, with another id: see `_fits`;
        with v1 root may write to all of them.
        """
        prepared = self._cgroup
        if self._options.rootless != "false" or prepared.unit is not None:
            return False
        if prepared.kind != V2:
            return True
        return self._fits(
            planning.choose_driver(config, container_id, self._options, host.cgroup_layout()), container_id
        )

    def _fits(self, cgroup: Driver, container_id: str) -> bool:
        """Return whether the cgroup is the prepared one with another id.

        It is not where the id cannot stand as it is (a unit's name has no "+"), where an ordinary user may write
        to other hierarchies than before, or where a group above has lost controllers.
        """
        prepared = self._cgroup
        known = [(name, path.replace(self.hole, container_id)) for name, path in prepared.directories()]
        if cgroup.directories() != known or cgroup.kind != prepared.kind:
            return False
        units = [driver.unit.name if driver.unit is not None else "" for driver in (prepared, cgroup)]
        if units[0].replace(self.hole, container_id) != units[1]:
            return False
        enabling = {path.replace(self.hole, container_id): names for path, names in prepared.enabling}
        return all(set(names) <= set(enabling.get(path, ())) for path, names in cgroup.enabling)


# What may differ without another plan, but for one operation.
_PATCHED = frozenset(("args", "env"))


class _Ready:
    """The encoded sides of one plan, with a hole for the id and one for the time."""

    __slots__ = ("created", "encoded", "record", "slots")

    def __init__(self, session: Session, after_start: encode.AfterStart | None, made: Mapping[str, bytes]) -> None:
        self.record = session.record
        self.slots = session.plan.slots
        self.created = session.record.created.encode()
        session.made.update(made)
        session.after_start = after_start
        self.encoded = session.encoded()

    def with_program(self, config: Config, program: Op) -> Encoded:
        """Return the same with another program, and with what is written down of it."""
        found = self.encoded.copy()
        # Empty where a filter is yet to be compiled: then the plan is encoded whole, with this program in it.
        if found.init:
            found.init = encode.patched(found.init, [(program.name, program.args)], INIT_OPS, self.slots, {})
        record = self.record.copy()
        record.late = [
            [*entry[:3], {"args": program.args["args"][:1]}] if entry[1] == "execute" else entry
            for entry in record.late
        ]
        files = [
            ("save_file", {"name": "config.json", "content": "config", "replace": 0}),
            ("save_file", {"name": "state.json", "content": "state", "replace": 1}),
        ]
        made = {"config": config.raw, "state": record.texts()[0].encode()}
        found.host = encode.patched(found.host, files, HOST_CALLS, self.slots, made)
        return found


class PreparedSession(Session):
    """The session of a prepared container; what only a failure or a hook needs is made when it is asked for."""

    def __init__(
        self,
        preparation: Preparation,
        container_id: str,
        config: Config | None = None,
        differs: frozenset[str] = frozenset(),
        program: Op | None = None,
    ) -> None:
        """Take what is ready.

        config, differs, program   of a container with a program of its own, as of `Preparation.session`
        """
        self._preparation = preparation
        self._id = container_id
        self._config, self._differs, self._program = config, differs, program
        self._whole: Session | None = None
        # Of the program, where that comes later; and whether the container has waited for it.
        self.args: list[str] = []
        self.was_ready = False
        self._begin()
        self.profile = (_data(config or preparation.config).get("linux") or {}).get("seccomp")

    def _made_whole(self) -> Session:
        if self._whole is None:
            self._whole = self._preparation.whole(self._id, self._config, self._differs)
            self.made.update(self._whole.made)
        return self._whole

    @property
    def plan(self) -> Plan:  # type: ignore[override]
        """The plan, with the program where that has come."""
        plan = self._made_whole().plan
        for place, op in enumerate(plan.ops):
            if op.name == "receive_program" and self.args:
                plan.ops[place] = type(op)(op.name, op.actor, op.pointer, {**op.args, "args": self.args}, why=op.why)
        return plan

    @property
    def record(self) -> Record:  # type: ignore[override]
        """The record."""
        return self._made_whole().record

    @property
    def cgroup(self) -> Driver:  # type: ignore[override]
        """The cgroup driver."""
        return self._made_whole().cgroup

    def plan_after_start(self) -> encode.AfterStart:
        """See `Session.whole_course`."""
        return self._preparation.plan_after_start()

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """See `Session.usage_from`."""
        return self._preparation.usage_from(texts)

    def _close_rest(self) -> None:
        if self._whole is not None:
            super()._close_rest()

    def give_plan(self) -> None:
        """See `Session.give_plan`; what was compiled for it is kept for others."""
        super().give_plan()
        self._preparation.keep_made(self.made)

    def encoded(self) -> Encoded:
        """See `Session.encoded`: what is ready, with this id."""
        ready = self._preparation.ready(self.after_start)
        hole, own = self._preparation.hole.encode(), self._id.encode()
        if self._config is not None and self._program is not None:
            if not ready.encoded.init:  # a filter is compiled on the way, for the first container
                self._made_whole()
                return super().encoded()
            made = ready.with_program(self._config, self._program)
        else:
            made = ready.encoded.copy()
        made.host = made.host.replace(hole, own).replace(ready.created, create.utc_now().encode())
        made.init = made.init.replace(hole, own)
        made.names = made.names.replace(hole, own)
        return made


def _known(facts: Facts) -> list[Any]:
    """Return facts as plain values, to be compared."""
    return [*(getattr(facts, name) for name in Facts.__slots__ if name != "layout"), *facts.layout.values()]


def _data(config: Config) -> dict[str, Any]:
    data: Any = config.data
    return data  # type: ignore[no-any-return]
