"""The container's program: whether it is there, may be executed, and can be by this machine."""

from __future__ import annotations

import os
import stat
import struct
from errno import EACCES

from .._base import procfile
from ..errors import errno_words
from ..plan.process.program import Environment
from .findings import ERROR, HOST, WARNING, Finding
from .inside import UnknownPlaceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .inside import File, Inside

POINTER = "/process/args/0"
_SCRIPTS = 5  # of which one is the interpreter of the next, as the kernel follows (exec_binprm)
_LINE = 256  # BINPRM_BUF_SIZE: the first line of a script is not longer
_PT_INTERP = 3
_HEADERS = 64
# elf.h, and what a kernel of that machine executes.
_MACHINES = {3: "i386", 20: "ppc", 21: "ppc64", 22: "s390", 40: "arm", 62: "x86-64", 183: "arm64", 243: "riscv"}
_RUNS = {"x86_64": (62, 3), "aarch64": (183, 40), "riscv64": (243,), "ppc64le": (21,), "s390x": (22,)}
# Hooks that run before the program is looked for, and may put it there.
EARLIER_HOOKS = ("prestart", "createRuntime", "createContainer")


def made_by_hooks(data: dict[str, Any]) -> bool:
    """Return hooks may make what is not there yet."""
    hooks = data.get("hooks") or {}
    return any(hooks.get(kind) for kind in EARLIER_HOOKS)


class Program:
    """The look at one program."""

    def __init__(self, data: dict[str, Any], inside: Inside) -> None:
        """Take a checked config with process.args, and its files."""
        self._data = data
        self._inside = inside
        self._process: dict[str, Any] = data["process"]
        self._cwd: str = self._process.get("cwd") or "/"
        # Other programs than the machine's own may have an interpreter in the kernel, binfmt_misc.
        names = procfile.names("/proc/sys/fs/binfmt_misc")
        self._helped = bool(set(names) - {"register", "status"})

    def findings(self) -> Iterator[Finding]:
        """Tell what is wrong with it; what cannot be known is passed over."""
        name: str = self._process["args"][0]
        try:
            found, refusal = self._search(name)
        except UnknownPlaceError:
            return
        if found is None:
            yield self._finding(refusal, late=made_by_hooks(self._data))
            return
        try:
            yield from self._of_file(found, name, 0)
        finally:
            found.close()

    def _search(self, name: str) -> tuple[File | None, str]:
        """Return the file that is executed, or why there is none.  Raises UnknownPlaceError."""
        if "/" in name:
            places = [name]
        else:
            path = Environment(self._process.get("env")).search_path()
            places = [f"{place or '.'}/{name}" for place in path.split(":")]
        refusal = ""
        for place in places:
            try:
                found = self._inside.find(place, cwd=self._cwd)
            except OSError as error:
                if error.errno == EACCES and os.geteuid():
                    raise UnknownPlaceError(place) from None  # the container's root may be allowed to
                if "/" in name:
                    refusal = f"{name}: {errno_words(error.errno or 0)}"
                continue
            status = os.fstat(found.fd)
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
                return found, ""
            found.close()
            refusal = f"{place}: " + ("is no regular file" if not stat.S_ISREG(status.st_mode) else "is not executable")
        return None, refusal or f"{name}: executable file not found in $PATH"

    def _of_file(self, found: File, name: str, depth: int) -> Iterator[Finding]:
        if self._is_noexec(found):
            what = f"/mounts/{found.mount}" if found.mount >= 0 else "the root file system"
            yield self._finding(f"{name}: is on a mount with noexec, {what}")
            return
        try:
            file = os.open(f"/proc/self/fd/{found.fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            procfile.unanswered(error, name, None)  # it may be executed without being read
            return
        try:
            head = os.pread(file, _LINE, 0)
            if head[:4] == b"\x7fELF":
                yield from self._elf(file, head, name)
            elif head[:2] == b"#!":
                yield from self._script(head, name, depth)
            elif not self._helped:
                text = f"{name}: is neither a program in the format ELF nor a script that begins with #!"
                yield self._finding(text)
        finally:
            os.close(file)

    def _is_noexec(self, found: File) -> bool:
        options = (self._data["mounts"][found.mount].get("options") or ()) if found.mount >= 0 else ()
        for word in reversed(options):
            if word in ("exec", "noexec"):
                return bool(word == "noexec")
        return bool(os.fstatvfs(found.fd).f_flag & os.ST_NOEXEC)

    def _script(self, head: bytes, name: str, depth: int) -> Iterator[Finding]:
        # Blanks and tabs end the name (load_script in fs/binfmt_script.c), and no carriage return does.
        line = head[2:].partition(b"\n")[0].partition(b"\0")[0].replace(b"\t", b" ").strip(b" ")
        if not line:
            yield self._finding(f"{name}: its first line has #! and no interpreter")
            return
        interpreter = os.fsdecode(line.partition(b" ")[0])
        try:
            found = self._inside.find(interpreter, cwd=self._cwd)
        except UnknownPlaceError:
            return
        except OSError as error:
            text = f"{name}: is there, but its interpreter {interpreter} is not: {errno_words(error.errno or 0)}"
            if interpreter.endswith("\r"):
                text = (
                    f"{name}: its first line ends with a carriage return, which is taken for a part of {interpreter!a}"
                )
            yield self._finding(text, late=made_by_hooks(self._data))
            return
        try:
            if not os.fstat(found.fd).st_mode & 0o111:
                yield self._finding(f"{name}: its interpreter {interpreter} is not executable")
            elif depth < _SCRIPTS:
                yield from self._of_file(found, interpreter, depth + 1)
            else:
                yield self._finding(f"{name}: the kernel follows {_SCRIPTS} scripts, of which one interprets the next")
        finally:
            found.close()

    def _elf(self, file: int, head: bytes, name: str) -> Iterator[Finding]:
        wide, order = head[4:5] == b"\x02", "<" if head[5:6] == b"\x01" else ">"
        if len(head) < 64:
            yield self._finding(f"{name}: is cut off, with {len(head)} bytes")
            return
        machine = struct.unpack_from(f"{order}H", head, 18)[0]
        here = os.uname().machine
        if here in _RUNS and machine not in _RUNS[here]:
            text = f"{name}: is for {_MACHINES.get(machine, f'machine {machine}')}, and this is {here}"
            yield self._finding(text, late=self._helped)
            return
        loader = _loader(file, head, order, wide=wide)
        if not loader:
            return
        try:
            self._inside.find(loader).close()
        except UnknownPlaceError:
            return
        except OSError as error:
            text = f"{name}: is there, but its loader {loader} is not: {errno_words(error.errno or 0)}"
            yield self._finding(text, late=made_by_hooks(self._data))

    @staticmethod
    def _finding(text: str, *, late: bool = False) -> Finding:
        """Return the finding of a text; a warning where something may help that is not known here."""
        return Finding(WARNING if late else ERROR, HOST, POINTER, text)


def _loader(file: int, head: bytes, order: str, *, wide: bool) -> str:
    """Return the path of a program's loader (PT_INTERP, elf(5)), "" for none or one that cannot be read."""
    place, size, count = 32 if wide else 28, 54 if wide else 42, 56 if wide else 44
    start = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", head, place)[0]
    entry, number = (struct.unpack_from(f"{order}H", head, at)[0] for at in (size, count))
    least = 56 if wide else 32
    if entry < least or start >= 1 << 62:
        return ""
    table = os.pread(file, entry * min(number, _HEADERS), start)
    for at in range(0, len(table) - least + 1, entry):
        if struct.unpack_from(f"{order}I", table, at)[0] != _PT_INTERP:
            continue
        if wide:
            offset, length = (struct.unpack_from(f"{order}Q", table, at + by)[0] for by in (8, 32))
        else:
            offset, length = (struct.unpack_from(f"{order}I", table, at + by)[0] for by in (4, 16))
        if length > 4096 or offset >= 1 << 62:
            return ""
        return os.fsdecode(os.pread(file, length, offset).partition(b"\0")[0])
    return ""
