"""The bytes of a plan for its two sides, and what else goes to C with them."""

from __future__ import annotations

from ..plan import encode
from ..state import record as records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..cgroup.driver import Driver
    from ..plan.ops import Plan
    from ..state.record import Record


class Encoded:
    """What the two sides of one execution are given; a value.

    host       the operations of the host's side
    init       those of the helper, b"" where some of what they refer to is made on the way
    names      of all operations, for those who look how far it is
    stamps     number of the helper's operations
    keep       descriptors that the program keeps
    inherited  number of slots that the host fills
    fd_base    the descriptor of slot 0 in the helper
    has_init   the program is the child of an init of ours, which says how it ends
    """

    __slots__ = ("fd_base", "has_init", "host", "inherited", "init", "keep", "names", "stamps")

    def __init__(
        self, plan: Plan, made: Mapping[str, bytes], *, encoder: encode.Encoder, after_start: encode.AfterStart | None
    ) -> None:
        self.host = encode.host(plan, made, after_start)
        waits = any(op.name == "compile_seccomp" and op.args["filter"] not in made for op in plan.ops)
        self.init = b"" if waits else encoder(plan, made)
        self.names = records.names_bytes(plan.ops)
        self.stamps = encode.init_count(plan)
        self.keep = plan.keep
        self.inherited = plan.inherited
        self.fd_base = encode.fd_base(plan)
        # enum in csrc/module/native.cdef.h
        self.has_init = max((1 + op.args["keeps"] for op in plan.ops if op.name == "fork_program"), default=0)

    def copy(self) -> Encoded:
        """Return the same in an object of its own."""
        other = Encoded.__new__(Encoded)
        for name in self.__slots__:
            setattr(other, name, getattr(self, name))
        return other


def plan_after_start(plan: Plan, record: Record, cgroup: Driver) -> encode.AfterStart:
    """Return what follows the start of a run that is one call:
    also its removal, if nothing in that decides or talks.
    """
    plain = "poststop" not in record.hooks and record.host_mounts is None and cgroup.unit is None
    if not plain or any(op.name == "make_rdt_group" for op in plan.ops):
        return encode.AfterStart(processor=cgroup.processor_file())
    return encode.AfterStart(cgroup.usage_files(), processor=cgroup.processor_file(), removes=True)


def milliseconds(timeout: float | None) -> int:
    """Return a time-out in seconds for struct host;
    0 is no limit, and so are more nanoseconds than a signed word has.
    """
    return max(1, int(timeout * 1000)) if timeout is not None and timeout <= 1e9 else 0
