"""The golden plans: what each sample bundle becomes, kept in ``golden/``.

python3 tests/plan/golden.py        write them anew, after a change that is meant
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "golden"
TEXT = "hello"
"""The bundle of which the text of ``explain`` is kept too."""


def expected(name: str) -> str:
    """The kept plan of a bundle, as JSON."""
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


def current(name: str) -> str:
    """The plan that the builder makes now: one operation a line, so that a change is read easily."""
    from plan.samples import sample

    record = sample(name).record()
    lines = ",\n".join("  " + json.dumps(op, ensure_ascii=False) for op in record.pop("ops"))
    rest = ",\n".join(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items())
    return '{\n "ops": [\n' + lines + "\n ],\n" + rest + "\n}\n"


def current_text() -> str:
    """What ``explain`` prints of one bundle."""
    from ocirun.plan import render
    from plan.samples import sample

    return render.plan_text(sample(TEXT))


def update() -> None:
    """Write all of them."""
    from plan.samples import NAMES

    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for name in NAMES:
        (FOLDER / f"{name}.json").write_text(current(name), encoding="utf-8")
    (FOLDER / f"{TEXT}.txt").write_text(current_text(), encoding="utf-8")


if __name__ == "__main__":
    top = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(top / "runtime"), str(top / "tests")]
    update()
