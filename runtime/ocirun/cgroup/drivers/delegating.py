"""A driver that leaves its groups to another one."""

from __future__ import annotations

from ..driver import Driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..files.oom import EventsWatch, OomWatch
    from ..settings.translation import Setting


class Delegating(Driver):
    """Every verb is that of the driver `inner`, and its facts are ours."""

    __slots__ = ("clones", "enabling", "inner", "joins", "kind", "refuses")

    def __init__(self, inner: Driver) -> None:
        super().__init__(inner.groups, devices=inner.devices)
        self.inner = inner
        self.kind = inner.kind
        self.joins = inner.joins
        self.refuses = inner.refuses
        self.clones = inner.clones
        self.enabling = inner.enabling
        self._take_over()

    def _take_over(self) -> None:
        self.checked, self.found, self.prepared = self.inner.checked, self.inner.found, self.inner.prepared

    def available(self, controller: str, file: str = "") -> bool:
        return self.inner.available(controller, file)

    def check(self) -> None:
        self.inner.check()
        self._take_over()

    def prepare(self) -> int | None:
        made = self.inner.prepare()
        self._take_over()
        return made

    def make(self, name: str) -> None:
        self.inner.make(name)
        self._take_over()

    def write(self, controller: str, file: str, value: str, *, pointer: str = "") -> None:
        self.inner.write(controller, file, value, pointer=pointer)

    def read(self, controller: str, file: str) -> str:
        return self.inner.read(controller, file)

    def apply(self, settings: Sequence[Setting]) -> None:
        self.inner.apply(settings)

    def open_join(self, name: str, below: str = "") -> int:
        return self.inner.open_join(name, below)

    def open_directory(self, below: str = "") -> int:
        return self.inner.open_directory(below)

    def follow(self, pid: int) -> str:
        why = self.inner.follow(pid)
        self.groups = list(self.inner.groups)
        return why

    def home(self, pid: int) -> tuple[str, str]:
        return self.inner.home(pid)

    def enable(self, path: str, controllers: Sequence[str], others: Sequence[str]) -> None:
        self.inner.enable(path, controllers, others)

    def filter_devices(self, rules: str) -> None:
        self.inner.filter_devices(rules)

    def give(self, uid: int, files: Sequence[str], below: str = "") -> None:
        self.inner.give(uid, files, below)

    def make_below(self, below: str) -> None:
        self.inner.make_below(below)

    def place(self, pid: int, below: str = "") -> None:
        self.inner.place(pid, below)

    def freeze(self) -> None:
        self.inner.freeze()

    def thaw(self) -> None:
        self.inner.thaw()

    def frozen(self) -> bool:
        return self.inner.frozen()

    def kill(self, signal: int, *, wait: float = 0.0) -> int:
        return self.inner.kill(signal, wait=wait)

    def pids(self) -> list[int]:
        return self.inner.pids()

    def usage(self) -> dict[str, int]:
        return self.inner.usage()

    def processor_file(self) -> str:
        return self.inner.processor_file()

    def usage_now(self) -> dict[str, Any]:
        return self.inner.usage_now()

    def watch(self) -> OomWatch | EventsWatch | None:
        return self.inner.watch()

    def remove(self, *, kill: bool = False, limit: float = 5.0) -> None:
        self.inner.remove(kill=kill, limit=limit)

    def discard(self) -> None:
        self.inner.discard()
        self._take_over()

    def close(self) -> None:
        self.inner.close()
