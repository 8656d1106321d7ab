"""What a failed creation leaves for whoever looks into it: a file with the config, the plan, the facts of the host,
how far both sides came, and the error.  Values that may be secret are masked in all of it."""

from __future__ import annotations

import os
import platform
import re
import time
from errno import EISDIR, EOPNOTSUPP

from ._base import jsonio
from ._base.version import VERSION
from .config import load
from .errors import HostError, OcirunError, Problem, UsageError, errno_words
from .plan import render
from .plan.ops import Op, Plan
from .state.record import PHASE_FAILED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .execute.options import CreateOptions
    from .execute.spawn import Helper
    from .state.record import Progress

FORMAT = 1
MASK = "***"
# Variables that tell how a program finds its way, and nothing about who may do what.
_PLAIN = frozenset(("PATH", "HOME", "TERM", "LANG", "LANGUAGE", "USER", "LOGNAME", "SHELL", "PWD", "TZ", "HOSTNAME"))
_TELLING = re.compile("pass|pwd|secret|token|credential|key|auth|bearer", re.IGNORECASE)
# Objects of config.json that hold words of a command line.
_LISTS = ("args", "commandLine", "parameters")
_SEPARATOR = re.compile("[=:]|(?<=bearer) ", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"://[^/\s@:]*:([^/\s@]+)@")
_NO_ID = re.compile(r"[^A-Za-z0-9_+.-]")
_NAME = 200
# Stands in messages where a long text was cut.
_CUT = "..."
# A shorter text is masked where it is the whole value only: it may be part of anything.
_SHORT = 4


class Capsule:
    """What is kept of one creation, for the case that it fails; a witness of its course, see `CreateOptions.witness`.

    directory   where the file is written; made, for its owner alone, if it is missing; what it is in is not
    Raises HostError if it can be neither used nor made.
    """

    def __init__(self, directory: str) -> None:
        self._plan: Plan | None = None
        self._sides: dict[str, Any] = {}
        self.directory = os.path.abspath(directory)
        try:
            above, _, name = self.directory.rpartition("/")
            fd = os.open(above or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.mkdir(name, 0o700, dir_fd=fd)
            finally:
                os.close(fd)
        except FileExistsError:
            pass  # the next call tells if it is a directory
        except OSError as error:
            raise HostError.from_os(f"make the directory of capsules {self.directory}", error, call="mkdir") from None
        try:
            # A file without a name, which is gone again: the right to write is told by writing.
            os.close(os.open(self.directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in (EOPNOTSUPP, EISDIR):  # not every file system has such files
                what = f"write to the directory of capsules {self.directory}"
                raise HostError.from_os(what, error, call="open") from None

    def end(self, plan: Plan, helper: Helper | None, own: Progress, container_id: str) -> None:
        """Note how far it came."""
        del container_id
        self._plan = plan
        self._sides = {"host": _side(plan, own, "host")}
        try:
            if helper is not None and helper.progress_fd >= 0:
                self._sides["init"] = _side(plan, helper.progress(), "init")
        except OSError as error:
            self._sides["init"] = {"unknown": errno_words(error.errno or 0)}

    def write(self, error: OcirunError, command: str, container_id: str, options: CreateOptions) -> str:
        """Write the file; returns its path.  Raises HostError."""
        config = _config(options)
        secrets = secrets_of(config)
        document = {
            "format": FORMAT,
            "ocirun": VERSION,
            "python": platform.python_version(),
            "kernel": " ".join(os.uname()[0:3:2]),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "command": command,
            "id": container_id,
            "error": {"message": error.message, "index": getattr(error, "index", -1), **error.record()},
            "problems": [problem.record() for problem in getattr(error, "problems", ())],
            "progress": self._sides,
            "config": config,
            "plan": None if self._plan is None else self._plan.record(),
            "facts": _facts(),
        }
        # What failed may be the id itself, which is no part of a path then.
        name = f"{_NO_ID.sub('_', container_id)[:_NAME]}-{time.time_ns()}.json"
        path = os.path.join(self.directory, name)
        content = jsonio.dumps_pretty(masked(document, secrets)).encode("utf-8", "backslashreplace") + b"\n"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(content)
        except OSError as failed:
            raise HostError.from_os(f"write the capsule {path}", failed, call="write") from None
        return path


def _side(plan: Plan, progress: Progress, actor: str) -> dict[str, Any]:
    """Return the progress record of one side; of the mounts the kernel's log is its output."""
    from .execute.spawn import call_name

    # What is no operation has the number behind the last.
    count = len(plan.ops)
    stamps = [[index, at] for index, at in progress.stamps if at and index < count and plan.ops[index].actor == actor]
    return {
        "phase": progress.phase,
        "failed": progress.phase == PHASE_FAILED,
        "index": progress.index,
        "call": call_name(progress.call) if progress.call else "",
        "errno": progress.errno,
        "object": progress.object,
        "output": progress.output,
        "stamps": stamps,
    }


def _config(options: CreateOptions) -> Any:
    """Return the config as it is written, None where it cannot be read."""
    from .commands import planning

    path = planning.absolute(options.config) or os.path.join(os.path.abspath(options.bundle or "."), "config.json")
    try:
        return jsonio.loads(load.read(path))
    except (OcirunError, jsonio.JsonError):
        return None


def _facts() -> Any:
    from .hostfacts import gather

    try:
        return gather()
    except OcirunError as error:
        return {"error": error.line()}


def secrets_of(config: Any) -> set[str]:
    """Return the texts of a config that may be secret, in each form in which a message may have them.

    A config that has failed may be of any shape: what counts is the name under which a text stands.
    """
    found = {text.strip() for text in _of(config)} - {""}
    escaped = {form for text in found for form in (ascii(text)[1:-1], jsonio.dumps(text)[1:-1])}
    return found | escaped


def _of(value: Any) -> Iterator[str]:
    """Yield values of variables, what follows a telling word, and passwords in addresses."""
    if isinstance(value, str):
        yield from _IN_ADDRESS.findall(value)
    elif isinstance(value, list):
        for item in value:
            yield from _of(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _of(item)
            if name == "env":
                yield from _of_variables(item)
            elif name in _LISTS:
                yield from _of_words(list(_texts(item)))
            elif name == "options":
                yield from _of_words([f"--{word}" for option in _texts(item) for word in option.split(",")])
            elif name == "annotations" and isinstance(item, dict):
                yield from (text for text in item.values() if isinstance(text, str) and _tells(text))
            elif name == "listenerMetadata" or _tells(name):
                yield from _texts(item)


def _of_variables(value: Any) -> Iterator[str]:
    """Yield the values of ``env``; it may be an object, which is a common mistake."""
    pairs = value.items() if isinstance(value, dict) else (text.partition("=")[::2] for text in _texts(value))
    for name, item in pairs:
        if not item:
            yield name  # no NAME=value at all
        elif name not in _PLAIN and (_tells(name) or not name.startswith("LC_")):
            yield from _texts(item)


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _of_words(words: list[str]) -> Iterator[str]:
    """Yield what follows a telling option, in the same word or the next one."""
    for place, word in enumerate(words):
        telling = _TELLING.search(word)
        end = telling and _SEPARATOR.search(word, telling.end())
        if end:
            yield word[end.end() :]
        elif telling and word.startswith("-") and place + 1 < len(words):
            yield words[place + 1]
        if len(parts := word.split()) > 1:
            yield from _of_words(parts)


def _tells(name: str) -> bool:
    return _TELLING.search(name) is not None


def masked(value: Any, secrets: set[str]) -> Any:
    """Return a document with `MASK` in the place of each secret."""
    return _Masking(secrets).of(value)


class _Masking:
    """Secrets, in the order and by the ends by which they are looked for: there may be thousands, in long texts."""

    def __init__(self, secrets: set[str]) -> None:
        self._secrets = secrets
        self._long = sorted((one for one in secrets if len(one) >= _SHORT), key=len, reverse=True)
        self._by_begin: dict[str, list[str]] = {}
        self._by_end: dict[str, list[str]] = {}
        for secret in self._long:
            self._by_begin.setdefault(secret[:_SHORT], []).append(secret)
            self._by_end.setdefault(secret[-_SHORT:], []).append(secret)

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self.of(item) for key, item in value.items()}
        return [self.of(item) for item in value] if isinstance(value, (list, tuple)) else value

    def _text(self, text: str) -> str:
        if text in self._secrets:
            return MASK
        head, equals, tail = text.partition("=")
        if equals and tail in self._secrets:
            return f"{head}={MASK}"
        for secret in self._long:
            text = text.replace(secret, MASK)
        if _CUT not in text:
            return text
        # A message may have been cut within a secret.
        parts = text.split(_CUT)
        cut = [self._without_begin(part) for part in parts[:-1]] + parts[-1:]
        return _CUT.join([cut[0], *map(self._without_end, cut[1:])])

    def _without_begin(self, part: str) -> str:
        """Return a text with the mask in place of the begin of a secret at its end."""
        for at in range(len(part) - _SHORT + 1):
            if any(one.startswith(part[at:]) for one in self._by_begin.get(part[at : at + _SHORT], ())):
                return part[:at] + MASK
        return part

    def _without_end(self, part: str) -> str:
        """Return a text with the mask in place of the end of a secret at its begin."""
        for at in range(len(part), _SHORT - 1, -1):
            if any(one.endswith(part[:at]) for one in self._by_end.get(part[at - _SHORT : at], ())):
                return MASK + part[at:]
        return part


def read(path: str) -> dict[str, Any]:
    """Return the document in a file that `Capsule.write` has made.

    Raises HostError when it cannot be read, UsageError for what is none.
    """
    try:
        document = jsonio.loads(load.read(path))
    except jsonio.JsonError as error:
        raise UsageError(f"{path}: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or "error" not in document:
        raise UsageError(f"{path}: is no capsule of this version")
    return document


def told(path: str, columns: int = 0) -> str:
    """Return a capsule for readers, see `lines`.  Raises as `read`, and UsageError for one that is damaged."""
    document = read(path)
    try:
        return "".join(lines(document, columns))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise UsageError(f"{path}: is a capsule that is damaged, or not of this version ({what})") from None


def lines(document: dict[str, Any], columns: int = 0) -> Iterator[str]:
    """Yield a capsule for readers: what failed, and the plan up to there.

    columns   of the terminal, for which longer lines are broken; 0 for none
    """
    error = document["error"]
    where = f"ocirun {document['ocirun']}, {document['kernel']}"
    yield f"{document['command']} {document['id']}, {document['time']}, {where}\n"
    yield render.fitted(f"failed: {error['message']}\n", 8, columns)
    for key in ("pointer", "call", "remedy"):
        if error.get(key):
            yield render.fitted(f"  {key}: {error[key]}\n", 4, columns)
    if error.get("errno"):
        yield f"  errno: {error['errno']} ({errno_words(error['errno'])})\n"
    for problem in document["problems"][1:]:
        yield render.fitted(f"  {problem['pointer']}: {problem['message']}\n", 4, columns)
    for actor, side in document["progress"].items():
        if side.get("output"):
            yield render.fitted(f"{actor} heard: {side['output'].strip()}\n", 4, columns)
    if document["plan"] is None:
        yield "There was no plan yet.\n"
        return
    plan = of_record(document["plan"])
    reached = error["index"]
    for index, op in enumerate(plan.ops):
        if reached >= 0 and index > reached:
            yield f"{len(plan.ops) - index} operations were not reached.\n"
            break
        mark = "FAILED" if index == reached else ""
        yield render.fitted(f"{mark:6} {index:4}  {op.actor}  {op.pointer or '-'}  {render.phrase(op)}\n", 14, columns)


def of_record(record: dict[str, Any]) -> Plan:
    """Return the plan that `Plan.record` has told."""
    ops = [
        Op(one["op"], one["actor"], one.get("pointer", ""), one["args"], why=one.get("why", ""))
        for one in record["ops"]
    ]
    problems = [Problem(one.pop("pointer"), one.pop("message"), **one) for one in map(dict, record["warnings"])]
    return Plan(ops, record["slots"], record["inherited"], record["keep"], problems)
