"""Groups of resctrl: made, compared, joined, removed; and what another command changes in them."""

from __future__ import annotations

import os
from errno import ENOSPC

from .._base import procfile
from ..errors import HostError
from ..host import resctrl
from ..plan import rdt as plan
from ..state import saved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..state.record import Record
    from .context import Context

# Resources whose values are decimal numbers; those of caches are bit masks.
_DECIMAL = ("MB", "SMBA")


def make_group(context: Context, path: str, schemata: Sequence[str], *, existing: bool) -> None:
    """Make a group and write its schemata, or make sure that the one that is there has them.

    existing   it must be there
    What is made is in the record before that.  Raises HostError.
    """
    there = procfile.exists(path)
    if existing and not there:
        raise HostError(
            f"{path} does not exist",
            remedy="make the class of service first, or say in intelRdt what it is to have",
        )
    if not there:
        context.record.rdt.append(path)
        context.record.save(context.directory)
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            # Somebody else's, from this moment.
            context.record.rdt.remove(path)
            context.record.save(context.directory)
        except OSError as error:
            context.record.rdt.remove(path)
            remedy = "all classes of service of the processor are in use" if error.errno == ENOSPC else ""
            raise HostError.from_os(path, error, call="mkdir", remedy=remedy) from None
        else:
            context.undo.append(lambda: remove([path]))
            if schemata:
                write(path, schemata)
            return
    if schemata:
        different = mismatch(_read(path), schemata)
        if different:
            raise HostError(
                f"{path} is there already, and has other values: {different}",
                remedy="choose another closID, or the values that the group has",
            )


def join(path: str, pid: int) -> None:
    """Make a process a task of a group.  Raises HostError."""
    _write(f"{path}/tasks", f"{pid}\n")


def groups(data: dict[str, Any], container_id: str) -> list[str]:
    """Return the groups that a container of this config can have made; none where resctrl is not mounted any more."""
    top, block = resctrl.mount_point(), (data.get("linux") or {}).get("intelRdt")
    if not top or block is None:
        return []
    group = plan.directory(top, block, container_id)
    return [group, f"{group}/mon_groups/{container_id}"]


def remove(paths: Sequence[str]) -> None:
    """Remove the groups that were made, the last one first; their tasks fall back to the root group.

    Groups that are gone, or whose resctrl is not mounted any more, are passed over.  Raises HostError.
    """
    top = resctrl.mount_point()
    for path in reversed(paths):
        if not top or not path.startswith(f"{top}/") or ".." in path.split("/"):
            continue
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HostError.from_os(path, error, call="rmdir") from None


def write(path: str, lines: Sequence[str]) -> None:
    """Write lines to the schemata of a group, in one write.  Raises HostError."""
    _write(f"{path}/schemata", "".join(f"{line}\n" for line in lines))


class Change:
    """New lines in the group of a container, taken back if what is done meanwhile fails.

    Raises HostError, StateError for a container without a group.
    """

    __slots__ = ("_lines", "_old", "_path")

    def __init__(self, record: Record, directory: int, lines: Sequence[str]) -> None:
        config = saved.config(directory, record.bundle)
        block = (config.get("linux") or {}).get("intelRdt")
        if block is None:
            raise HostError("the container has no resctrl group", remedy="linux.intelRdt of its config asks for one")
        self._path = plan.directory(resctrl.mount_point(), block, record.container_id)
        self._lines = lines
        self._old: list[str] = []

    def __enter__(self) -> None:
        names = {line.partition(":")[0].strip() for line in self._lines}
        every = [line.strip() for line in _read(self._path).splitlines()]
        self._old = [line for line in every if line.partition(":")[0].strip() in names]
        write(self._path, self._lines)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            write(self._path, self._old)


def mismatch(text: str, lines: Sequence[str]) -> str:
    """Return the first of `lines` with a value that the schemata `text` does not have, "" if it has all of them.

    The kernel pads names and numbers, and the order is its own, so values are compared as numbers.
    """
    there = {name: values for name, values in map(_parsed, text.splitlines()) if name}
    for line in lines:
        name, wanted = _parsed(line)
        found = there.get(name, {})
        if not wanted or any(found.get(domain) != value for domain, value in wanted.items()):
            return line
    return ""


def _parsed(line: str) -> tuple[str, dict[str, int | str]]:
    """Return ``L3:0=7f0;1=1f`` as ("L3", {"0": 0x7f0, "1": 0x1f}); what is no number stays a text."""
    name, _, rest = line.partition(":")
    name = name.strip()
    values: dict[str, int | str] = {}
    for part in rest.split(";"):
        domain, equals, value = part.partition("=")
        if equals:
            try:
                values[domain.strip()] = int(value.strip(), 10 if name in _DECIMAL else 16)
            except ValueError:
                values[domain.strip()] = value.strip()
    return name, values


def _read(path: str) -> str:
    try:
        with open(f"{path}/schemata", encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError as error:
        raise HostError.from_os(f"{path}/schemata", error, call="read") from None


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        shown = text.strip().replace("\n", " | ")
        raise HostError.from_os(f"write {shown} to {path}", error, call="write", remedy=_last_words()) from None


def _last_words() -> str:
    """Return what resctrl says about the last write that it refused."""
    try:
        with open(f"{resctrl.mount_point()}/info/last_cmd_status", encoding="utf-8", errors="replace") as file:
            words = file.read(4096).strip()
    except OSError:
        return ""
    return f"resctrl says: {words}" if words and words != "ok" else ""
