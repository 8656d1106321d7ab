"""The preloaded interpreter: a file that is a started Python with all modules, which the launcher executes.

It is written by the starter (csrc/start/) and used by the launcher as long as the libraries, the modules and the
processor are those that it was written with. Without it nothing is lost but time.
"""

from __future__ import annotations

import os
import sys

from .errors import HostError, UnsupportedError

STARTER, STAGE, PRELOADED, PACK = "_start", "_stage", "_preload", "_pack"
# sys.path before the launcher's own: the zipped library, the library, its compiled modules.
_OWN_PATHS = 3


class Place:
    """The files of the start of this installation.

    Raises UnsupportedError when this process was not started by them.
    """

    def __init__(self) -> None:
        program = os.readlink("/proc/self/exe")
        directory, _, name = program.rpartition("/")
        kind, dot, suffix = name.partition(".")
        if kind not in (STARTER, PRELOADED) or not dot:
            raise UnsupportedError(
                f"the program {program} cannot be preloaded",
                remedy="call the installed program ocirun; and its Python must have a shared library (libpython)",
            )
        self.current = kind == PRELOADED
        self.directory = directory
        self._suffix = suffix
        self.trees = sys.path[_OWN_PATHS:]

    def name(self, kind: str) -> str:
        """The name of one of the files."""
        return f"{kind}.{self._suffix}"

    def file(self, kind: str) -> str:
        """The path of one of the files."""
        return f"{self.directory}/{self.name(kind)}"

    def open(self) -> int:
        """A descriptor of their directory.  Raises HostError."""
        try:
            return os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError.from_os(f"open {self.directory}", error, call="open") from None


def make(place: Place) -> int:
    """Write the preloaded interpreter, try it, and put it in place; its size on disk in bytes.

    Raises HostError.
    """
    target = place.name(PRELOADED)
    fresh = f"{target}.new"
    path = f"{place.directory}/{fresh}"
    rest = [place.file(PACK), *place.trees]
    directory = _locked(place)
    try:
        # rseq(2) is of one thread, and a later process has another.
        environ = {"LC_ALL": "C", "GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
        _run([place.file(STAGE), place.file(STARTER), "--preload", path, *rest], environ, "write it", directory)
        _run([path, *rest, "--", "ocirun", "--version"], {"LC_ALL": "C"}, "try it", directory)
        os.rename(fresh, target, src_dir_fd=directory, dst_dir_fd=directory)
        return os.stat(target, dir_fd=directory).st_blocks * 512
    except OSError as error:
        raise HostError.from_os(f"put {path} in place", error, call="rename") from None
    finally:
        _sweep(place, directory)
        os.close(directory)


def remove(place: Place) -> bool:
    """Remove the preloaded interpreter; whether there was one.  Raises HostError."""
    directory = _locked(place)
    try:
        os.unlink(place.name(PRELOADED), dir_fd=directory)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise HostError.from_os(f"remove {place.file(PRELOADED)}", error, call="unlink") from None
    finally:
        os.close(directory)
    return True


def _locked(place: Place) -> int:
    """The directory, locked against other calls like this one, and without what killed ones have left there."""
    import fcntl

    directory = place.open()
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
    except OSError as error:
        os.close(directory)
        raise HostError.from_os(f"lock {place.directory}", error, call="flock") from None
    _sweep(place, directory)
    return directory


def _sweep(place: Place, directory: int) -> None:
    """Remove what is not finished: the file, and the bundle that it practises with."""
    for name in os.listdir(directory):
        if name.startswith(f"{place.name(PRELOADED)}."):
            try:
                _clear(name, directory)
            except OSError:
                continue  # what it is in the way of will say so


def _clear(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            for below in os.listdir(inner):
                _clear(below, inner)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=directory)


def _run(words: list[str], environ: dict[str, str], what: str, lock: int) -> None:
    """Run a program to its end, quietly.  Raises HostError with its last words.

    lock   a descriptor that it has too: the lock holds until both of us have ended
    """
    reader, writer = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writer, 1),
            (os.POSIX_SPAWN_DUP2, writer, 2),
            (os.POSIX_SPAWN_DUP2, lock, 3),
        ]
        try:
            pid = os.posix_spawn(words[0], words, environ, file_actions=actions)
        except OSError as error:
            raise HostError.from_os(f"preloaded interpreter: {what}: {words[0]}", error, call="execve") from None
        os.close(writer)
        writer = -1
        said = b""
        while part := os.read(reader, 65536):
            said = (said + part)[-4096:]
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if status:
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["it says nothing"]
        ended = f"signal {-status}" if status < 0 else f"status {status}"
        raise HostError(f"preloaded interpreter: cannot {what}: {words[0]} ended with {ended}: {lines[-1]}")
