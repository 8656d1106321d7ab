"""Save the upper layer of an overlay as it is, to be a lower layer of others.

Nothing is decided about its content: removals, directories that hide what is below, owners, modes, times, extended
attributes, holes and hard links stay.  Only the marks of the overlay's own stay behind that are about its upper layer,
and devices, which the file system of the host would let others open; a removal takes their place.
"""

from __future__ import annotations

import os

from ..errors import UnsupportedError
from .below import DIRECTORY, opened
from .taking import Taking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .changes import Upper

_FILE, _LINK, _FIFO, _SOCKET, _CHARACTER = 0o100000, 0o120000, 0o010000, 0o140000, 0o020000
_FORMAT = 0o170000
_CAPABILITY, _ACL = "security.capability", "system.posix_acl_"
# capabilities(7): the size and the revisions of the attribute; the last word of a revision 3 is the id of a root.
_REVISION, _REVISION_2, _REVISION_3, _SIZE_3 = 0xFF000000, 0x02000000, 0x03000000, 24
# acl(5): entries of eight bytes behind four; those of users and groups have an id.
_ACL_USER, _ACL_GROUP = 2, 8


class Saving(Taking):
    """One layer that is saved; `upper` and `target` as of `Taking`, the target is empty."""

    _kinds = (_FILE, _LINK, _FIFO, _SOCKET)
    _whole = True

    def __init__(self, upper: Upper, target: int) -> None:
        super().__init__(upper, target, replaces=False)
        self._owners = os.geteuid() == 0
        # All marks of the overlay itself begin so; `overlay.overlay.` are the container's own, as the kernel has put
        # them away.
        self._marks = upper.opaque.removesuffix("opaque")

    def run(self) -> None:
        """Do it.  Raises OSError, and UnsupportedError for owners that the caller cannot give."""
        self._made.append((b"", os.fstat(self._upper.fd)))
        super().run()

    def _whiteout(self, to: int, name: bytes) -> None:
        # Nobody needs a right to make a device 0:0, since Linux 5.8.
        os.mknod(name, _CHARACTER, 0, dir_fd=to)

    def _without(self, to: int, name: bytes) -> None:
        self._whiteout(to, name)

    def _finish_directory(self, fd: int, path: bytes, status: os.stat_result) -> None:
        source = opened(self._upper.fd, path, DIRECTORY)
        try:
            self._own(fd, b".", path, status)
            self._attributes(f"/proc/self/fd/{source}/.".encode(), f"/proc/self/fd/{fd}/.".encode(), path)
        finally:
            os.close(source)
        os.fchmod(fd, status.st_mode & 0o7777)
        os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _finish(self, fd: int, name: bytes, to: int, hidden: bytes, path: bytes, status: os.stat_result) -> None:
        self._own(to, hidden, path, status)
        self._attributes(b"/proc/self/fd/%d/%s" % (fd, name), b"/proc/self/fd/%d/%s" % (to, hidden), path)
        if status.st_mode & _FORMAT != _LINK:
            os.chmod(hidden, status.st_mode & 0o7777, dir_fd=to)
        os.utime(hidden, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=to, follow_symlinks=False)

    def _own(self, to: int, name: bytes, path: bytes, status: os.stat_result) -> None:
        owner = self._owner(status)
        if self._owners:
            os.chown(name, *owner, dir_fd=to, follow_symlinks=False)
            return
        made = os.stat(name, dir_fd=to, follow_symlinks=False)
        if (made.st_uid, made.st_gid) != owner:
            raise UnsupportedError(
                f"/{os.fsdecode(path)} belongs to another id of the container, which only root can give to a file",
                remedy="take the snapshot as root, or have the container write with one user and group",
            )

    def _attributes(self, source: bytes, place: bytes, path: bytes) -> None:
        for name in os.listxattr(source, follow_symlinks=False):
            if name.startswith(self._marks):
                own = name.startswith(self._marks + "overlay.") or name == self._upper.opaque
            else:
                own = name.startswith(("user.", "trusted.", _ACL)) or name == _CAPABILITY
            if not own:
                continue  # labels of security modules, which the mount gives
            if not self._owners and not name.startswith(("user.", _ACL)):
                self._leave_out(path, f"the attribute {name}")
                continue
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(place, name, self._stored(name, value), follow_symlinks=False)

    def _stored(self, name: str, value: bytes) -> bytes:
        """Return an attribute with the ids that the files below the layer have."""
        uid, gid = self._upper.stored
        if name == _CAPABILITY and len(value) == _SIZE_3:
            head = int.from_bytes(value[:4], "little")
            root = uid(int.from_bytes(value[20:], "little"))
            if head & _REVISION == _REVISION_3 and not root:
                return (head & ~_REVISION | _REVISION_2).to_bytes(4, "little") + value[4:20]
            return value[:20] + root.to_bytes(4, "little")
        if name.startswith(_ACL):
            made = bytearray(value)
            for at in range(4, len(value), 8):
                tag, number = (int.from_bytes(value[at + i : at + j], "little") for i, j in ((0, 2), (4, 8)))
                if tag in (_ACL_USER, _ACL_GROUP):
                    made[at + 4 : at + 8] = (uid if tag == _ACL_USER else gid)(number).to_bytes(4, "little")
            return bytes(made)
        return value
