"""The seccomp filter: what is to be compiled, with which flags it is loaded, and when.

Sources: runtime-spec config-linux.md "Seccomp", seccomp(2), seccomp_unotify(2).
The rules themselves become machine code in the host operation `compile_seccomp`
(execute/seccomp/compiler.py), as the library that knows the numbers of system calls is
one of the host's.
"""

from __future__ import annotations

from errno import ENOSYS, EPERM

from ...config.rules.seccomp import listener as listener_of
from ...errors import UnsupportedError, option
from ..builder import join
from ..crun_annotations import fails_unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..builder import Builder

PLACE = "/linux/seccomp"
FILTER = "filter"
NOTIFY = "SCMP_ACT_NOTIFY"

# linux/seccomp.h
FLAG_TSYNC = 1
FLAG_LOG = 2
FLAG_SPEC_ALLOW = 4
FLAG_NEW_LISTENER = 8
FLAG_WAIT_KILLABLE_RECV = 32
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": FLAG_TSYNC,  # Linux 3.17
    "SECCOMP_FILTER_FLAG_LOG": FLAG_LOG,  # 4.14
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FLAG_SPEC_ALLOW,  # 4.17
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": FLAG_WAIT_KILLABLE_RECV,  # 5.19
}
_WORDS = {**FLAGS, "SECCOMP_FILTER_FLAG_NEW_LISTENER": FLAG_NEW_LISTENER}

_WITH_VALUE = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
# A program is not denied anything by these, and a tracer may know new calls itself.
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")
_SYS_ADMIN = 21
# Rules with more names than this are counted in `summary`, not listed.
_LISTED = 8
# What a learning run without a profile is compiled of: all is asked about.
_NO_PROFILE: dict[str, Any] = {"defaultAction": NOTIFY}


def compile_filter(builder: Builder) -> None:
    """Add the operation that compiles the rules.  Raises UnsupportedError for what the kernel cannot do."""
    if builder.request.learn:
        _check_learning(builder)
    pointer = place_of(builder)
    name = pointer or "learn"
    block = builder.linux.get("seccomp") or _NO_PROFILE
    if builder.facts.seccomp_flags < 0:
        raise UnsupportedError(
            f"{name}: the kernel has no seccomp filters, or does not let us use them", pointer=pointer
        )
    able = builder.user_namespace or builder.facts.capabilities >> _SYS_ADMIN & 1
    if not builder.process.get("noNewPrivileges") and not able:
        raise UnsupportedError(
            f"{name}: loading a filter takes CAP_SYS_ADMIN, which the runtime does not have",
            pointer=pointer,
            remedy="set process.noNewPrivileges, or give the container a user namespace",
        )
    default = _action(block["defaultAction"], block.get("defaultErrnoRet"))
    newer = ""
    if default[0] not in (*_PERMISSIVE, NOTIFY) and default != ["SCMP_ACT_ERRNO", ENOSYS]:
        newer = "ENOSYS"
    builder.host(
        "compile_seccomp",
        pointer,
        why="a program goes on without system calls that are newer than the profile, if they give ENOSYS" * bool(newer),
        filter=FILTER,
        default=default,
        architectures=list(block.get("architectures") or ()),
        rules=[one for at, rule in enumerate(block.get("syscalls") or ()) for one in _rules(at, rule)],
        newer=newer,
        unknown="error" if fails_unknown(builder) else "",
        learn=builder.request.learn,
    )


def place_of(builder: Builder) -> str:
    """Return where the filter is in the config; "" for that of a learning run without one."""
    return PLACE if builder.linux.get("seccomp") else ""


def _check_learning(builder: Builder) -> None:
    """Raise UnsupportedError for what cannot be asked about."""
    block = builder.linux.get("seccomp") or {}
    for index, rule in enumerate(block.get("syscalls") or ()):
        if rule["action"] == NOTIFY:
            raise _not_learning(
                f"{PLACE}/syscalls/{index}/action", f"{NOTIFY} needs the only listener for its own agent"
            )
    if block and (found := listener_of(builder.data))[1]:
        raise _not_learning(found[0], "the kernel allows one listener, and ours takes its place")
    if (builder.data.get("hooks") or {}).get("startContainer"):
        text = "these hooks have the program's filter, and end before anybody answers what they ask"
        raise _not_learning("/hooks/startContainer", text)
    if block and builder.request.learn == "refuse" and not _allows(block, "execve"):
        raise _not_learning(PLACE, "it does not allow execve, so the program would not even start")
    flags = builder.facts.seccomp_flags
    if flags >= 0 and not flags & FLAG_NEW_LISTENER:
        raise UnsupportedError("learn: the kernel has no listeners for seccomp filters, which are of Linux 5.0")


def _allows(block: Mapping[str, Any], name: str) -> bool:
    """Return whether a profile allows a call, with some arguments at least."""
    actions = [(rule["action"], rule.get("args")) for rule in block.get("syscalls") or () if name in rule["names"]]
    if any(action in _PERMISSIVE for action, _ in actions):
        return True
    return block["defaultAction"] in _PERMISSIVE and all(args for _, args in actions)


def _not_learning(pointer: str, reason: str) -> UnsupportedError:
    return UnsupportedError(
        f"{pointer}: cannot be there in a learning run: {reason}",
        pointer=pointer,
        remedy=f"take it out, or run without {option('learn')}",
    )


def _action(name: str, value: int | None) -> list[Any]:
    """Return an action and the value it returns, 0 where it has none.  KILL is the old name of KILL_THREAD."""
    if name == "SCMP_ACT_KILL":
        name = "SCMP_ACT_KILL_THREAD"
    if name not in _WITH_VALUE:
        return [name, 0]
    return [name, EPERM if value is None else value]


def _rules(place: int, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one entry of ``syscalls``; its number there goes with it.

    All conditions must hold, but where two are on the same argument, any: libseccomp has no other way, and
    runc and crun do the same.
    """
    action = _action(rule["action"], rule.get("errnoRet"))
    out: dict[str, Any] = {"place": place, "action": action, "names": list(rule["names"])}
    args = [[arg["index"], arg["op"], arg["value"], arg.get("valueTwo", 0)] for arg in rule.get("args") or ()]
    if len({arg[0] for arg in args}) < len(args):
        return [{**out, "args": [arg]} for arg in args]
    return [{**out, "args": args} if args else out]


def notifies(builder: Builder) -> bool:
    """Return whether the filter needs a listener."""
    return any(rule["action"] == NOTIFY for rule in builder.linux["seccomp"].get("syscalls") or ())


def add_filter(builder: Builder, status: str) -> None:
    """Add the operations that load the filter, and send its listener away.

    status   of the container, for the listener
    """
    if builder.request.learn:
        flags, _ = _flags(builder, listener=True)
        flags |= FLAG_NEW_LISTENER | builder.facts.seccomp_flags & FLAG_WAIT_KILLABLE_RECV
        builder.init(
            "hold_seccomp", place_of(builder), why=_LEARNING[builder.request.learn], filter=FILTER, flags=flags
        )
        return
    listener = notifies(builder)
    flags, why = _flags(builder, listener)
    if not listener:
        builder.init("hold_seccomp", PLACE, why=why, filter=FILTER, flags=flags)
        return
    block = builder.linux["seccomp"]
    builder.init("load_seccomp", PLACE, why=why, filter=FILTER, flags=flags | FLAG_NEW_LISTENER)
    place, path = listener_of(builder.data)
    builder.host(
        "pass_listener",
        place,
        socket=join(builder.request.bundle, path),
        metadata=block.get("listenerMetadata") or "",
        status=status,
    )


def _flags(builder: Builder, listener: bool) -> tuple[int, str]:
    """Return the flags of seccomp(2), and why they are not those of the config."""
    wanted = (builder.linux.get("seccomp") or {}).get("flags")
    known = builder.facts.seccomp_flags
    if wanted is None:
        if known & FLAG_SPEC_ALLOW:
            return FLAG_SPEC_ALLOW, "without `flags` the choice is ours: no mitigation that slows the program down"
        return 0, "without `flags` the choice is ours, and the kernel has none that we would set"
    flags = 0
    reasons = []
    for index, name in enumerate(wanted):
        flag = FLAGS[name]
        if not known & flag:
            pointer = f"{PLACE}/flags/{index}"
            raise UnsupportedError(f"{pointer}: {name} is not known to this kernel", pointer=pointer)
        if flag == FLAG_TSYNC:
            reasons.append("TSYNC has nothing to do, as the process has one thread")
        elif flag == FLAG_WAIT_KILLABLE_RECV and not listener:
            reasons.append("WAIT_KILLABLE_RECV is for filters with SCMP_ACT_NOTIFY")
        else:
            flags |= flag
    return flags, "; ".join(reasons)


def flag_words(flags: int) -> str:
    """Return flags of seccomp(2) as the words of the kernel, without what all begin with."""
    words = [name.removeprefix("SECCOMP_FILTER_FLAG_") for name, flag in _WORDS.items() if flags & flag]
    return ",".join(words) or "none"


def action_text(action: list[Any]) -> str:
    """Return ``ERRNO(38)``."""
    name: str = action[0].removeprefix("SCMP_ACT_")
    return f"{name}({action[1]})" if action[0] in _WITH_VALUE else name


def summary(args: Mapping[str, Any]) -> str:
    """Return the arguments of `compile_seccomp` in one line: short rules in full, others counted."""
    parts = [f"default={action_text(args['default'])}"]
    if args["learn"]:
        parts.append(f"learn={args['learn']}")
    if args["unknown"]:
        parts.append(f"unknown={args['unknown']}")
    if args["newer"]:
        parts.append(f"newer={args['newer']}")
    if args["architectures"]:
        parts.append("architectures=" + ",".join(name.removeprefix("SCMP_ARCH_") for name in args["architectures"]))
    for rule in args["rules"]:
        names = rule["names"]
        shown = ",".join(names) if len(names) <= _LISTED else f"{len(names)} calls"
        conditions = " and ".join(_condition(arg) for arg in rule.get("args", ()))
        parts.append(f"{action_text(rule['action'])}: {shown}" + (f" if {conditions}" if conditions else ""))
    return "; ".join(parts)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return what differs between the arguments of two `compile_seccomp`, in lines: each system call by name."""
    lines = []
    for name in ("default", "unknown", "newer", "learn"):
        before, after = (args[name] if name != "default" else action_text(args[name]) for args in (old, new))
        if before != after:
            lines.append(f"{name}: {before or 'none'} -> {after or 'none'}")
    sets = [{"architectures": args["architectures"], **_calls(args["rules"])} for args in (old, new)]
    for title in {**sets[0], **sets[1]}:
        before, after = (found.get(title, []) for found in sets)
        parts = [f"-{name}" for name in before if name not in after] + [
            f"+{name}" for name in after if name not in before
        ]
        if parts:
            lines.append(f"{title}: {' '.join(parts)}")
    return lines or ["rules: in another order"]


def _calls(rules: list[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for rule in rules:
        conditions = " and ".join(_condition(arg) for arg in rule.get("args", ()))
        title = action_text(rule["action"]) + (f" if {conditions}" if conditions else "")
        found.setdefault(title, []).extend(rule["names"])
    return found


_LEARNING = {
    "allow": "a learning run: what the profile refuses is asked about, listed, and let through",
    "refuse": "a learning run: what the profile refuses is asked about, listed, and refused",
}
_SIGNS = {"NE": "!=", "LT": "<", "LE": "<=", "EQ": "==", "GE": ">=", "GT": ">"}


def _condition(arg: list[Any]) -> str:
    index, operator, value, two = arg
    word = operator.removeprefix("SCMP_CMP_")
    if word == "MASKED_EQ":
        return f"arg{index} & {value:#x} == {two:#x}"
    return f"arg{index} {_SIGNS[word]} {value}"
