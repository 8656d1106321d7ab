"""A plan with holes: built once, filled in for each of many containers.

The id is a hole by its letters: the plan is built for an id that nobody can
have guessed, and wherever these letters are in it, those of the real one go.
The parts of the config that may differ between two containers are known
(`PARTS`); a stretch of the builder that reads one which differs is run again,
the operations of the others are taken over.  What comes out is the plan that
`build` would make, operation for operation.
"""

from __future__ import annotations

from .build import STRETCHES, finished, need_process
from .builder import Builder
from .ops import Op, Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..cgroup.driver import Driver
    from .builder import Facts, Request

PARTS = frozenset().union(*(reads for _, reads in STRETCHES))
"""What may differ: ``args``, ``env``, ``cwd`` and ``rlimits`` of process, ``mounts``, ``resources`` of linux;
``annotations``, with ``readonly`` of root."""


# What a builder has of its own; the rest are notes of one stretch for a later one.
_OWN = frozenset(
    (
        *("data", "facts", "request", "cgroup", "process", "linux", "rootfs", "new", "joined"),
        *("ops", "slots", "inherited", "asked", "warnings"),
    )
)


class _Stretch:
    """What one stretch of the builder has made."""

    __slots__ = ("asked", "ops", "warnings")

    def __init__(self, ops: list[Op], asked: list[tuple[str, bool]], warnings: list[Any]) -> None:
        self.ops = ops
        self.asked = asked
        self.warnings = warnings


class Template:
    """The plan of a config for any id; a value that threads may share.

    plan   the plan with the letters of `hole` for the id
    """

    def __init__(self, data: dict[str, Any], facts: Facts, request: Request, cgroup: Driver) -> None:
        """Build it.

        data      the config, checked
        request   its container_id is the hole: letters that are nowhere else in config, facts and paths
        cgroup    the driver for that id; asked for its paths only
        Raises ConfigError and UnsupportedError.
        """
        self.hole = request.container_id
        b = Builder(data, facts, request, cgroup)
        if not request.detach:
            need_process(b)
        self._stretches: list[_Stretch] = []
        for stretch, _ in STRETCHES:
            ops, asked, warnings = len(b.ops), len(b.asked), len(b.warnings)
            stretch(b)
            self._stretches.append(_Stretch(b.ops[ops:], b.asked[asked:], b.warnings[warnings:]))
        self._base = b
        self.plan = finished(b)
        # The arguments with a hole, of each operation that has any.
        self._open = {id(op): self._open_arguments(op) for op in b.ops}
        self._open_places = [place for place, op in enumerate(b.ops) if self._open[id(op)]]

    def fill(self, container_id: str, data: dict[str, Any], differs: frozenset[str]) -> Plan:
        """Return the plan for a container.

        data      its config, checked
        differs   the PARTS of it that are not those of the template
        Raises ConfigError and UnsupportedError, as `build` does.
        """
        plan = self.plan if not differs else self._rebuilt(data, differs)
        ops = plan.ops.copy()
        for place in self._open_places if not differs else range(len(ops)):
            op = ops[place]
            # The template keeps its operations, so that no other one can have the id() of one of them.
            names = self._open.get(id(op))
            if names is None:
                names = self._open_arguments(op)
            if names:
                args = dict(op.args)
                for name in names:
                    args[name] = self._with_id(args[name], container_id)
                ops[place] = Op(op.name, op.actor, op.pointer, args, why=op.why)
        return Plan(ops, plan.slots, plan.inherited, plan.keep, list(plan.warnings))

    def _rebuilt(self, data: dict[str, Any], differs: frozenset[str]) -> Plan:
        base = self._base
        b = Builder(data, base.facts, base.request, base.cgroup)
        for name, value in vars(base).items():
            if name not in _OWN:
                setattr(b, name, value)
        for (stretch, reads), made in zip(STRETCHES, self._stretches, strict=True):
            if not reads.isdisjoint(differs):
                stretch(b)
                continue
            b.ops += made.ops
            b.warnings += made.warnings
            for name, inherited in made.asked:
                if inherited:
                    b.inherit(name)
                else:
                    b.slot(name)
        return finished(b)

    def _open_arguments(self, op: Op) -> list[str]:
        return [name for name, value in op.args.items() if self._has_hole(value)]

    def _has_hole(self, value: Any) -> bool:
        if isinstance(value, str):
            return self.hole in value
        if isinstance(value, dict):
            return any(map(self._has_hole, value.values()))
        return isinstance(value, (list, tuple)) and any(map(self._has_hole, value))

    def _with_id(self, value: Any, container_id: str) -> Any:
        if isinstance(value, str):
            return value.replace(self.hole, container_id)
        if isinstance(value, dict):
            return {key: self._with_id(item, container_id) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._with_id(item, container_id) for item in value)
        return value
