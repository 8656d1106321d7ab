"""Compile the rules of a seccomp filter to machine code of the kernel's packet filter (BPF)."""

from __future__ import annotations

import os
from struct import Struct

from ...errors import ConfigError, Problem, UnsupportedError, errno_words
from ...host import libseccomp
from ...plan.process.seccomp import PLACE, action_text
from .program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# linux/bpf_common.h: the kernel takes at most so many instructions
LIMIT = 4096
# struct sock_filter: code, jumps if true and if false, operand
INSTRUCTION = Struct("=HBBI")
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_NOT_LESS, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
# struct seccomp_data
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ERRNO_ENOSYS = 0x00050000 | 38

# asm/unistd.h: calls of the x32 ABI have this bit, and share AUDIT_ARCH_X86_64.
_X32_BIT = 0x40000000
_AUDIT_ARCH_X86_64 = 0xC000003E
_X32_TOKEN = 0x4000003E
# From so many rules on a tree is quicker than one comparison after the other.
_TREE_FROM = 32


def compile_rules(default: list[Any], architectures: list[str], rules: list[dict[str, Any]], newer: str) -> Program:
    """Return the filter of an operation `compile_seccomp`; its arguments.

    Raises UnsupportedError for what libseccomp or the kernel does not know, ConfigError for rules that cannot
    go together, HostError without libseccomp.
    """
    library = libseccomp.load()
    tokens = _tokens(library, architectures)
    numbers = {name: library.number(name.encode()) for rule in rules for name in rule["names"]}
    unknown = [name for name, number in numbers.items() if number == libseccomp.UNKNOWN_CALL]
    code = _rules_code(library, default, tokens, rules, numbers)
    if newer:
        code = _newer_code(_last_numbers(library, list(tokens.values()), numbers)) + code
    if len(code) > LIMIT * INSTRUCTION.size:
        count = len(code) // INSTRUCTION.size
        raise UnsupportedError(f"{PLACE}: is {count} instructions long; the kernel takes {LIMIT}", pointer=PLACE)
    return Program(code, unknown)


def unknown_error(names: list[str]) -> UnsupportedError:
    """Return the error for system calls that libseccomp does not know, where they may not be left out."""
    pointer = f"{PLACE}/syscalls"
    text = f"{pointer}: not known to libseccomp {libseccomp.load().version}: {', '.join(names)}"
    remedy = "take them out, or leave out the annotation run.oci.seccomp_fail_unknown_syscall"
    return UnsupportedError(text, pointer=pointer, remedy=remedy)


def _tokens(library: libseccomp.Libseccomp, architectures: list[str]) -> dict[str, int]:
    """Return the architectures by name, the machine's own first: it is always meant."""
    tokens = {"native": library.native}
    for index, word in enumerate(architectures):
        token = library.architecture(word)
        if not token:
            pointer = f"{PLACE}/architectures/{index}"
            text = f"{pointer}: {word} is not known to libseccomp {library.version}"
            raise UnsupportedError(text, pointer=pointer)
        if token != library.native:
            tokens[word] = token
    return tokens


def _rules_code(
    library: libseccomp.Libseccomp,
    default: list[Any],
    tokens: dict[str, int],
    rules: list[dict[str, Any]],
    numbers: dict[str, int],
) -> bytes:
    fallback = _action(default)
    target = library.filter(fallback)
    try:
        for word, token in list(tokens.items())[1:]:
            result = target.add_architecture(token)
            if result < 0:
                text = f"{PLACE}/architectures: {word} cannot be filtered on this machine: {errno_words(-result)}"
                raise UnsupportedError(text, pointer=f"{PLACE}/architectures")
        if len(numbers) > _TREE_FROM:
            target.use_tree()
        for rule in rules:
            action = _action(rule["action"])
            # libseccomp refuses a rule that changes nothing.
            if action != fallback:
                _add(target, rule, action, numbers)
        return _export(target)
    finally:
        target.close()


def _action(action: list[Any]) -> int:
    value: int = action[1]
    return libseccomp.ACTIONS[action[0]] | value


def _add(target: libseccomp.Filter, rule: dict[str, Any], action: int, numbers: dict[str, int]) -> None:
    args = rule.get("args") or []
    conditions = libseccomp.conditions(args)
    names = [(numbers[name], index, name) for index, name in enumerate(rule["names"])]
    # The highest number first: libseccomp keeps a sorted list, and walks along it to the place of each.
    for number, index, name in sorted(names, reverse=True):
        if number == libseccomp.UNKNOWN_CALL:
            continue
        result = target.add(action, number, len(args), conditions)
        if result < 0:
            pointer = f"{PLACE}/syscalls/{rule['place']}"
            text = f"{action_text(rule['action'])} for {name} cannot be added: {errno_words(-result)}"
            raise ConfigError([Problem(f"{pointer}/names/{index}", text, found=name)])


def _export(target: libseccomp.Filter) -> bytes:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    try:
        target.export(fd)
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _last_numbers(library: libseccomp.Libseccomp, tokens: list[int], numbers: dict[str, int]) -> dict[int, int]:
    """Return the highest number that the profile knows, by architecture."""
    last = {}
    names = [name.encode() for name, number in numbers.items() if number != libseccomp.UNKNOWN_CALL]
    for token in tokens:
        highest = max((library.number_on(token, name) for name in names), default=-1)
        if highest >= 0:
            last[token] = highest
    return last


def _newer_code(last: dict[int, int]) -> bytes:
    """Return instructions for the front of a filter: ENOSYS for numbers above those that the profile names.

    Whoever wrote the profile had not heard of such a call, and so has not decided anything.  Denied with
    EPERM, as the default of most profiles has it, libraries take the call for forbidden and give up; with
    ENOSYS they use the older one.
    """
    parts: list[list[tuple[int, int, int, int]]] = [[(_LOAD, 0, 0, _ARCHITECTURE_AT)]]
    x32 = last.pop(_X32_TOKEN, None)
    for token, highest in last.items():
        section = [(_LOAD, 0, 0, _NUMBER_AT)]
        if token == _AUDIT_ARCH_X86_64:
            # Numbers with the x32 bit: compared with those of x32, or left to the filter, which kills.
            section.append((_JUMP_NOT_LESS, 0, 1, _X32_BIT))
            section.append((_JUMP_GREATER, 1, 2, 0xFFFFFFFF if x32 is None else x32))
        section.append((_JUMP_GREATER, 0, 1, highest))
        section.append((_RETURN, 0, 0, _ERRNO_ENOSYS))
        section.append((_JUMP, 0, 0, -1))
        parts.append([(_JUMP_EQUAL, 0, len(section), token), *section])
    flat = [one for part in parts for one in part]
    # -1 is the end: the filter itself, which begins by loading what it needs.
    code = [(op, yes, no, len(flat) - at - 1 if value == -1 else value) for at, (op, yes, no, value) in enumerate(flat)]
    return b"".join(INSTRUCTION.pack(*one) for one in code)
