"""A cgroup driver whose files are a dict."""

from __future__ import annotations

import errno

from ocirun.cgroup.driver import V1, Driver
from ocirun.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirun.cgroup.settings.translation import Setting

UNLIMITED = "9223372036854771712"


def files() -> dict[str, str]:
    """What a fresh group says."""
    return {
        "memory.limit_in_bytes": UNLIMITED,
        "memory.memsw.limit_in_bytes": UNLIMITED,
        "memory.soft_limit_in_bytes": UNLIMITED,
        "memory.swappiness": "60",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0",
        "cpu.shares": "1024",
        "cpu.idle": "0",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "-1",
        "cpu.cfs_burst_us": "0",
        "cpuset.cpus": "0-3",
        "cpuset.mems": "0",
        "pids.max": "max",
        "blkio.throttle.read_bps_device": "8:16 500",
    }


class FakeDriver(Driver):
    """Notes what is written.

    writes    (file, value), in order
    refused   files to which nothing can be written
    used      bytes of memory in use
    """

    __slots__ = ("files", "refused", "used", "writes")

    kind = V1
    refuses = True

    def __init__(self) -> None:
        super().__init__()
        self.files = files()
        self.writes: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.used = 0

    def available(self, controller: str, file: str = "") -> bool:
        return any(name.startswith(f"{controller}.") for name in self.files) and (not file or file in self.files)

    def read(self, controller: str, file: str) -> str:
        return self.files[file]

    def apply(self, settings: Sequence[Setting]) -> None:
        for setting in settings:
            if setting.file in self.refused:
                raise HostError(f"cannot write {setting.file}: invalid argument", errno=errno.EINVAL)
            self.writes.append((setting.file, setting.value))
            self.files[setting.file] = setting.value

    def usage(self) -> dict[str, int]:
        return {"memory_bytes": self.used}


class CheckingDriver(FakeDriver):
    """A kernel that kills what does not fit below a new limit, as with cgroup v2."""

    __slots__ = ()

    refuses = False
