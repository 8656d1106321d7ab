"""The guest's initial ram disk: busybox, the modules that find the root file system, a script."""

from __future__ import annotations

import lzma
import os

from . import guest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DIRECTORY, _FILE = 0o040755, 0o100755


def write(path: str, busybox: str, modules: str) -> None:
    """Make the archive at `path`; `modules` is lib/modules/VERSION of the guest, after depmod."""
    order = load_order(modules, guest.EARLY_MODULES)
    entries: list[tuple[str, int, bytes]] = [(name, _DIRECTORY, b"") for name in ("proc", "sys", "dev", "new", "mods")]
    entries += [("busybox", _FILE, _read(busybox)), ("init", _FILE, guest.INIT.encode())]
    names = []
    for place in order:
        name = os.path.basename(place).removesuffix(".xz")
        data = _read(f"{modules}/{place}")
        entries.append((f"mods/{name}", _FILE, lzma.decompress(data) if place.endswith(".xz") else data))
        names.append(name)
    entries.append(("order", _FILE, "\n".join(names).encode()))
    with open(path, "wb") as file:
        for number, (name, mode, data) in enumerate(entries, 1):
            file.writelines(_record(name, mode, data, number))
        file.writelines(_record("TRAILER!!!", 0, b"", 0))


def load_order(modules: str, wanted: Sequence[str]) -> list[str]:
    """Paths of the modules below `modules`, each after those it needs.  Raises KeyError for one that is missing."""
    needs: dict[str, list[str]] = {}
    paths: dict[str, str] = {}
    with open(f"{modules}/modules.dep", encoding="ascii") as file:
        for line in file:
            path, _, rest = line.partition(":")
            needs[path] = rest.split()
            paths[os.path.basename(path).partition(".")[0].replace("-", "_")] = path
    built_in = _read(f"{modules}/modules.builtin").decode()
    order: list[str] = []
    for name in wanted:
        if f"/{name}.ko" in built_in:
            continue
        # modules.dep lists what is to be loaded first last.
        for path in [*reversed(needs[paths[name]]), paths[name]]:
            if path not in order:
                order.append(path)
    return order


def _record(name: str, mode: int, data: bytes, number: int) -> Iterator[bytes]:
    """One entry in the "newc" form of Documentation/driver-api/early-userspace/buffer-format.rst."""
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
    yield head + b"\0" * (-len(head) % 4)
    yield data + b"\0" * (-len(data) % 4)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
