"""The programs of docs/seccomp.md print what they say; its table has the attributes of a refused call."""

from __future__ import annotations

import re

from ocirun import RefusedCall

from .tour import ROOT, run_programs

PAGE = (ROOT / "docs" / "seccomp.md").read_text(encoding="utf-8")


def test_the_programs() -> None:
    run_programs(PAGE)


def test_the_line_of_the_command() -> None:
    call = RefusedCall(
        name="unshare",
        number=272,
        architecture="SCMP_ARCH_X86_64",
        count=1,
        args=[(0, 0x59A900, 0, 0x6D, 0, 0)],
        programs=["unshare"],
        answer="ERRNO(1)",
    )
    assert f"seccomp: {call.line()}\n" in PAGE


def test_the_table() -> None:
    table = PAGE.partition("| `RefusedCall` | |\n")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines())))
    assert named == {name for name in RefusedCall.__slots__ if name != "values"} | {"program"}
