"""A judge: compiles a program that nobody trusts, runs it on each case, and tells a verdict.

    python3 examples/judge.py ROOTFS LANGUAGE SOURCE CASES

CASES is a directory with NAME.in, what the program reads, and NAME.out, what it has to print.  The verdicts are AC, WA
(another answer), TLE (time), MLE (memory), RE (it failed, or met another limit), and CE (it does not compile).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import ocirun

LANGUAGES = {  # name of the source, what compiles it, what runs it
    "sh": ("main.sh", ["sh", "-n", "main.sh"], ["sh", "main.sh"]),
    "c": ("main.c", ["cc", "-O2", "-o", "main", "main.c"], ["./main"]),
    "python": ("main.py", ["python3", "-m", "py_compile", "main.py"], ["python3", "main.py"]),
}
VERDICTS = {"time": "TLE", "cpu": "TLE", "memory": "MLE"}


class Verdict(NamedTuple):
    name: str
    case: int = 0
    detail: str = ""


def judge(rootfs: str, language: str, source: bytes, cases: list[tuple[bytes, bytes]]) -> Verdict:
    """Return the first verdict that is not AC, with the number of its case, or AC."""
    name, compiler, program = LANGUAGES[language]
    with tempfile.TemporaryDirectory() as directory:
        config = ocirun.sandbox(rootfs, compiler, cwd="/work", disk=64 << 20)
        kept = f"{directory}/kept"
        made = ocirun.run(config=config, files={f"/work/{name}": source}, keep=kept, timeout=10.0, output_limit=4096)
        if not made.ok or os.path.islink(f"{kept}/work") or not os.path.isdir(f"{kept}/work"):  # it leads elsewhere
            return Verdict("CE", 0, made.stderr.decode(errors="replace") or made.limit)
        work = {"destination": "/work", "type": "bind", "source": f"{kept}/work", "options": ["bind", "ro", "nosuid"]}
        config = ocirun.sandbox(rootfs, program, cwd="/work", mounts=[work], memory=64 << 20, pids=16, disk=1 << 20)
        runner = ocirun.Prepared(config=config)
        for number, (given, expected) in enumerate(cases, 1):
            done = runner.run(stdin=given, timeout=4.0, cpu_time=2.0, output_limit=1 << 20, on_output_limit="kill")
            if not done.ok:
                return Verdict(VERDICTS.get(done.limit, "RE"), number, done.limit or f"{done.exit_code=}")
            if done.stdout.split() != expected.split():
                return Verdict("WA", number)
    return Verdict("AC", len(cases))


if __name__ == "__main__":
    inputs = sorted(Path(sys.argv[4]).glob("*.in"))
    answers = [(path.read_bytes(), path.with_suffix(".out").read_bytes()) for path in inputs]
    print(*judge(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes(), answers))
