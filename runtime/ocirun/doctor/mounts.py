"""What goes on in a mount namespace: file systems, the change of root, a terminal; all of it goes with the helper."""

from __future__ import annotations

import os
from errno import EPERM

from .._native import lib
from ..errors import HostError, errno_words
from ..execute.ids import idmount
from ..plan import constants as c
from ..plan.ops import OPEN_CREATE, OPEN_DIRECTORY
from ..state import record
from . import causes, ids, program
from .attempt import Failure, Step, op, run
from .check import MOUNTS, OK, REFUSED, UNTRIED, USER_MOUNTS, Check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..execute.spawn import Helper
    from ..plan.ops import Op
    from .situation import Situation

PIVOT = "change of root"
TERMINAL = "terminal"
IDMAP = "id-mapped"
WATCH = "first process in /proc"
# Namespaces that the attempts make use of, as far as they can be made.
WITH = ("mount", "pid", "network", "ipc", "uts")
_START, _SLAVE = "start", "propagation"
_PLAIN = ("bind", "proc", "sysfs", "tmpfs", "mqueue", "devpts")
_NEEDS = {"sysfs": c.CLONE_NEWNET, "mqueue": c.CLONE_NEWIPC, "proc": c.CLONE_NEWPID}
_OPTIONS: dict[str, list[tuple[str, str | None]]] = {
    "devpts": [("newinstance", None), ("ptmxmode", "0666"), ("mode", "0620")],
    "sysfs": [("ro", None)],
    "tmpfs": [("mode", "755"), ("size", "64k")],
}


def mounts(s: Situation, flags: int, *, user: bool, idmap: bool = False) -> list[Check]:
    """Try one of the two ways to a mount namespace.

    flags   CLONE_NEW* of the namespaces that can be made; without that for mounts nothing is tried
    user    in a user namespace
    idmap   there can be one for the mapping of a mount
    """
    group = USER_MOUNTS if user else MOUNTS
    names = [*_PLAIN, PIVOT, TERMINAL, "overlay", WATCH, *(() if user else (IDMAP,))]
    if not flags & c.CLONE_NEWNS:
        return _untried(s, group, names, "there is no mount namespace", user=user)
    try:
        found = run(_steps(s, flags, user=user, idmap=idmap), flags=flags | (c.CLONE_NEWUSER if user else 0))
    except HostError as error:
        found = {_START: Failure.of(error)}
    broken = found.get(ids.OWN if user else _START)
    if broken is not None:
        return _untried(s, group, names, broken.words, user=user)
    answers = [_answer(s, group, name, found, user=user) for name in names]
    return answers + program.answers(s, found, "", user=user)


def _untried(s: Situation, group: str, names: list[str], why: str, *, user: bool) -> list[Check]:
    return [*(Check(group, name, UNTRIED, why) for name in names), *program.answers(s, {}, why, user=user)]


def _answer(s: Situation, group: str, name: str, found: dict[str, Failure | None], *, user: bool) -> Check:
    kind = name if name in (*_PLAIN, "overlay") else ""
    if name not in found:
        # What it depends on was refused: that of the mounts' propagation is told as that of the root.
        if name == PIVOT and (failure := found.get(_SLAVE)):
            note, remedy = causes.mount(kind, failure, s, user=user)
            return Check(group, name, REFUSED, note, remedy=remedy, call=failure.call, errno=failure.errno)
        why = "the root cannot be changed" if found.get(PIVOT, found.get(_SLAVE)) else "something before it is refused"
        if name in _NEEDS:
            why = "the namespace that it belongs to cannot be made"
        if name == IDMAP:
            why = "there is no user namespace for the mapping"
        return Check(group, name, UNTRIED, why)
    failure = found[name]
    if failure is None:
        return Check(group, name, OK)
    if name == IDMAP and failure.call != "open_tree":
        right = ids.lacking(s, failure.words) if failure.errno == EPERM else ""
        note, remedy = causes.lacks(right) if right else (failure.words, failure.remedy)
    elif name == WATCH:
        note, remedy = _unseen(failure, s)
    else:
        note, remedy = causes.mount(kind, failure, s, user=user)
    return Check(group, name, REFUSED, note, remedy=remedy, call=failure.call, errno=failure.errno)


def _unseen(failure: Failure, s: Situation) -> causes.Cause:
    if s.proc_options:
        text = f"/proc is mounted with {', '.join(s.proc_options)} and does not show the container's first process"
        return text, "`mount -o remount,hidepid=0 /proc`, as root; or give ocirun CAP_SYS_PTRACE"
    return failure.words, failure.remedy


def _steps(s: Situation, flags: int, *, user: bool, idmap: bool) -> list[Step]:
    first = ids.OWN if user else _START
    steps = [ids.own_step(s) if user else Step(_START, [op("guard")])]
    early, late = program.steps(s, flags, first, PIVOT, user=user)
    bind = [
        op("clone_tree", slot="mount", path="/", recursive=1, root=None),
        op("set_mount_attr", slot="mount", set=c.MOUNT_ATTR_NOSUID),
    ]
    steps += [Step("bind", bind, after=[first]), *early]
    steps.append(Step(WATCH, [op("sync")], acts=[_look], after=[first]))
    if idmap:
        shown = [op("clone_tree", slot="mount", path="/", recursive=1, root=None), op("send_fd", slot="mount", keep=0)]
        steps.append(Step(IDMAP, shown, acts=[_map], after=[first]))
    for kind in _PLAIN[1:]:
        if kind not in _NEEDS or flags & _NEEDS[kind]:
            steps.append(Step(kind, [_new(kind)], after=[first]))
    # Slave: nothing that is attached from here on reaches the host.
    steps.append(Step(_SLAVE, [op("propagate", path="/", flags=c.MS_SLAVE | c.MS_REC)], after=[first]))
    root = [
        _new("tmpfs", slot="root"),
        op("open_root", slot="target", path="/", enter=0),
        op("attach", slot="root", target="target"),
        op("pivot", root="root"),
    ]
    steps.append(Step(PIVOT, root, after=[_SLAVE, "tmpfs"]))
    console = [
        _directory("/dev/pts"),
        _new("devpts"),
        op("attach", slot="mount", target="target"),
        op("open_console", root="root", master="master", slave="slave", size=0, uid=0),
    ]
    steps.append(Step(TERMINAL, console, after=[PIVOT, "devpts"]))
    layers = [("lowerdir", "/lower"), ("upperdir", "/upper"), ("workdir", "/work")]
    overlay = [*(_directory(path) for _, path in layers), _new("overlay", options=layers)]
    steps.append(Step("overlay", overlay, after=[PIVOT]))
    return steps + late


def _new(kind: str, *, slot: str = "mount", options: Any = None) -> Op:
    attributes = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC | (c.MOUNT_ATTR_RDONLY if kind == "sysfs" else 0)
    values = [("source", kind), *(_OPTIONS.get(kind, ()) if options is None else options)]
    return op("new_filesystem", slot=slot, type=kind, options=values, attributes=attributes, mode_from=None)


def _directory(path: str) -> Op:
    return op("open_path", slot="target", root="root", path=path, flags=OPEN_CREATE | OPEN_DIRECTORY, like=None)


def _look(helper: Helper, _: int) -> None:
    """Ask what every later command asks: whether the container's first process is still that one."""
    record.process_stat(helper.pid)


def _map(_: Helper, mount: int) -> None:
    namespace = idmount.user_namespace("0 0 1\n", "0 0 1\n")
    try:
        result = lib.ocirun_mount_setattr(mount, 0, c.MOUNT_ATTR_IDMAP, 0, namespace)
    finally:
        os.close(namespace)
    if result < 0:
        text = f"of the file system of /: mount_setattr: {errno_words(-result)}"
        raise HostError(text, call="mount_setattr", errno=-result, remedy=idmount.remedy(-result))


def needed(*, user: bool) -> tuple[str, ...]:
    """Tell what a plain `run` needs of these, by what `ocirun spec` writes."""
    plain = tuple(kind for kind in _PLAIN if not user or kind != "sysfs")
    return (*plain, PIVOT, TERMINAL, WATCH)
