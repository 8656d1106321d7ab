"""An error names what the failed call acted on: by what the executor writes down, whatever the operation is."""

from __future__ import annotations

import errno
import os
import re

import pytest
from plan.samples import NAMES, sample

from ocirun.execute import report
from ocirun.plan import render

from .recorder import AT_FDCWD, EXECUTOR, HOST_SIDE, RETURNED, letters, run
from .test_failures import numbers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from ocirun.plan.ops import Plan

    from .recorder import Call, Run

# Calls whose descriptor or text is data or a number of the operation's own, which the operation's phrase tells.
NAMELESS = {"keyctl", "write", "sendmsg", "recvmsg"}
# Operations whose errors have the words of runc, which engines match.
WORDED = {"run_hook", "find_program", "execute", "change_dir"}


def table() -> dict[str, tuple[int, int]]:
    """The executor's own table: place of the descriptor and of the text, from 1, 0 for none."""
    source = (EXECUTOR / "progress.c").read_text(encoding="utf-8")
    return {name: (int(fd), int(text)) for name, fd, text in re.findall(r"X\((\w+), (\d), (\d)\)", source)}


def calls_in(folder: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.[ch]"))))


def test_table_has_every_call_with_a_descriptor_or_a_text() -> None:
    kinds = letters()
    wanted = {name for name in calls_in(EXECUTOR, r"__NR_(\w+)") if set(kinds.get(name, "")) & set("dfs")}
    # The descriptors of the host's side are in no slot.
    wanted |= {name for name in calls_in(HOST_SIDE, r"SYS\d\([^,]+, __NR_(\w+)") if "s" in kinds[name]}
    # close(2) cannot fail; a pidfd stands for a process, which the phrase names.
    assert wanted - set(table()) == {"close", "pidfd_send_signal"}
    for name, (fd, text) in table().items():
        assert not fd or kinds[name][fd - 1] in "df", name
        assert not text or kinds[name][text - 1] in "sn", name


def objects(plan: Plan, result: Run, call: Call) -> set[str]:
    """All that the arguments of a call name: texts, and what its descriptors were opened as."""
    found = {text.strip("/") or "/" for text in call.texts.values() if text not in ("", ".")}
    op = plan.ops[call.index]
    for kind, value in zip(letters()[call.name], call.args, strict=False):
        fd = value & 0xFFFFFFFF
        if kind not in "df" or fd == AT_FDCWD & 0xFFFFFFFF:
            continue
        if fd < 3:
            found.add(("standard input", "standard output", "standard error")[fd])
        elif fd - 3 < plan.inherited:
            found.add(plan.slots[fd - 3])
        for other in result.all[: call.number]:
            if other.result == fd and fd >= 200:
                found |= objects(plan, result, other)
                if other.index == call.index:  # one of the operation's own, for what the operation is about
                    found |= {value.strip("/") for value in render.shown(op)}
    return found | {op.args[name] for name in ("empty", "slave") if op.args.get(name)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "error", [errno.EPERM, errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOMEM], ids=errno.errorcode.get
)
def test_error_names_an_object_of_its_call(name: str, error: int) -> None:
    plan = sample(name)
    baseline = run(plan)
    wrong = []
    for number in numbers_of(plan, baseline):
        result = run(plan, fail=(number, error))
        if result.outcome != RETURNED:
            continue
        failure = report.from_plan(plan, result.progress, 1)
        op = plan.ops[result.progress.index]
        last = [call for call in result.all if call.index == result.progress.index and call.name == failure.call]
        assert last, failure
        named = objects(plan, result, last[-1])
        if op.name == "find_program":  # engines match a text with the name as the config has it
            named = {os.path.basename(path) for path in named}
        if named and last[-1].name not in NAMELESS and not any(thing in failure.message for thing in named):
            wrong.append(f"{last[-1]}: {failure.message!r} names none of {sorted(named)}")
        if op.name not in WORDED and render.phrase(op) not in failure.message:
            wrong.append(f"{failure.message!r} does not say what was done")
    assert not wrong, "\n".join(wrong)
