"""The entry of the command line: global options, the choice of the command, exit statuses.

Exit statuses: 0 done · 1 failed, or a wrong option · 3 no such command ·
130 interrupted · 141 standard output was closed.  `run` ends with the status
of the container's program.
"""

from __future__ import annotations

import os
import sys
from errno import EBADF

from ocirun._base.boundary import host_error
from ocirun.cli.call import Call, settings
from ocirun.cli.commands import load
from ocirun.cli.parse import UnknownOptionError, Values, parse
from ocirun.cli.table import COMMANDS, FAILURES, GLOBALS
from ocirun.errors import OcirunError, Spelling, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.table import Command, Option

FAILED = 1
TROUBLE = 2  # where 1 is an answer
NO_SUCH_COMMAND = 3
INTERRUPTED = 128 + 2  # as shells show a death by SIGINT
OUTPUT_CLOSED = 128 + 13  # and by SIGPIPE


class _Line:
    """A command line as far as it is read.

    given     the global options
    command   the entry of its command, None before that is known
    values    what the command was given
    """

    __slots__ = ("command", "given", "values")

    def __init__(self) -> None:
        self.given = Values(GLOBALS)
        self.command: Command | None = None
        self.values: Values | None = None

    def failure(self) -> int:
        """Return the exit status of an error."""
        if self.command is not None and self.values is not None and self.command.answer in self.values.given:
            return TROUBLE
        return FAILURES.get(self.given.arguments[0], FAILED) if self.given.arguments else FAILED


class UnknownCommandError(UsageError):
    """The first word that is no option is no command either."""


def main(words: list[str] | None = None, *, start: str = "module") -> int:
    """Run one command line and return its exit status; nothing is raised.

    words   the arguments after the program's name; None for those of this process
    start   how this interpreter was started, in a word of the launcher, see preload/missing.py
    """
    line = _Line()
    before, Spelling.flags = Spelling.flags, True
    try:
        _fill_standard_descriptors()
        try:
            return _dispatch(sys.argv[1:] if words is None else words, line, start)
        except Exception as error:
            return _failed(error, line)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        Spelling.flags = before


def _failed(error: Exception, line: _Line) -> int:
    """Report an error where the global options read so far ask for it; the exit status."""
    given = line.given
    name = given.arguments[0] if given.arguments else ""
    try:
        from ocirun.cli.log import Log
        from ocirun.cli.output import OutputClosedError
    except Exception:  # perhaps no descriptor or no memory is left for an import
        error = error if isinstance(error, OcirunError) else host_error(name or "ocirun", error) or error
        return _last_words(error)
    if isinstance(error, OutputClosedError):
        return OUTPUT_CLOSED
    log = Log.of(given)
    error = error if isinstance(error, OcirunError) else host_error(name or "ocirun", error) or error
    if isinstance(error, OcirunError):
        log.failure(error)
    else:
        log.crash(error)
    if isinstance(error, UnknownCommandError):
        return NO_SUCH_COMMAND
    return line.failure()


def _last_words(error: Exception) -> int:
    try:
        os.write(2, f"ocirun: {ascii(str(error))[1:-1]}\n".encode("ascii"))
    except Exception:  # noqa: S110  nothing is left to report with
        pass
    return FAILED


def _dispatch(words: list[str], line: _Line, start: str) -> int:
    given = line.given
    _parse(GLOBALS, words, given, None)
    if given.flag("version"):
        return _version(start)
    name, rest = (given.arguments[0], given.arguments[1:]) if given.arguments else ("help", [])
    if name == "help" or given.flag("help"):
        return _help(rest if name == "help" else given.arguments)
    _check_log(given)
    command, execute = _find(name)
    values = Values(command.options)
    line.command, line.values = command, values
    _parse(command.options, rest, values, command)
    if values.flag("help"):
        return _help([name])
    _check_count(command, values)
    call = Call(values, settings(given), given, start)
    if call.debug is not None:
        # Not the arguments, which may be secret.
        call.debug(f"{name}: state root {call.settings.root}", {"command": name})
    return execute(call)


def _parse(options: tuple[Option, ...], words: list[str], into: Values, command: Command | None) -> None:
    """Parse, and show how the command is called when that fails."""
    try:
        mixed = command is not None and command.mixed
        parse(options, words, into=into, mixed=mixed, unless=command.program if command else "")
    except UsageError as error:
        _show_usage(command)
        if isinstance(error, UnknownOptionError):
            from ocirun.cli import habits

            error.remedy = habits.of_option(command, error.word)
        if command is not None:
            error.message = f"{command.name}: {error.message}"
        raise


def _check_count(command: Command, values: Values) -> None:
    if command.program in values.given:
        return
    least, most = (0, 0) if command.instead and values.flag(command.instead) else command.counts()
    count = len(values.arguments)
    if least <= count <= most:
        return
    _show_usage(command)
    from ocirun.cli import habits

    wanted = command.arguments or "no arguments"
    text = f"{command.name}: takes {wanted}, but got {count} argument{'' if count == 1 else 's'}"
    raise UsageError(text, remedy=habits.of_count(command.name, count))


def _check_log(given: Values) -> None:
    """Refuse a log that cannot be written, on standard error alone."""
    from ocirun.cli.output import check_log, log_destination

    try:
        check_log(log_destination(given.text("log")))
    except OcirunError:
        given.given["log"] = ""
        raise


def _find(name: str) -> tuple[Command, Callable[[Call], int]]:
    if name not in COMMANDS:
        _show_usage(None)
        from ocirun.cli import habits

        raise UnknownCommandError(f'unknown command "{name}"', remedy=habits.of_command(name))
    return load(name)


def _show_usage(command: Command | None) -> None:
    from ocirun.cli import help as pages
    from ocirun.cli.output import OutputClosedError, out

    try:
        out(pages.usage(command))
    except (OutputClosedError, OcirunError):  # the mistake itself is still to be reported
        pass


def _help(words: list[str]) -> int:
    from ocirun.cli import help as pages
    from ocirun.cli.output import out

    topics = [word for word in words if not word.startswith("-")]
    out(pages.of(_find(topics[0])[0]) if topics else pages.general())
    return 0


def _version(start: str) -> int:
    from ocirun._base import version
    from ocirun.cli.output import out, visible
    from ocirun.preload import missing

    # No line but the first may hold that word, see version.text; a shell takes the "?" for any character.
    told = visible(missing.told(start)).replace("version", "ver?ion")
    out(f"{version.text()}preloaded: {told}\n")
    return 0


def _fill_standard_descriptors() -> None:
    """Open /dev/null on those of 0, 1, 2 that are closed, as the launcher does.

    Otherwise the next file opened, a state file perhaps, takes the number and
    gets error texts written into it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError as error:
            if error.errno != EBADF:
                continue
            # The lowest free number is fd itself, as those below it are open.
            os.set_inheritable(os.open("/dev/null", os.O_WRONLY if fd else os.O_RDONLY), True)
