"""``ocirun run --learn``: the list on standard error, and the file with the profile."""

from __future__ import annotations

import os
import stat

from ocirun._base.jsonio import dumps_pretty
from ocirun.cli.output import visible, write_all
from ocirun.errors import HostError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call
    from ocirun.container import Learned

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Profile:
    """``with Profile(call) as profile``: the file that --learn names, which `write` gives its content.

    It is made beside, before anything else is done, and gets its name when it is whole.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._path = os.path.abspath(call.values.text("learn"))
        self._name = os.path.basename(self._path)
        self._beside = ""
        self._directory = self._fd = -1

    def __enter__(self) -> Profile:
        try:
            self._make()
        except OSError as error:
            self.__exit__()
            raise HostError.from_os(f"--learn: make {self._path}", error, call="openat") from None
        except UsageError:
            self.__exit__()
            raise
        if "learn-refuse" not in self._call.values.given:
            text = "the container is not confined by seccomp: what is refused is let through, and listed"
            self._call.warn(f"--learn: {text}")
        return self

    def _make(self) -> None:
        self._directory = os.open(os.path.dirname(self._path), _DIRECTORY)
        try:
            there = os.stat(self._name or ".", dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(there.st_mode):
                raise UsageError(f"--learn: {self._path} is there, and is no plain file")
        name = f".{self._name[:200]}.{os.urandom(8).hex()}"
        how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(name, how, 0o644, dir_fd=self._directory)
        self._beside = name

    def write(self, learned: Learned) -> None:
        """Tell the list, and write the profile.  Raises HostError."""
        lines = learned.text().splitlines()
        try:
            write_all(self._fd, (dumps_pretty(learned.profile(), "\t") + "\n").encode())
            os.rename(self._beside, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError as error:
            raise HostError.from_os(f"--learn: write {self._path}", error, call="renameat") from None
        self._beside = ""
        try:
            write_all(2, "".join(f"seccomp: {visible(line)}\n" for line in lines).encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise HostError.from_os("--learn: list the system calls", error, call="write") from None

    def __exit__(self, *_: object) -> None:
        if self._beside:
            os.unlink(self._beside, dir_fd=self._directory)
            self._beside = ""
        for fd in (self._fd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._fd = self._directory = -1
