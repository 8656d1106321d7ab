"""The mount table, as far as it concerns a container without a mount namespace."""

from __future__ import annotations

import builtins
import io

import pytest

from ocirun.execute.mounts import hostmounts

TABLE = b"""\
21 1 8:1 / / rw - ext4 /dev/sda rw
30 21 0:5 / /b/rootfs rw shared:1 - tmpfs t rw
31 30 0:6 / /b/rootfs/proc rw - proc proc rw
32 30 0:7 / /b/rootfs/with\\040blank\\011tab\\012line\\134040 rw - tmpfs t rw
33 30 0:8 / /b/rootfs2/x rw - tmpfs t rw
34 31 0:9 / /b/rootfs/proc/\xff rw - tmpfs t rw
"""


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    real = builtins.open

    def fake(path: str, *args: object, **how: object) -> object:
        return io.BytesIO(TABLE) if path == "/proc/self/mountinfo" else real(path, *args, **how)  # type: ignore[call-overload]

    taken: list[tuple[str, int]] = []

    class Lib:
        @staticmethod
        def ocirun_umount(path: bytes, flags: int) -> int:
            taken.append((path.decode("utf-8", "surrogateescape"), flags))
            return 0

    monkeypatch.setattr(builtins, "open", fake)
    monkeypatch.setattr(hostmounts, "lib", Lib)
    return taken


@pytest.mark.usefixtures("table")
def test_below() -> None:
    assert hostmounts.below("/b/rootfs") == [
        (31, "/b/rootfs/proc"),
        (32, "/b/rootfs/with blank\ttab\nline\\040"),
        (34, "/b/rootfs/proc/\udcff"),
    ]
    assert hostmounts.ids_below("/b/rootfs") == [31, 32, 34]


def test_remove_takes_the_newest_first_and_spares_what_was_there(table: list[tuple[str, int]]) -> None:
    hostmounts.remove("/b/rootfs", [32])
    assert [path for path, _ in table] == ["/b/rootfs/proc/\udcff", "/b/rootfs/proc"]
    assert {flags for _, flags in table} == {2 | 8}, "MNT_DETACH | UMOUNT_NOFOLLOW"
