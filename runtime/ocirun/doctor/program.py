"""What is done for the program of a container: devices, a host name, rights; nothing of it outlives the helper."""

from __future__ import annotations

from errno import EPERM

from ..host import facts
from ..plan import constants as c
from . import causes
from .attempt import Step, op
from .check import OK, PROGRAM, REFUSED, UNTRIED, USER_PROGRAM, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .attempt import Failure
    from .situation import Situation

LOOPBACK = "loopback"
HOSTNAME = "host name"
KEYRING = "session keyring"
HIDING = "hidden files"
DEVICES = "devices"
GROUPS = "groups"
CAPABILITIES = "capabilities"
# The namespaces that they belong to.
_NEEDS = {LOOPBACK: c.CLONE_NEWNET, HOSTNAME: c.CLONE_NEWUTS}
# Without a user namespace.
_RIGHTS = {
    LOOPBACK: "CAP_NET_ADMIN",
    HOSTNAME: "CAP_SYS_ADMIN",
    DEVICES: "CAP_MKNOD",
    GROUPS: "CAP_SETGID",
    CAPABILITIES: "CAP_SETPCAP",
}
# Numbers of the device that is made, and those that are bound where none can be.
_NULL = (1, 3)
_BOUND = ("null", "zero", "full", "random", "urandom", "tty")


def names(s: Situation, *, user: bool) -> tuple[str, ...]:
    """Tell what is tried.

    user   in a user namespace: devices are made on the host for root, and there may be no groups, as in one around us
    """
    both = (HOSTNAME, KEYRING, HIDING)
    if user:
        return (*both, *(() if s.privileged else (DEVICES,)), CAPABILITIES)
    return (LOOPBACK, *both, DEVICES, *((GROUPS,) if s.privileged else ()), CAPABILITIES)


def steps(s: Situation, flags: int, first: str, root: str, *, user: bool) -> tuple[list[Step], list[Step]]:
    """Return the steps before the change of root, and those after it, of which the last gives up all rights.

    flags   CLONE_NEW* of the helper's namespaces
    first   name of the step without which nothing can be tried
    root    name of the change of root
    """
    null = op("make_node", root="root", path="/null", mode=0o20666, device=_NULL, owner=(0, 0))
    bound = [op("clone_tree", slot="mount", path=f"/dev/{name}", recursive=0, root=None) for name in _BOUND]
    binds = user or not s.privileged
    ops = {
        LOOPBACK: [op("loopback_up")],
        HOSTNAME: [op("set_hostname", name="ocirun-doctor")],
        KEYRING: [op("join_keyring", name="_ses.ocirun-doctor")],
        HIDING: bound[:1],
        DEVICES: bound if binds else [null],
        GROUPS: [op("set_groups", gids=[])],
        CAPABILITIES: [
            op("drop_bounding", keep=0, last=facts.last_capability()),
            op("set_ids", uid=0, gid=0),
            op("set_capabilities", effective=0, permitted=0, inheritable=0, ambient=0),
        ],
    }
    late = (GROUPS, CAPABILITIES) if binds else (DEVICES, GROUPS, CAPABILITIES)
    made = [name for name in names(s, user=user) if not _NEEDS.get(name, 0) & ~flags]
    found = [Step(name, ops[name], after=[root if name == DEVICES and not binds else first]) for name in made]
    return [step for step in found if step.name not in late], [step for step in found if step.name in late]


def answers(s: Situation, found: dict[str, Failure | None], why: str, *, user: bool) -> list[Check]:
    """Return the answers of the steps.

    why   nothing could be tried, "" where that is not so
    """
    group = USER_PROGRAM if user else PROGRAM
    return [_answer(s, group, name, found, why, user=user) for name in names(s, user=user)]


def _answer(s: Situation, group: str, name: str, found: dict[str, Failure | None], why: str, *, user: bool) -> Check:
    if why or name not in found:
        lacks = (
            "the namespace that it belongs to cannot be made" if name in _NEEDS else "something before it is refused"
        )
        return Check(group, name, UNTRIED, why or lacks)
    failure = found[name]
    if failure is None:
        return Check(group, name, OK)
    right = "" if user else _RIGHTS.get(name, "")
    if right and failure.errno == EPERM and not s.capabilities >> c.CAPABILITIES[right] & 1:
        note, remedy = causes.lacks(right)
    else:
        note, remedy = causes.in_namespaces(failure, s, user=user)
    return Check(group, name, REFUSED, note, remedy=remedy, call=failure.call, errno=failure.errno)


def needed(*, user: bool) -> tuple[str, ...]:
    """Tell what a plain `run` needs of these, by what `ocirun spec` writes."""
    both = (HOSTNAME, KEYRING, HIDING, DEVICES, CAPABILITIES)
    return both if user else (LOOPBACK, *both, GROUPS)
