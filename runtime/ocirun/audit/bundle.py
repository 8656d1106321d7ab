"""The audit of one config: all checks, in an order in which each may rely on those before it."""

from __future__ import annotations

import itertools

from .._base.jsonio import SIZE_LIMIT, JsonError, loads
from ..config import load
from ..config.check import check, part_is_sound
from ..config.report import LIMIT, describe
from ..errors import ConfigError, UnsupportedError
from . import filesystems, hints, host, missing, peers
from .findings import CONFIG, ERROR, MOUNTS, NOTE, PEERS, WARNING, Audit, Finding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..errors import Problem
    from ..execute.options import CreateOptions

# Words of mount options that are compared with all known ones, which takes its time.
_WORDS = 1000
_UNKNOWN = "is not a key of the spec"


def audit(
    raw: bytes,
    *,
    path: str,
    bundle: str,
    root: str,
    options: CreateOptions,
    thorough: bool = False,
    config_only: bool = False,
) -> Audit:
    """Return everything there is to say about a config.

    raw          the bytes of the file
    path         where they are from, for people
    bundle       absolute path of the bundle; relative paths of the config start here
    root         the state root, as for `create`
    options      as for `create`; they decide over the plan
    thorough     ask JSON Schema for a second opinion, which takes twenty times as long as all the rest
    config_only  look at nothing of this host, so that the answer is the same on every one and for every user
    """
    findings: list[Finding] = []
    if len(raw) > SIZE_LIMIT:
        text = f"has {len(raw)} bytes, the limit is {SIZE_LIMIT} (16 MiB)"
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
    asked = False
    if sound and not any(finding.severity == ERROR for finding in options_found):
        asked = not config_only
        if asked:
            findings += _on_this_host(raw, data, findings, path=path, bundle=bundle, root=root, options=options)
        else:
            findings += _anywhere(raw, path=path, bundle=bundle, root=root, options=options)
    if thorough:
        from . import schema

        findings += schema.opinion(data)
    findings += [Finding(NOTE, CONFIG, pointer, note) for pointer, note in missing.notes(data)]
    if part_is_sound(data, "annotations"):
        from ..plan import crun_annotations
        from ..plan.mounts import upper

        if upper.wanted(data):
            text = "is ocirun's own: another runtime has the program write to the root file system itself"
            findings.append(Finding(NOTE, CONFIG, upper.POINTER, text))
        findings += [Finding(NOTE, CONFIG, pointer, note) for pointer, note in crun_annotations.notes(data)]
    seen: set[tuple[str, str]] = set()
    for entry in peers.notes(data, problems):
        if entry not in seen:
            seen.add(entry)
            findings.append(Finding(NOTE, PEERS, *entry))
    return Audit(path, findings, host_asked=asked)


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
    nearest = _Nearest(mountwords.KNOWN_OPTIONS, mountwords.closest)
    for index, mount in enumerate(data.get("mounts") or ()):
        if len(found) >= LIMIT:
            break
        pointer, words = f"/mounts/{index}", mount.get("options") or ()
        fstype = mount.get("type") or ""
        try:
            parsed = o.parse(words, pointer=pointer, destination=mount["destination"], fstype=fstype)
        except ConfigError as error:
            found += [Finding.of(problem, MOUNTS) for problem in error.problems[:LIMIT]]
            continue
        found += [Finding.of(problem, MOUNTS) for problem in parsed.warnings[:LIMIT]]
        if fstype in ("bind", "rbind") and not parsed.bind:
            text = f"there is no file system {fstype}: the option {fstype} makes a bind mount, not the type"
            found.append(Finding(ERROR, MOUNTS, f"{pointer}/type", text, expected=f"{fstype} among the options"))
        slips = set()
        for place, word in enumerate(words):
            if len(found) >= LIMIT:
                break
            # Data with a value is a matter of the file system; a bare word that nearly is ours is a slip.
            near = "" if "=" in word or "," in word or filesystems.knows(fstype, word) else nearest(word)
            if near:
                text = f"{word!a} is left to the file system {fstype!a}; did you mean {near!a}?"
                where = f"{pointer}/options/{place}"
                slips.add(where)
                found.append(Finding(WARNING, MOUNTS, where, text, expected=near, found=word))
        more = (one for one in filesystems.findings(fstype, parsed, pointer) if one.pointer not in slips)
        found += itertools.islice(more, LIMIT)
    return found[:LIMIT]


class _Nearest:
    """The known word that another one nearly is, "" for none; of a great many words only the first are asked about."""

    def __init__(self, known: Sequence[str], closest: Callable[[str], str]) -> None:
        self._found = dict.fromkeys(known, "")
        self._closest = closest
        self._left = _WORDS

    def __call__(self, word: str) -> str:
        if word not in self._found:
            if self._left <= 0:
                return ""
            self._left -= 1
            self._found[word] = self._closest(word)
        return self._found[word]


def _on_this_host(
    raw: bytes, data: dict[str, Any], known: list[Finding], *, path: str, bundle: str, root: str, options: CreateOptions
) -> list[Finding]:
    """Tell what this host says; what any other would say too is a matter of the config."""
    said = {(finding.pointer, finding.severity) for finding in known if finding.severity == WARNING}
    found = host.findings(raw, data, path=path, bundle=bundle, root=root, options=options)
    found = [finding for finding in found if (finding.pointer, finding.severity) not in said]
    if any(finding.severity == ERROR for finding in found):
        everywhere = {
            (finding.pointer, finding.message)
            for finding in _anywhere(raw, path=path, bundle=bundle, root=root, options=options)
        }
        for finding in found:
            if (finding.pointer, finding.message) in everywhere:
                finding.source = CONFIG
    return found


def _anywhere(raw: bytes, *, path: str, bundle: str, root: str, options: CreateOptions) -> list[Finding]:
    """Tell what no host could do: what the plan says for one that has everything, and for its root."""
    from ..cgroup import choose
    from ..commands import planning
    from ..host.anywhere import Anywhere
    from ..plan.build import build
    from ..plan.builder import Facts

    try:
        config = load.from_bytes(raw, bundle=bundle, path=path)
        whole: Any = config.data
        # Which limits there are depends on the version of cgroups.
        linux = {key: value for key, value in (whole.get("linux") or {}).items() if key != "resources"}
        layout = Anywhere()
        driver = choose.new_driver(layout, cgroups_path=linux.get("cgroupsPath") or "", container_id="check")
        wanted = planning.request(config, "check", root, options, keeps_session=options.foreground)
        build({**whole, "linux": linux}, Facts(layout=layout), wanted, driver)
    except ConfigError as error:
        return [Finding.of(problem, CONFIG) for problem in error.problems if not problem.warning]
    except UnsupportedError as error:
        return [Finding(ERROR, CONFIG, error.pointer, host.message(error))]
    return []
