"""The results as a table for a terminal, and as the page of docs."""

from __future__ import annotations

import re

from . import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WORDS = ("passed", "failed", "skipped")
MARKS = {"passed": "yes", "failed": "**no**", "skipped": "-"}
MUSTS = ("MUST", "MUST NOT", "REQUIRED")

HEAD = """\
# Conformance

Every sentence of the OCI runtime specification {specification} with MUST, MUST NOT, REQUIRED, SHOULD or SHOULD NOT, for
Linux, and what came of it when runtimes were tried. `tests/conformance` has the sentences (in `spec/`) and the tests,
which work from outside, by the command line, and look from inside the container.

    ./dev conformance                                   # ocirun
    ./dev conformance --runtime runc                    # any runtime with runc's command line
    ./dev conformance --only config.mounts --json FILE  # a part, and results for programs
    ./dev conformance --runtime build/bin/ocirun --runtime runc --runtime crun --guest --page docs/conformance.md

The last one has made this page; `--guest` is the [second machine of the tests](../tests/vm/README.md), with cgroup v2.
How to read it:

- A config without a REQUIRED property is invalid, and an invalid value must be an error (config.md, Valid values); so
  REQUIRED is passed by a runtime that refuses.
- A runtime fails a sentence of 1.3 also if it is older than the sentence: runc 1.1 and crun 1.8 are of 2023.
- `-` means that this machine, or this runtime, cannot be tried on it; [why](#not-tried) was found out, not assumed.
- `delete` of a container that is only created: engines expect that it goes, and with all three it does. The operation of
  the specification is `ocirun delete --if-stopped`, and that was tried; runc and crun have nothing of the kind.
- `process.user` without `uid` or `gid`: the schema of the specification does not require them, and 0 is right then, too.
- crun 1.8 refuses machines with cgroup v1 and v2 at once (hybrid); it was given a view of the machine without v2.
"""


def counts(results: list[dict[str, Any]]) -> str:
    """How many of each."""
    return ", ".join(f"{sum(one['result'] == word for one in results)} {word}" for word in WORDS)


def table(found: dict[str, Any]) -> str:
    """One line for each requirement, then why those that did not pass did not, then the sum."""
    known = sentences.read()
    results = found["results"]
    width = max(len(one["id"]) for one in results)
    lines = [f"{found['runtime']['version']}; runtime-spec {found['specification']}; {found['machine']}", ""]
    lines += [f"{one['id']:{width}}  {known[one['id']].level:10}  {one['result']}" for one in results]
    for word in ("failed", "skipped"):
        some = [one for one in results if one["result"] == word]
        lines += ["", f"{word.capitalize()}:"] if some else []
        lines += [f"  {one['id']}: {' '.join(str(one['reason']).split())}" for one in some]
    untested = sum(bool(one.untested) for one in known.values())
    lines += [
        "",
        f"{counts(results)}; {found['seconds']} s. {untested} of {len(known)} requirements bind no Linux runtime.",
    ]
    return "\n".join(lines) + "\n"


def merged(found: dict[str, Any], elsewhere: dict[str, Any]) -> dict[str, Any]:
    """The results of one machine, and for what could not be tried there those of another."""
    others = {one["id"]: one for one in elsewhere["results"] if one["result"] != "skipped"}
    results = [others.get(one["id"], one) if one["result"] == "skipped" else one for one in found["results"]]
    machine = f"{found['machine']}; what that could not try on {elsewhere['machine']}"
    return {**found, "machine": machine, "results": results, "seconds": found["seconds"] + elsewhere["seconds"]}


def page(all_found: list[dict[str, Any]]) -> str:
    """docs/conformance.md for the results of several runtimes."""
    known = sentences.read()
    names = [found["runtime"]["name"] for found in all_found]
    by_id = [{one["id"]: one for one in found["results"]} for found in all_found]
    lines = [HEAD.format(specification=sentences.VERSION), "## Sums", ""]
    lines += ["| runtime | MUST and REQUIRED: passed | failed | not tried | SHOULD: passed | failed | not tried |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for found in all_found:
        cells = [_version(found)]
        for musts in (True, False):
            some = [one["result"] for one in found["results"] if (known[one["id"]].level in MUSTS) == musts]
            cells += [str(some.count(word)) for word in WORDS]
        lines.append(f"| {' | '.join(cells)} |")
    machines = sorted({found["machine"] for found in all_found})
    lines += ["", f"On {' and '.join(machines)}. SHOULD here includes the lower-case words of the specification.", ""]
    heading = ""
    for one in known.values():
        if one.untested:
            continue
        if heading != f"{one.file}, {one.heading}":
            heading = f"{one.file}, {one.heading}"
            lines += ["", f"## {heading}", ""]
            lines += [f"| id | level | what it says | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
        marks = [MARKS[some[one.id]["result"]] if one.id in some else "-" for some in by_id]
        lines.append(f"| `{one.id}` | {one.level} | {one.text} | {' | '.join(marks)} |")
    lines += ["", "## Not tried", ""]
    for name, found in zip(names, all_found, strict=True):
        lines += _reasons(name, found["results"])
    lines += ["## Not to be tried", "", "These bind no Linux runtime.", "", "| id | level | why |", "|---|---|---|"]
    lines += [f"| `{one.id}` | {one.level} | {one.untested} |" for one in known.values() if one.untested]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def _version(found: dict[str, Any]) -> str:
    return str(found["runtime"]["version"]).replace(" version ", " ")


def _reasons(name: str, results: list[dict[str, Any]]) -> list[str]:
    """The ids that were skipped, under each reason."""
    by_reason: dict[str, list[str]] = {}
    for one in results:
        if one["result"] == "skipped":
            by_reason.setdefault(one["reason"], []).append(one["id"])
    lines = [f"### {name}", ""] if by_reason else []
    for reason, ids in by_reason.items():
        lines.append(f"- {reason}: {', '.join(f'`{one}`' for one in ids)}")
    return [*lines, ""] if lines else []
