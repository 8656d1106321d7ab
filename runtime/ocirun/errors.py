"""The errors of ocirun: one tree, facts in fields, one line of text.

    OcirunError
    |- UsageError               a command line or a call that cannot be understood
    |- ConfigError              config.json is wrong; holds every Problem found
    |- UnsupportedError         valid, but this build or this host cannot do it
    |- InvalidIdError           a container id outside the allowed set
    |- ContainerNotFoundError   no container of that id
    |- ContainerExistsError     the id is taken
    |- StateError               the container is in a state that forbids the operation
    |- StateDamagedError        the saved state cannot be trusted
    |- ImageError               an image that cannot be unpacked
    |- HostError                a call of the runtime itself failed
    `- StepError                an operation of the plan failed
       |- HookError             ... and it was a hook
       `- ProgramError          ... and it was the look-up or execve of the program

Every class has a stable ``code``.  The texts of states and of missing
containers are matched by engines and therefore equal to those of runc.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self


def errno_words(errno: int) -> str:
    """Return the words for an errno, in the lower-case form that engines match.

    The only place of the project where an errno becomes text.
    """
    text = os.strerror(errno)
    if text.startswith("Unknown error"):
        return f"errno {errno}"
    # "RPC ..." style words keep their capitals; no errno we meet starts so.
    return text[:1].lower() + text[1:]


class Spelling:
    """How the caller says an option: `flags` is true while the command line runs."""

    flags = False


def option(name: str, value: str = "") -> str:
    """Return an option for the reader of an error: ``--console-socket`` or ``console_socket``.

    name    as on the command line
    value   what is to be given with it, "" for a flag
    """
    if Spelling.flags:
        return f"--{name} {value}".rstrip()
    name = name.replace("-", "_")
    return f'{name}="{value}"' if value else name


def with_force(command: str) -> str:
    """Return a call with the option ``force`` for the reader of an error."""
    return f"`{command} --force`" if Spelling.flags else f"`{command}(force=True)`"


def os_words(what: str, error: OSError, words: str = "") -> str:
    """Return `what` with the words of an OSError, and the path of the failed call where `what` does not name it.

    words   in place of those of its errno
    """
    path = error.filename if error.filename2 is None else error.filename2
    name = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
    shown = "" if not name or os.path.basename(name.rstrip("/")) in what else f"{name}: "
    return f"{what}: {shown}{words or errno_words(error.errno or 0)}"


class Problem:
    """One thing wrong with a config, with its address.

    pointer   JSON pointer (RFC 6901) of the offending value, such as ``/process/user/uid``
    message   what is wrong, one line, without the pointer
    expected  what would have been right, or ""
    found     what was there, or ""
    warning   True when the config can be used all the same
    """

    __slots__ = ("expected", "found", "message", "pointer", "warning")

    def __init__(
        self, pointer: str, message: str, *, expected: str = "", found: str = "", warning: bool = False
    ) -> None:
        self.pointer = pointer
        self.message = message
        self.expected = expected
        self.found = found
        self.warning = warning

    def line(self) -> str:
        """Return the problem as one line, pointer first."""
        return f"{self.pointer}: {self.message}" if self.pointer else self.message

    def record(self) -> dict[str, object]:
        """Return the problem as plain values, for JSON output."""
        return {name: getattr(self, name) for name in ("pointer", "message", "expected", "found", "warning")}

    def __repr__(self) -> str:
        return f"Problem({self.line()!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and self.record() == other.record()

    def __hash__(self) -> int:
        return hash((self.pointer, self.message))


# What helps wherever it is met: EMFILE, ENFILE.
_LIMITS = {
    24: "raise the limit on open files, see `ulimit -n`",
    23: "the host has no more open files, see the sysctl fs.file-max",
}


class OcirunError(Exception):
    """Base of all errors of ocirun.

    message    what happened, one line
    pointer    JSON pointer into config.json, or ""
    operation  the operation of the plan, such as ``bind``, or ""
    call       the system call that failed, or ""
    errno      its errno, or 0
    remedy     what the reader can do, or ""
    """

    code = "error"

    def __init__(
        self,
        message: str,
        *,
        pointer: str = "",
        operation: str = "",
        call: str = "",
        errno: int = 0,
        remedy: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.pointer = pointer
        self.operation = operation
        self.call = call
        self.errno = errno
        self.remedy = remedy or _LIMITS.get(errno, "")

    def line(self) -> str:
        """Return the error as the one line that people and engines read."""
        text = self.message
        if self.remedy:
            text += f" ({self.remedy})"
        return text

    def record(self) -> dict[str, object]:
        """Return the error as plain values, for ``--log-format json``."""
        fields = {
            "code": self.code,
            "pointer": self.pointer,
            "operation": self.operation,
            "call": self.call,
            "errno": self.errno,
            "remedy": self.remedy,
        }
        return {name: value for name, value in fields.items() if value}

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not pickle by themselves.
        return (_rebuild, (type(self), self.args, self.__dict__))

    def __str__(self) -> str:
        return self.line()


def _rebuild(kind: type[OcirunError], args: tuple[object, ...], fields: dict[str, object]) -> OcirunError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class UsageError(OcirunError):
    """A command line or an argument that cannot be understood."""

    code = "usage"


#: Where the interpreter does not load `_native` (PEP 684), and what helps.
ISOLATED = "ocirun does not run in an isolated subinterpreter: its modules in C have one state for the whole process"
MAIN = "call it from the main interpreter, in any thread of it"


def is_isolated(error: BaseException) -> bool:
    """Return whether a module was refused because the interpreter is an isolated one, which the errors only say."""
    return isinstance(error, ImportError) and "does not support loading in subinterpreters" in str(error)


def stays_here(what: str, remedy: str) -> UsageError:
    """Return the error for a handle that is to be pickled or copied.

    what   such as ``a Pool``
    """
    return UsageError(f"{what} cannot be copied, pickled or sent to another process", remedy=remedy)


class ConfigError(OcirunError):
    """config.json cannot be used; ``problems`` holds each reason."""

    code = "config"

    def __init__(self, problems: Sequence[Problem], *, path: str = "config.json") -> None:
        first = next((p for p in problems if not p.warning), None)
        if first is None:
            text, pointer = f"{path}: invalid config", ""
        else:
            text, pointer = f"{path}: {first.line()}", first.pointer
        more = sum(1 for p in problems if not p.warning) - 1
        if more > 0:
            text += f" (and {more} more: `ocirun check` lists them)"
        super().__init__(text, pointer=pointer)
        self.problems = list(problems)


class UnsupportedError(OcirunError):
    """A valid request that this build or this host cannot serve."""

    code = "unsupported"


class InvalidIdError(OcirunError):
    """A container id outside ``[A-Za-z0-9_+.-]{1,255}``, or ``.`` or ``..``."""

    code = "invalid-id"


class AboutContainer:
    """Part of the errors that are about one container.

    container   its id, or ""
    root        the state root in which it is, or was looked for, or ""
    """

    container = ""
    root = ""

    def about(self, container_id: str, root: str) -> Self:
        """Add which container it is, unless that is known; returns the error."""
        if not self.container:
            self.container, self.root = container_id, root
        return self

    def record(self) -> dict[str, object]:
        """Return the error as plain values, for ``--log-format json``."""
        places = {"container": self.container, "root": self.root}
        known: dict[str, object] = super().record()  # type: ignore[misc]  # of OcirunError, which stands beside it
        return {**known, **{name: value for name, value in places.items() if value}}


class ContainerNotFoundError(AboutContainer, OcirunError):
    """No container has that id."""

    code = "not-found"


class ContainerExistsError(AboutContainer, OcirunError):
    """The id belongs to a container already."""

    code = "exists"


class StateError(AboutContainer, OcirunError):
    """The container's state forbids the operation; ``status`` is that state."""

    code = "state"

    def __init__(self, message: str, *, status: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status


class StateDamagedError(OcirunError):
    """The saved state of a container cannot be read or trusted."""

    code = "state-damaged"


class ImageError(OcirunError):
    """An image is damaged, hostile, or not what was asked for; nothing of it is left.

    image   path of the image, or ""
    blob    digest or name of the part of it, or ""
    entry   path of the file in the part, or ""
    reason  what is wrong, without these
    """

    code = "image"

    def __init__(
        self,
        reason: str,
        *,
        image: str = "",
        blob: str = "",
        entry: str = "",
        pointer: str = "",
        operation: str = "",
        call: str = "",
        errno: int = 0,
        remedy: str = "",
    ) -> None:
        message = ": ".join(part for part in (image, blob, entry, reason) if part)
        super().__init__(message, pointer=pointer, operation=operation, call=call, errno=errno, remedy=remedy)
        self.reason = reason
        self.image = image
        self.blob = blob
        self.entry = entry

    def inside(self, *, image: str = "", blob: str = "", entry: str = "") -> ImageError:
        """Make the same error with the places that it does not name itself."""
        return ImageError(
            self.reason,
            image=self.image or image,
            blob=self.blob or blob,
            entry=self.entry or entry,
            pointer=self.pointer,
            operation=self.operation,
            call=self.call,
            errno=self.errno,
            remedy=self.remedy,
        )

    def record(self) -> dict[str, object]:
        """Return the error as plain values, for ``--log-format json``."""
        places = {"image": self.image, "blob": self.blob, "entry": self.entry}
        return {**super().record(), **{name: value for name, value in places.items() if value}}


class HostError(OcirunError):
    """A call that the runtime made for itself failed (state root, sockets, /proc)."""

    code = "host"

    @classmethod
    def from_os(cls, what: str, error: OSError, *, pointer: str = "", call: str = "", remedy: str = "") -> HostError:
        """Build from an OSError; `what` says what was tried, such as ``open /run/x``."""
        return cls(os_words(what, error), pointer=pointer, call=call, errno=error.errno or 0, remedy=remedy)


class StepError(OcirunError):
    """An operation of the plan failed; everything done before it was undone.

    index   number of the operation in the plan, as ``explain`` prints it
    actor   "host" or "init"
    """

    code = "step"

    def __init__(
        self,
        message: str,
        *,
        index: int = -1,
        actor: str = "host",
        pointer: str = "",
        operation: str = "",
        call: str = "",
        errno: int = 0,
        remedy: str = "",
    ) -> None:
        super().__init__(message, pointer=pointer, operation=operation, call=call, errno=errno, remedy=remedy)
        self.index = index
        self.actor = actor


class HookError(StepError):
    """A hook failed.

    kind         prestart, createRuntime, createContainer, startContainer, poststart, poststop
    hook_index   its place in the array, from 0
    exit_code    its exit status, or 128 + signal
    output       the kept part of its stdout and stderr
    """

    code = "hook"

    kind = ""
    hook_index = -1
    exit_code = -1
    output = ""


class OutcomeError(OcirunError):
    """A program did not end well, and its caller had asked for a `check`.

    outcome   what became of it
    """

    code = "outcome"

    outcome: Any = None

    @classmethod
    def of(cls, outcome: Any) -> OutcomeError:
        """Build from an outcome that is not ok."""
        how = f"with exit code {outcome.exit_code}"
        if outcome.signal is not None:
            how = f"by signal {outcome.signal}"
        why = f", over its limit of {_OF_LIMITS.get(outcome.limit, outcome.limit)}" if outcome.limit else ""
        made = cls(f"the program ended {how}{why}")
        made.outcome = outcome
        return made


_OF_LIMITS = {"cpu": "processor time", "file_size": "file size", "pids": "processes"}


class ProgramError(StepError):
    """The program of ``process.args`` was not found or could not be executed."""

    code = "program"
