"""The audit of one config: all checks, in an order in which each may rely on those before it."""

from __future__ import annotations

import os

from .._base.jsonio import JsonError, loads
from ..config import load
from ..config.check import check, part_is_sound
from ..config.report import LIMIT, describe
from ..errors import ConfigError, HostError, UnsupportedError, errno_words
from . import hints, missing, peers
from .findings import CONFIG, ERROR, HOST, MOUNTS, NOTE, PEERS, WARNING, Audit, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import Problem
    from ..execute.options import CreateOptions

_UNKNOWN = "is not a key of the spec"


def audit(raw: bytes, *, path: str, bundle: str, root: str, options: CreateOptions, thorough: bool = False) -> Audit:
    """Return everything there is to say about a config.

    raw       the bytes of the file
    path      where they are from, for people
    bundle    absolute path of the bundle; relative paths of the config start here
    root      the state root, as for `create`
    options   as for `create`; they decide over the plan
    thorough  ask JSON Schema for a second opinion, which takes twenty times as long as all the rest
    """
    findings: list[Finding] = []
    if len(raw) > load.SIZE_LIMIT:
        text = f"has {len(raw)} bytes, the limit is {load.SIZE_LIMIT} (16 MiB)"
        return Audit(path, [Finding(ERROR, CONFIG, "", text)])
    try:
        data: Any = loads(raw)
    except JsonError as error:
        findings.append(Finding(ERROR, CONFIG, "", f"not JSON as the spec asks for it: {error}"))
        findings += [Finding(NOTE, PEERS, pointer, note) for pointer, note in peers.on_text(error.reason)]
        return Audit(path, findings)
    if not isinstance(data, dict):
        return Audit(path, [Finding(ERROR, CONFIG, "", f"must be an object, not {describe(data)}")])
    problems = check(data, unknown=True)
    findings += [_with_hint(problem) for problem in problems]
    sound = all(problem.warning for problem in problems)
    options_found = _mount_options(data)
    findings += options_found
    if sound and not any(finding.severity == ERROR for finding in options_found):
        findings += _on_this_host(raw, path=path, bundle=bundle, root=root, options=options, known=findings)
    if thorough:
        from . import schema

        findings += schema.opinion(data)
    findings += [Finding(NOTE, CONFIG, pointer, note) for pointer, note in missing.notes(data)]
    if part_is_sound(data, "annotations"):
        from ..plan import crun_annotations

        findings += [Finding(NOTE, CONFIG, pointer, note) for pointer, note in crun_annotations.notes(data)]
    seen: set[tuple[str, str]] = set()
    for entry in peers.notes(data, problems):
        if entry not in seen:
            seen.add(entry)
            findings.append(Finding(NOTE, PEERS, *entry))
    return Audit(path, findings)


def _with_hint(problem: Problem) -> Finding:
    finding = Finding.of(problem, CONFIG)
    if problem.warning and problem.message.startswith(_UNKNOWN):
        help_text = hints.hint(problem.pointer)
        finding.message = f"{_UNKNOWN} and is ignored" + (f"; {help_text}" if help_text else "")
    return finding


def _mount_options(data: dict[str, Any]) -> list[Finding]:
    """Return the option strings of every mount; `create` ends at the first mount that is wrong."""
    from ..plan.mounts import options as o
    from ..plan.mounts import words as mountwords

    found: list[Finding] = []
    if not part_is_sound(data, "mounts"):
        return found
    for index, mount in enumerate(data.get("mounts") or ()):
        if len(found) >= LIMIT:
            break
        pointer, words = f"/mounts/{index}", mount.get("options") or ()
        fstype = mount.get("type") or ""
        try:
            parsed = o.parse(words, pointer=pointer, destination=mount["destination"], fstype=fstype)
        except ConfigError as error:
            found += [Finding.of(problem, MOUNTS) for problem in error.problems]
            continue
        found += [Finding.of(problem, MOUNTS) for problem in parsed.warnings]
        if fstype in ("bind", "rbind") and not parsed.bind:
            text = f"there is no file system {fstype}: the option {fstype} makes a bind mount, not the type"
            found.append(Finding(ERROR, MOUNTS, f"{pointer}/type", text, expected=f"{fstype} among the options"))
        for place, word in enumerate(words):
            # Data with a value is a matter of the file system; a bare word that nearly is ours is a slip.
            near = "" if "=" in word or "," in word or word in mountwords.KNOWN_OPTIONS else mountwords.closest(word)
            if near:
                text = f"{word!a} is left to the file system {fstype!a}; did you mean {near!a}?"
                where = f"{pointer}/options/{place}"
                found.append(Finding(WARNING, MOUNTS, where, text, expected=near, found=word))
    return found


def _on_this_host(
    raw: bytes, *, path: str, bundle: str, root: str, options: CreateOptions, known: list[Finding]
) -> list[Finding]:
    """Return what making the plan says, for a config that is right in itself."""
    from ..commands import planning

    said = {(finding.pointer, finding.severity) for finding in known}
    try:
        config = load.from_bytes(raw, bundle=bundle, path=path)
        plan = planning.explain(bundle, "check", root, options, config=config)
    except ConfigError as error:
        found = [Finding.of(problem, HOST) for problem in error.problems if not problem.warning]
    except (UnsupportedError, HostError) as error:
        message = error.line().removeprefix(f"{error.pointer}: ") if error.pointer else error.line()
        found = [Finding(ERROR, HOST, error.pointer, message)]
    else:
        found = [Finding.of(problem, HOST) for problem in plan.warnings if (problem.pointer, WARNING) not in said]
    data: Any = loads(raw)
    rootfs = os.path.join(bundle, data["root"]["path"])
    try:
        os.close(os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError as error:
        text = f"{rootfs}: {errno_words(error.errno or 0)}"
        found.append(Finding(ERROR, HOST, "/root/path", text, expected="a directory"))
    return found
