"""What a driver says of its groups to csrc/host, which makes, reads and removes them in the plain case."""

from __future__ import annotations

from ...errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class NativeGroups:
    """The part of a `Driver` for that; this one has no group."""

    __slots__ = ()

    def plain(self) -> list[tuple[str, str, tuple[int, int], int]]:
        """Return (group name, absolute path, device of its file system,
        LOOK_ bits) of each group that may simply be made.

        None where `check` and `prepare` are to decide.
        """
        return []

    def made(self, inodes: Sequence[int]) -> None:
        """Note that all groups of `plain` were made for this container, in this order, with these inodes;
        0: not yet.
        """
        if inodes:
            raise KeyError(f"{inodes}")

    def refused(self, controller: str, file: str, value: str, error: OSError) -> HostError:
        """Return the error of a setting that the kernel has refused to somebody who wrote it for this driver."""
        return HostError.from_os(f"write {value!a} to {file} of {controller}", error, call="write")

    def processor_file(self) -> str:
        """Return the path of the file that says how much processor time was used, "" where there is none:
        nanoseconds, or the microseconds that cpu.stat begins with.
        """
        return ""

    def usage_files(self) -> list[str]:
        """Return path of a group and name of a file in it, in turn, of what is told of a program that has ended."""
        return []

    def usage_from(self, texts: Sequence[str]) -> dict[str, int]:
        """Return what `usage` gives of that, from the texts of `usage_files`, "" for one that the kernel has not."""
        del texts
        return {}
