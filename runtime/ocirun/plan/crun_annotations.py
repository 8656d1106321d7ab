"""Annotations ``run.oci.*``: words of crun, which podman, CRI-O and their users write, and what each comes to here.

Each is honoured or refused, and one that is unknown gets a warning; this table is all that knows them.  One that is
refused asks for confinement, or for a place in the host, that the container would not have.
"""

from __future__ import annotations

from .._base.jsonio import pointer_token
from ..errors import Problem, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from ..errors import ConfigError
    from .builder import Builder

PREFIX = "run.oci."
_KEEP_GROUPS = PREFIX + "keep_original_groups"
_PIDFD_RECEIVER = PREFIX + "pidfd_receiver"
_CONTEXT_TYPE = PREFIX + "mount_context_type"
_FAIL_UNKNOWN = PREFIX + "seccomp_fail_unknown_syscall"
_RECEIVER = PREFIX + "seccomp.receiver"  # see also config/rules/seccomp.py
_HOOK_LOGS = (PREFIX + "hooks.stdout", PREFIX + "hooks.stderr")
_SUBGROUP = PREFIX + "systemd.subgroup"
_CONTEXTS = ("context", "fscontext", "defcontext", "rootcontext")
_SWITCH = {"1": True, "true": True, "0": False, "false": False}

HONOURED = {
    _KEEP_GROUPS: "the program keeps the supplementary groups of the caller; process.user.additionalGids are not set",
    _PIDFD_RECEIVER: "a pidfd of the container is sent to this socket",
    _CONTEXT_TYPE: "linux.mountLabel becomes this option of new file systems, in place of context",
    _FAIL_UNKNOWN: "a system call in linux.seccomp that libseccomp does not know is an error, not a warning",
    _RECEIVER: "the listener of linux.seccomp is sent to this socket, unless linux.seccomp.listenerPath names another",
    _HOOK_LOGS[0]: "what hooks write to standard output is appended to this file too; it is made if it is missing",
    _HOOK_LOGS[1]: "what hooks write to standard error is appended to this file too; it is made if it is missing",
    _SUBGROUP: "if empty, the container is in the unit of systemd itself, as always here",
}
"""name -> what it does, for `check`."""

REFUSED = {
    PREFIX + "handler": "the container would run without this handler (krun, wasm); use a runtime that has it",
    PREFIX + "seccomp_bpf_data": "a filter is made of linux.seccomp only; write it there",
    PREFIX + "seccomp.plugins": "no code is loaded into the runtime; set linux.seccomp.listenerPath",
    PREFIX + "systemd.force_cgroup_v1": "no hierarchy of cgroup v1 is mounted over that of v2; bind one by `mounts`",
    PREFIX + "delegate-cgroup": "the program is in the container's own cgroup; give it a cgroup namespace instead",
    PREFIX + "timens_offset": "set linux.timeOffsets, which is the specification's word for it",
}
"""name -> remedy."""


def pointer(name: str) -> str:
    """Return where an annotation is in config.json."""
    return f"/annotations/{pointer_token(name)}"


def _of(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the annotations of a config that are meant: name, value."""
    for name, value in (data.get("annotations") or {}).items():
        if name.startswith(PREFIX):
            yield name, value


def check(builder: Builder) -> None:
    """Add a warning for each annotation that is unknown.

    Raises UnsupportedError for one that is refused, ConfigError for a value that cannot be.
    """
    for name, value in _of(builder.data):
        place = pointer(name)
        if name in REFUSED or (name == _SUBGROUP and value):
            remedy = REFUSED.get(name, "leave it empty: the program is in the unit of systemd itself")
            raise UnsupportedError(f"{place}: {name} is not supported", pointer=place, remedy=remedy)
        if name in (_KEEP_GROUPS, _FAIL_UNKNOWN) and value not in _SWITCH:
            raise _wrong(builder, name, value, "1 or 0")
        if name == _CONTEXT_TYPE and value not in _CONTEXTS:
            raise _wrong(builder, name, value, f"one of {', '.join(_CONTEXTS)}")
        if name in (_PIDFD_RECEIVER, _RECEIVER, *_HOOK_LOGS) and value[:1] != "/":
            raise _wrong(builder, name, value, "an absolute path")
        if name not in HONOURED:
            text = "has no effect: is no annotation that ocirun knows"
            builder.warnings.append(Problem(place, text, warning=True))


def _wrong(builder: Builder, name: str, value: str, expected: str) -> ConfigError:
    return builder.error(pointer(name), f"must be {expected}, not {value!a}", expected=expected, found=value)


def notes(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (pointer, note) for each annotation of a sound config that is honoured."""
    for name, _ in _of(data):
        if name in HONOURED:
            yield pointer(name), HONOURED[name]


def _value(builder: Builder, name: str) -> str:
    value: str = (builder.data.get("annotations") or {}).get(name, "")
    return value


def keeps_groups(builder: Builder) -> bool:
    """Return whether setgroups(2) is left out."""
    return _SWITCH.get(_value(builder, _KEEP_GROUPS), False)


def keep_groups(builder: Builder) -> None:
    """Add a warning where groups are asked for that are not set."""
    if (builder.process.get("user") or {}).get("additionalGids"):
        text = f"are not set: the annotation {_KEEP_GROUPS} keeps the caller's groups"
        builder.warnings.append(Problem("/process/user/additionalGids", text, warning=True))


def fails_unknown(builder: Builder) -> bool:
    """Return whether a system call in the seccomp rules that libseccomp does not know is an error."""
    return _SWITCH.get(_value(builder, _FAIL_UNKNOWN), False)


def pass_pidfd(builder: Builder) -> None:
    """Plan that a pidfd of the container goes to the socket of the annotation, if there is one."""
    socket = _value(builder, _PIDFD_RECEIVER)
    if socket:
        builder.host("pass_pidfd", pointer(_PIDFD_RECEIVER), socket=socket)


def hook_logs(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the files to which standard output and standard error of hooks go too, "" for none."""
    annotations = data.get("annotations") or {}
    return annotations.get(_HOOK_LOGS[0], ""), annotations.get(_HOOK_LOGS[1], "")


def hook_log_pointer(stream: str) -> str:
    """Return where the file for "stdout" or "stderr" of hooks is in config.json."""
    return pointer(f"{PREFIX}hooks.{stream}")


def context_type(builder: Builder) -> str:
    """Return the option that labels a new file system."""
    return _value(builder, _CONTEXT_TYPE) or "context"
