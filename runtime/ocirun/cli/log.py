"""The one place where errors and warnings are printed.

Who reads what:
  --log FILE            one record appended to FILE, and the bare message on standard error
  no --log, text        a record on standard error; on a terminal a message for people instead
  no --log, json        a record on standard error
  --log journald:NAME   as a file, with the message, or the JSON object, in place of the record; syslog:NAME likewise
A record is a line ``time=... level=... msg=...``, or a JSON object with the
fields of the error beside ``level``, ``msg`` and ``time``.  Nothing here
raises: whatever becomes of the message, the exit status stands.
"""

from __future__ import annotations

import os
import time

from ocirun._base.jsonio import dumps
from ocirun.cli.output import SOCKETS, log_destination, open_log, quoted, visible, write_all
from ocirun.errors import ConfigError, ContainerExistsError, ContainerNotFoundError, StateError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocirun.cli.parse import Values
    from ocirun.errors import OcirunError

# With every character escaped as six, a record still fits into an empty pipe (64 KiB, pipe(7)),
# which the caller may read only after we have ended.
_MESSAGE_MAX = 6000
_FIELD_MAX = 600


class Log:
    """Where and how errors are reported.

    path       where the records go, see `output.log_destination`; "" for standard error alone
    json       records are JSON objects
    warnings   warnings are reported
    debug      internal errors bring a traceback, steps are told
    """

    __slots__ = ("debug", "json", "path", "warnings")

    def __init__(self, path: str = "", *, json: bool = False, level: str = "") -> None:
        self.path = log_destination(path)
        self.json = json
        # Engines parse the whole of a JSON log as one object, and that is the error.
        self.warnings = level in ("warning", "debug") or not (json or level)
        self.debug = level == "debug"

    @classmethod
    def of(cls, given: Values) -> Log:
        """Return the log that the global options ask for."""
        level = "debug" if given.flag("debug") else given.text("log-level")
        return cls(given.text("log"), json=given.text("log-format") == "json", level=level)

    def failure(self, error: OcirunError) -> None:
        """Report an error that ends the call."""
        self._report("error", error.line(), error.record(), error)

    def crash(self, error: BaseException) -> None:
        """Report an exception that is a fault of ocirun itself."""
        if self.debug:
            import traceback

            trace = "".join(traceback.format_exception(error))
            for part in [trace] if self.json else trace.splitlines():
                self._report("debug", part, {}, None)
        text = _one_line(error)
        self._report("error", f"internal error: {type(error).__name__}{': ' if text else ''}{text}", {}, None)

    def warn(self, text: str) -> None:
        """Report something that does not end the call."""
        if self.warnings:
            self._report("warning", text, {}, None)

    def debug_line(self, text: str, fields: Mapping[str, object]) -> None:
        """Report a step on the way; whoever calls this knows that it is asked for."""
        self._report("debug", text, fields, None)

    def _report(self, level: str, message: str, fields: Mapping[str, object], error: OcirunError | None) -> None:
        record = _json_record if self.json else _text_record
        unwritten = ""
        if self.path:
            unwritten = self._append(level, message, fields, error)
            if level != "error":
                return
        if self.json and not self.path:
            _stderr(record(level, message, fields))
        elif _terminal():
            _stderr(_for_people(level, message, error))
        elif self.path:
            _stderr(_line(visible(_clip(message, _MESSAGE_MAX))))
        else:
            _stderr(record(level, message, fields))
        if unwritten:
            # A symbol in place of words: "no such file or directory" here would pass for a missing program.
            _stderr(_line(f"cannot write the log {visible(_clip(self.path, _FIELD_MAX))}: {unwritten}"))

    def _append(self, level: str, message: str, fields: Mapping[str, object], error: OcirunError | None) -> str:
        """Append to the log, in one write, so that records of several calls do not mix.

        Returns the symbol of the errno that prevented it, or "".
        """
        data = (_json_record if self.json else _text_record)(level, message, fields)
        try:
            if self.path.startswith(SOCKETS):
                from ocirun.cli import log_sockets

                text = data.decode().rstrip() if self.json else visible(_clip(message, _MESSAGE_MAX))
                log_sockets.append(self.path, level, text, error.errno if error is not None else 0)
                return ""
            fd = open_log(self.path)
            try:
                written = os.write(fd, data)
            finally:
                os.close(fd)
        except OSError as failure:
            return _symbol(failure.errno or 0)
        except ValueError:  # a NUL in the path
            return "EINVAL"
        return "" if written == len(data) else "ENOSPC"


def _one_line(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a faulty exception class
        return ""


def _clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def _line(text: str) -> bytes:
    return (text + "\n").encode("utf-8", "backslashreplace")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _text_record(level: str, message: str, fields: Mapping[str, object]) -> bytes:  # noqa: ARG001  one shape for both
    return _line(f'time="{_now()}" level={level} msg={quoted(_clip(message, _MESSAGE_MAX))}')


def _json_record(level: str, message: str, fields: Mapping[str, object]) -> bytes:
    record: dict[str, object] = {"level": level, "msg": _strict(_clip(message, _MESSAGE_MAX)), "time": _now()}
    for name, value in fields.items():
        record[name] = value if isinstance(value, (int, list, dict)) else _strict(_clip(str(value), _FIELD_MAX))
    return _line(dumps(record))


def _strict(text: str) -> str:
    """Return `text` without lone surrogates, which strict JSON parsers refuse even as escapes."""
    if text.isascii():
        return text
    return "".join(visible(char) if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


def _for_people(level: str, message: str, error: OcirunError | None) -> bytes:
    start = "ocirun: " if level == "error" else f"ocirun: {level}: "
    if error is None:
        return _line(start + visible(_clip(message, _MESSAGE_MAX)))
    rows = [start + visible(_clip(error.message, _MESSAGE_MAX))]
    if isinstance(error, ConfigError):
        failing = [problem for problem in error.problems if not problem.warning]
        rows.extend(f"  also {visible(_clip(problem.line(), _FIELD_MAX))}" for problem in failing[1:])
    operation = error.operation
    if operation and isinstance(error, StepError) and error.index >= 0:
        operation += f" (number {error.index} of the plan, {error.actor})"
    call = error.call
    if error.errno:
        call = f"{call} {_symbol(error.errno)}".lstrip()
    details = [("pointer", error.pointer), ("operation", operation), ("system call", call), ("remedy", error.remedy)]
    if isinstance(error, (ContainerNotFoundError, ContainerExistsError, StateError)):
        from ocirun.cli import whereabouts

        details += whereabouts.rows(error)
    rows.extend(f"  {name}: {visible(_clip(text, _FIELD_MAX))}" for name, text in details if text)
    return b"".join(_line(row) for row in rows)


def _symbol(number: int) -> str:
    import errno

    return errno.errorcode.get(number, f"errno {number}")


def _terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _stderr(data: bytes) -> None:
    try:
        write_all(2, data)
    except OSError:  # closed, full or without a reader; there is nobody left to tell
        pass
