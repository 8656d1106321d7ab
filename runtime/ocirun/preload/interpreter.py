"""The preloaded interpreter: a file that is a started Python with all modules, which the launcher executes.

It is written by the starter (csrc/start/) and used by the launcher as long as the libraries, the modules and the
processor are those that it was written with. Without it nothing is lost but time.

In its place there may be a *note*: a line of text that says why there is none.  An empty file is that of the package,
which has it so that it is removed with the package.
"""

from __future__ import annotations

import os
import sys
from errno import EACCES, ENOENT, ENOTEMPTY, EPERM, EROFS

from ..errors import HostError, UnsupportedError

STARTER, STAGE, PRELOADED, PACK = "_start", "_stage", "_preload", "_pack"
# sys.path before the launcher's own: the zipped library, the library, its compiled modules.
_OWN_PATHS = 3
# A note is shorter, an interpreter longer.
_NOTE = 4096
REMOVED, FAILED = "removed", "it could not be made"


def python() -> str:
    """Return the name of this interpreter's version: ``python3.11``."""
    return f"python{sys.version_info[0]}.{sys.version_info[1]}{sys.abiflags}"


def missing_library() -> str:
    """Return what to install where the shared library of the interpreter is not found."""
    return (
        f"its Python needs a shared library: install the package lib{python()} (Debian, Ubuntu), {python()}-libs or "
        "python3-libs (Fedora, RHEL)"
    )


class Place:
    """The files of the start of this installation.

    Raises UnsupportedError when this process was not started by them, HostError.
    """

    def __init__(self) -> None:
        try:
            program = os.readlink("/proc/self/exe")
        except OSError as error:
            raise HostError.from_os("read /proc/self/exe", error, call="readlink") from None
        directory, _, name = program.rpartition("/")
        kind, dot, suffix = name.partition(".")
        if kind not in (STARTER, PRELOADED) or not dot:
            raise UnsupportedError(
                f"the program {program} cannot be preloaded",
                remedy=f"call the installed program ocirun; {missing_library()}",
            )
        self.current = kind == PRELOADED
        self.directory = directory
        self._suffix = suffix
        self.trees = sys.path[_OWN_PATHS:]

    def name(self, kind: str) -> str:
        """Return the name of one of the files."""
        return f"{kind}.{self._suffix}"

    def file(self, kind: str) -> str:
        """Return the path of one of the files."""
        return f"{self.directory}/{self.name(kind)}"

    def library(self) -> str:
        """Return the directory of the interpreter's shared library, as csrc/launcher.c looks for it; "" for none.

        Raises OSError.
        """
        for inner in (f"lib/{self._suffix.split('-', 2)[-1]}", "lib64", "lib"):
            try:
                os.stat(f"{sys.base_prefix}/{inner}/lib{python()}.so.1.0")
            except FileNotFoundError:
                continue
            return f"{sys.base_prefix}/{inner}"
        return ""

    def open(self) -> int:
        """Return a descriptor of their directory.  Raises HostError."""
        try:
            return os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError.from_os(f"open {self.directory}", error, call="open") from None


def make_preloaded(place: Place) -> int:
    """Write the preloaded interpreter, try it, and put it in place; its size on disk in bytes.

    Raises HostError.
    """
    directory = locked(place)
    try:
        return write(place, directory)
    finally:
        unlocked(place, directory)


def remove(place: Place) -> bool:
    """Remove the preloaded interpreter, and leave a note that it is not wanted; whether there was one.

    Raises HostError.
    """
    directory = locked(place)
    try:
        had = os.stat(place.name(PRELOADED), dir_fd=directory).st_size > _NOTE
    except FileNotFoundError:
        had = False
    except OSError as error:
        os.close(directory)
        raise HostError.from_os(f"look at {place.file(PRELOADED)}", error, call="stat") from None
    try:
        leave_note(place, directory, REMOVED)
    finally:
        os.close(directory)
    return had


def note(place: Place) -> str:
    """Return the line that is in place of the preloaded interpreter, "" for none.  Raises HostError."""
    path = place.file(PRELOADED)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError.from_os(f"open {path}", error, call="open") from None
    try:
        text = os.read(file, _NOTE) if os.fstat(file).st_size <= _NOTE else b""
    except OSError as error:
        raise HostError.from_os(f"read {path}", error, call="read") from None
    finally:
        os.close(file)
    return text.decode("utf-8", "replace").partition("\n")[0]


def leave_note(place: Place, directory: int, text: str) -> None:
    """Put a line of text in place of the preloaded interpreter.  Raises HostError.

    directory   what `locked` gives
    """
    fresh = f"{place.name(PRELOADED)}.note"
    try:
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=directory)
        try:
            os.write(file, text.encode("utf-8", "replace")[: _NOTE - 1] + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        raise HostError.from_os(f"write {place.directory}/{fresh}", error, call="write") from None
    _put(place, directory, fresh)


def write(place: Place, directory: int) -> int:
    """Write the preloaded interpreter, as `make` does.  Raises HostError.

    directory   what `locked` gives
    """
    fresh = f"{place.name(PRELOADED)}.new"
    path = f"{place.directory}/{fresh}"
    rest = [place.file(PACK), *place.trees]
    try:
        # rseq(2) is of one thread, and a later process has another.
        environ = {"LC_ALL": "C", "GLIBC_TUNABLES": "glibc.pthread.rseq=0", "LD_LIBRARY_PATH": place.library()}
        _run([place.file(STAGE), place.file(STARTER), "--preload", path, *rest], environ, "write it", directory)
        _run([path, "preloaded", "", *rest, "--", "ocirun", "--version"], {"LC_ALL": "C"}, "try it", directory)
        _put(place, directory, fresh)
        return os.stat(place.name(PRELOADED), dir_fd=directory).st_blocks * 512
    except OSError as error:
        raise HostError.from_os(f"look at {place.file(PRELOADED)}", error, call="stat") from None
    finally:
        _sweep(place, directory)


def locked(place: Place, *, wait: bool = True) -> int:
    """Return a descriptor of the directory, locked against others like this one,
    and without what killed ones have left there.

    wait   for one that has it locked; otherwise -1 is given then

    Raises HostError.
    """
    import fcntl

    directory = place.open()
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(directory)
        return -1
    except OSError as error:
        os.close(directory)
        raise HostError.from_os(f"lock {place.directory}", error, call="flock") from None
    _sweep(place, directory)
    return directory


def unlocked(place: Place, directory: int) -> None:
    """Close what `locked` gave.  Raises HostError.

    If the package has been removed meanwhile, its directory goes too: it had to stay as long as something unfinished
    was in it, and Python would import an empty one.
    """
    try:
        os.stat(place.name(PACK), dir_fd=directory)
    except FileNotFoundError:
        _sweep(place, directory)
        above, _, name = place.directory.rpartition("/")
        try:
            parent = os.open(f"{above}/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.rmdir(name, dir_fd=parent)
            finally:
                os.close(parent)
        except OSError as error:
            if error.errno not in (ENOENT, ENOTEMPTY, EACCES, EPERM, EROFS):
                raise HostError.from_os(f"remove {place.directory}", error, call="rmdir") from None
    except OSError as error:
        raise HostError.from_os(f"look at {place.file(PACK)}", error, call="stat") from None
    finally:
        os.close(directory)


def _put(place: Place, directory: int, fresh: str) -> None:
    """Rename a finished file into place, unless the package has been removed meanwhile.  Raises HostError."""
    try:
        os.stat(place.name(PACK), dir_fd=directory)
        os.rename(fresh, place.name(PRELOADED), src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        _sweep(place, directory)
        raise HostError.from_os(f"put {place.directory}/{fresh} in place", error, call="rename") from None


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
