"""The terms of one run: its streams, how long and how much it may, and what becomes of its output."""

from __future__ import annotations

import os

from .._base import parameters
from ..errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol, TypedDict

    class HasFileno(Protocol):
        """An open file, a socket, the end of a pipe."""

        def fileno(self) -> int:
            """Return its descriptor."""

    Input = bytes | bytearray | memoryview | str | int | HasFileno
    Output = int | HasFileno | None
    OnOutput = Callable[[str, Any], object]

    from .overrides import Limits, Overrides

    class TermsOf(TypedDict, total=False):
        """The parameters of `Terms`, as `ocirun.run` describes them."""

        stdin: Input
        stdout: Output
        stderr: Output
        timeout: float | None
        cpu_time: float | None
        output_limit: int
        on_output_limit: str
        on_output: OnOutput | None
        text: bool | str
        check: bool

    class ExecParameters(Limits, TermsOf, total=False):
        """Those of a run in a container that is there."""

    class PopenParameters(Limits, total=False):
        """Those of a process that goes on by itself, but its streams."""

        process: Mapping[str, Any] | None
        env: Mapping[str, str] | None
        cwd: str | None
        user: tuple[int, int] | None
        timeout: float | None
        cpu_time: float | None

    class Parameters(Overrides, TermsOf, total=False):
        """All parameters of a run but its names."""


# The numbers of `subprocess`, and of enum host_given in csrc/module/native.cdef.h.
PIPE, STDOUT, DEVNULL = -1, -2, -3
OUTPUT_LIMIT = 1 << 20
DROP, KILL = "drop", "kill"
STREAMS = ("stdout", "stderr")


class Terms:
    """What a run has of its own besides its config; checked.

    given      the three streams: a descriptor of the caller's, PIPE for what is made here, DEVNULL, STDOUT
    content    what the program reads, where stdin is PIPE
    encoding   of text, "" for bytes
    """

    __slots__ = (
        *("check", "content", "cpu_time", "encoding", "given", "kills", "limit", "on_output"),
        "timeout",
    )

    def __init__(
        self,
        *,
        stdin: Input = b"",
        stdout: Output = None,
        stderr: Output = None,
        timeout: float | None = None,
        cpu_time: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
        on_output_limit: str = DROP,
        on_output: OnOutput | None = None,
        text: bool | str = False,
        check: bool = False,
    ) -> None:
        """Check them.  Raises UsageError."""
        self.encoding = encoding(text)
        self.timeout = parameters.seconds("timeout", timeout)
        self.cpu_time = parameters.seconds("cpu_time", cpu_time)
        self.limit = parameters.whole("output_limit", output_limit, least=0)
        parameters.one_of("on_output_limit", on_output_limit, (DROP, KILL))
        self.kills = on_output_limit == KILL
        if on_output is not None and not callable(on_output):
            raise parameters.wrong("on_output", "a function of two arguments, or None", on_output)
        self.on_output = on_output
        self.check = parameters.boolean("check", check)
        self.content = b""
        given = PIPE
        if isinstance(stdin, (bytes, bytearray, memoryview, str)):
            self.content = content("stdin", stdin, self.encoding)
        else:
            given = _input(stdin)
        self.given = (given, _output("stdout", stdout), _output("stderr", stderr))


NAMES = frozenset(Terms.__init__.__kwdefaults__ or ())


def split(own: Parameters | ExecParameters) -> tuple[TermsOf, Any]:
    """Return the parameters of a run as its terms, and what changes its config."""
    given: Any = own
    terms: Any = {name: value for name, value in given.items() if name in NAMES}
    changes: Any = {name: value for name, value in given.items() if name not in NAMES}
    return terms, changes


def encoding(text: object) -> str:
    """Return the encoding that `text` asks for, "" for none.  Raises UsageError."""
    if isinstance(text, bool):
        return "utf-8" if text else ""
    if isinstance(text, str):
        import codecs

        try:
            if "\0" not in text and codecs.lookup(text)._is_text_encoding:
                b"\xff".decode(text, "replace")  # idna and undefined cannot replace what they cannot read
                return text
        except (LookupError, UnicodeError):
            pass
    raise parameters.wrong("text", "True, False, or the name of an encoding", text)


def content(name: str, value: object, encoding: str) -> bytes:
    """Return what a program reads as bytes.  Raises UsageError."""
    if not isinstance(value, str):
        return parameters.content(name, value)
    if not encoding:
        raise UsageError(f"{name}: is a str, and the run has no text", remedy="give bytes, or text=True")
    try:
        return value.encode(encoding)
    except UnicodeError as error:
        raise UsageError(f"{name}: cannot be written in {encoding}: {error}") from None


def _input(value: object) -> int:
    if value == DEVNULL:
        return DEVNULL
    if value == PIPE and not isinstance(value, bool):
        raise UsageError("stdin: PIPE is for popen; a run is given what it reads", remedy="give bytes or a file")
    return descriptor("stdin", value, "bytes, a str with text, an open file, or DEVNULL")


def _output(name: str, value: object) -> int:
    if value is None or (isinstance(value, int) and value == PIPE):
        return PIPE
    return output(name, value)


def output(name: str, value: object) -> int:
    """Return where an output goes that is named: DEVNULL, STDOUT, a descriptor.  Raises UsageError."""
    if isinstance(value, int) and (value == DEVNULL or (value == STDOUT and name == "stderr")):
        return value
    more = ", STDOUT" if name == "stderr" else ""
    return descriptor(name, value, f"an open file, PIPE, DEVNULL{more}, or None")


def descriptor(name: str, value: object, expected: str) -> int:
    """Return the descriptor of an open file.  Raises UsageError."""
    fd: object = value
    if not isinstance(value, int) and hasattr(value, "fileno"):
        try:
            fd = value.fileno()
        except (OSError, ValueError) as error:
            raise UsageError(f"{name}: {error}") from None
    if not isinstance(fd, int) or isinstance(fd, bool) or not 0 <= fd < 1 << 31:
        raise parameters.wrong(name, expected, value)
    try:
        os.fstat(fd)
    except OSError as error:
        raise UsageError(f"{name}: descriptor {fd}: {os.strerror(error.errno or 0)}") from None
    return fd


class Pieces:
    """The output of a run in the form that its caller is given it: bytes, or the text in them as far as it is whole."""

    __slots__ = ("_decoders",)

    def __init__(self, encoding: str) -> None:
        self._decoders: tuple[Any, ...] = ()
        if encoding:
            import codecs

            make = codecs.getincrementaldecoder(encoding)
            self._decoders = (make("replace"), make("replace"))

    def of(self, number: int, data: bytes, *, final: bool = False) -> Any:
        """Return what of one output is to be told now."""
        return self._decoders[number].decode(data, final) if self._decoders else data
