"""python -m conformance: the suite on one runtime or several."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys

import surroundings

from . import report, suite

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="conformance", description="The OCI runtime specification, tried on runtimes."
    )
    add = parser.add_argument
    add("--runtime", metavar="PROGRAM", action="append", help="a runtime, with arguments if need be; may be repeated")
    add("--only", metavar="ID", nargs="+", default=[], help="ids, or their first words, such as config.mounts")
    add("--json", metavar="FILE", help="write the results as JSON; - is standard output, without the table")
    add("--page", metavar="FILE", help="write the page of docs")
    add("--guest", action="store_true", help="try what this machine cannot be tried on in the guest of tests/vm, too")
    add("--list", action="store_true", help="list all ids with level, place and what they say; try nothing")
    return parser


def main() -> int:
    """0 if nothing failed, 1 if something did, 2 for a wrong command line."""
    surroundings.make_usual()
    parser = _options()
    options = parser.parse_args()
    if options.list:
        _list()
        return 0
    if os.geteuid() != 0:
        parser.error("root is needed")
    if not suite.wanted(options.only):
        parser.error(f"no requirement of this name is tried: {' '.join(options.only)}")
    runtimes = []
    for text in options.runtime or [shlex.quote(f"{CHECKOUT}/build/bin/ocirun")]:
        words = shlex.split(text)
        program = shutil.which(words[0])
        if program is None:
            parser.error(f"no such program: {words[0]}")
        runtimes.append([os.path.abspath(program), *words[1:]])
    if len(runtimes) == 1 and not options.guest:
        found = [suite.run(runtimes[0], options.only)]
    else:  # Each in a process of its own: the suite leaves its namespaces for good.
        found = [_apart([sys.executable], words, options.only) for words in runtimes]
    if options.guest:
        found = [report.merged(one, _in_guest(one)) for one in found]
    _write(options.json, json.dumps(found[0] if len(found) == 1 else found, indent=1) + "\n")
    _write(options.page, report.page(found) if options.page else "")
    if options.json != "-":
        print("\n".join(report.table(one) for one in found), end="")
    return int(any(one["result"] == suite.FAILED for some in found for one in some["results"]))


def _apart(start: Sequence[str], words: Sequence[str], only: Sequence[str]) -> Any:
    command = [*start, "-m", "conformance", "--runtime", shlex.join(words), "--json", "-"]
    done = subprocess.run([*command, *(["--only", *only] if only else [])], stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout)


def _in_guest(found: dict[str, Any]) -> Any:
    """The results of the guest, which has cgroup v2, for what was skipped here."""
    guest = [f"{CHECKOUT}/tests/vm/run", "--timeout", "1800", "--env", "PYTHONPATH=tests", ".venv/bin/python"]
    skipped = [one["id"] for one in found["results"] if one["result"] == suite.SKIPPED]
    return _apart(guest, found["runtime"]["command"], skipped)


def _write(path: str | None, text: str) -> None:
    if path == "-":
        sys.stdout.write(text)
    elif path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def _list() -> None:
    from . import sentences

    for one in sentences.read().values():
        print(
            f"{one.id}\n  {one.level}; {one.file}, {one.heading}: {one.text}"
            + (f" [no test: {one.untested}]" if one.untested else "")
        )


if __name__ == "__main__":
    raise SystemExit(main())
