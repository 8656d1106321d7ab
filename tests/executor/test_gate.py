"""No side doors in C: both sides of a plan reach the kernel through `kernel.h` alone, where the tests see all of it."""

from __future__ import annotations

import re
import subprocess

import pytest

from .recorder import EXECUTOR, HOST_SIDE, PARTS, compile_c

GATE = {"kernel_call", "kernel_start", "kernel_exit"}
# Of libc, what makes no call of the kernel but for memory.
PURE = {"memcpy", "memmove", "memset", "memcmp", "strlen", "realloc", "free", "__cmsg_nxthdr"}
OF_THE_COMPILER = {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

SIDES = {"helper": [*EXECUTOR.glob("*.c")], "host": [*HOST_SIDE.glob("*.c"), *PARTS]}
SHARED = [EXECUTOR / name for name in ("decode.c", "progress.c", "text.c")]


def wanted(target: Path, *arguments: str) -> set[str]:
    """What compiled files want of others."""
    compile_c(str(target), "-O1", "-r", "-nostdlib", *arguments)
    result = subprocess.run(["nm", "-u", str(target)], capture_output=True, text=True, check=True)
    return {line.split()[-1] for line in result.stdout.splitlines()}


@pytest.mark.parametrize("side", SIDES)
def test_all_calls_go_through_the_gate(side: str, tmp_path: Path) -> None:
    files = {*SIDES[side], *SHARED}
    found = wanted(tmp_path / "side.o", *map(str, sorted(files)))
    assert found >= {"kernel_call"}
    assert not found - GATE - PURE - OF_THE_COMPILER


def test_a_call_of_libc_is_found(tmp_path: Path) -> None:
    door = tmp_path / "door.c"
    door.write_text("int close(int fd);\nint door(int fd);\nint door(int fd) { return close(fd); }\n", encoding="ascii")
    assert "close" in wanted(tmp_path / "side.o", str(door))


def test_no_other_file_has_an_instruction_of_its_own() -> None:
    gate = EXECUTOR / "kernel.h"
    files = [*EXECUTOR.glob("*.[ch]"), *HOST_SIDE.glob("*.[ch]"), *PARTS]
    assert [path for path in files if re.search(r"\b__?asm(__)?\b.*\(", path.read_text(encoding="utf-8"))] == [gate]
