"""What a run has written into a root file system that is thrown away."""

from __future__ import annotations

import os

from .._base import jsonio
from ..errors import HostError
from ..files.below import DIRECTORY, opened
from ..files.changes import Upper
from ..plan.mounts import upper as plans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..files.changes import Changes

_NOBODY = 65534


class Written:
    """The upper layer of a container all of whose processes have ended.

    fd       of the tmpfs with the layer, which stays the caller's
    config   config.json
    rootfs   path of the root file system below
    """

    def __init__(self, fd: int, config: bytes, rootfs: str) -> None:
        self._fd = fd
        self._config = config
        self._rootfs = rootfs

    def is_full(self) -> bool:
        """Return whether it has no room left, for bytes or for files.  Raises HostError."""
        try:
            room = os.fstatvfs(self._fd)
        except OSError as error:
            raise HostError.from_os("what the container has written", error, call="fstatfs") from None
        return not room.f_bfree or not room.f_ffree

    def changes(self) -> Changes:
        """Return what has changed.  Raises HostError."""
        held: list[int] = []
        try:
            return self._layer(held).changes()
        except OSError as error:
            raise HostError.from_os("what the container has changed", error) from None
        finally:
            for fd in held:
                os.close(fd)

    def _layer(self, held: list[int]) -> Upper:
        """Return the layer; its descriptors are put into `held`."""
        data: Any = jsonio.loads(self._config)
        linux = data.get("linux") or {}
        held.append(opened(self._fd, b"upper", DIRECTORY))
        held.append(os.open(self._rootfs, DIRECTORY | os.O_CLOEXEC))
        inside = _inside(linux.get("uidMappings") or ()), _inside(linux.get("gidMappings") or ())
        idmap = plans.parsed(data["annotations"][plans.UPPER]).idmap
        owned = any(one["type"] == "user" for one in linux.get("namespaces") or ())
        prefix = "user" if owned else "trusted"
        return Upper(
            held[0],
            held[1],
            inside=inside,
            below=(_same, _same) if idmap else inside,
            opaque=f"{prefix}.overlay.opaque",
        )


def _same(number: int) -> int:
    return number


def _inside(maps: Sequence[dict[str, int]]) -> Callable[[int], int]:
    """Return what turns an id of the host into the container's; without maps they are the same."""
    if not maps:
        return _same

    def inside(number: int) -> int:
        for one in maps:
            if one["hostID"] <= number < one["hostID"] + one["size"]:
                return one["containerID"] + number - one["hostID"]
        return _NOBODY

    return inside
