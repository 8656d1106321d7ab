"""Read the config.json of a bundle: open it safely, parse it, check it."""

from __future__ import annotations

import os

from .._base import procfile
from .._base.jsonio import SIZE_LIMIT, JsonError, contents, dumps, loads
from ..errors import ConfigError, HostError, Problem, option
from .check import checked, checked_parts
from .report import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from ._types import Spec

_ENOENT, _EACCES, _ENOTDIR = 2, 13, 20
_OF_IMAGE = "`ocirun bundle IMAGE DIR` makes a bundle of an image, see docs/bundles.md"
_NO_BUNDLE = f"a bundle is the directory of a config.json and a root file system; {_OF_IMAGE}"
_KINDS = {
    0o040000: "a directory",
    0o010000: "a FIFO",
    0o020000: "a character device",
    0o060000: "a block device",
    0o140000: "a socket",
}


class Config:
    """A checked config.json.

    data      the document; keys the spec does not have are still in it, optional keys that were null are not
    raw       the bytes of the file
    path      absolute path of the file
    bundle    absolute path of the bundle; relative paths in `data` start here
    warnings  Problems that do not stop the config from being used
    contents  bytes that go with it and are not in it, by the names that its plan has for them
    """

    __slots__ = ("bundle", "contents", "data", "path", "raw", "warnings")

    def __init__(
        self,
        data: Spec,
        *,
        raw: bytes,
        path: str,
        bundle: str,
        warnings: list[Problem],
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        self.data = data
        self.raw = raw
        self.path = path
        self.bundle = bundle
        self.warnings = warnings
        self.contents = contents or {}

    def __repr__(self) -> str:
        return f"Config({self.path!r})"


def load(bundle: str, *, config_name: str = "config.json") -> Config:
    """Read and check the config of a bundle.

    bundle        its directory, "" for the current one
    config_name   file inside it, or an absolute path
    Raises HostError if the bundle or the file cannot be opened or read, and
    ConfigError if the file is not a config.  Never waits: a FIFO or a device
    is refused, not read.
    """
    try:
        bundle = os.path.abspath(bundle)
    except OSError as error:  # the current directory was removed
        raise HostError.from_os("getcwd", error, call="getcwd") from None
    path = os.path.join(bundle, config_name)
    return from_bytes(read(path, bundle=bundle), bundle=bundle, path=path)


def from_bytes(raw: bytes, *, bundle: str, path: str) -> Config:
    """Parse and check a config that is in memory already.

    raw      the bytes of the file
    bundle   absolute path of the bundle
    path     where the bytes are from, for messages
    Raises ConfigError.
    """
    if len(raw) > SIZE_LIMIT:
        raise _refused(path, _too_large(len(raw)))
    try:
        data: Any = loads(raw)
    except JsonError as error:
        raise _refused(path, str(error)) from None
    if not isinstance(data, dict):
        raise _refused(path, f"must be an object, not {describe(data)}")
    problems = checked(data)
    if any(not problem.warning for problem in problems):
        raise ConfigError(problems, path=path)
    spec: Any = data
    return Config(spec, raw=raw, path=path, bundle=bundle, warnings=problems)


def from_values(data: Mapping[str, Any], *, bundle: str, path: str) -> Config:
    """Check a config that is in memory as plain values, which are not changed.  Raises ConfigError."""
    return from_bytes(_as_json(data, path), bundle=bundle, path=path)


def with_parts(
    config: Config, data: dict[str, Any], parts: Iterable[str], contents: Mapping[str, bytes] | None = None
) -> Config:
    """Return a checked config with other values in some places.

    data    its values with the new ones; objects that have not changed may be those of `config`
    parts   paths of keys such as ``process/args``: what is new, and owned by the caller
    contents  bytes that go with it, beside those that do already
    Raises ConfigError: only what is new is checked, and the rules that read more than one value.
    """
    problems = checked_parts(data, parts)
    if any(not problem.warning for problem in problems):
        raise ConfigError(problems, path=config.path)
    spec: Any = data
    raw = _as_json(data, config.path)
    contents = {**config.contents, **(contents or {})}
    return Config(spec, raw=raw, path=config.path, bundle=config.bundle, warnings=problems, contents=contents)


def _as_json(data: Mapping[str, Any], path: str) -> bytes:
    try:
        raw = dumps(data).encode("ascii")
    except (TypeError, ValueError) as error:
        raise _refused(path, f"cannot be written as JSON: {error}") from None
    if len(raw) > SIZE_LIMIT:
        raise _refused(path, _too_large(len(raw)))
    return raw


def read(path: str, *, bundle: str = "") -> bytes:
    """Return the bytes of a regular file of at most SIZE_LIMIT bytes.

    path     the file
    bundle   the directory to name instead if that is what is missing
    Raises HostError if a system call fails, ConfigError if the file is of another kind or too large.
    """
    held: list[int] = []
    try:
        try:
            # O_NONBLOCK: open(2) of a FIFO without a writer would wait for one.
            procfile.open_into(held, path, os.O_NONBLOCK | os.O_NOCTTY)
        except ValueError:
            raise HostError(f"open {path!a}: the path holds a NUL character", call="open") from None
        except OSError as error:
            if bundle and not os.path.isdir(bundle):
                raise _no_bundle(bundle, error) from None
            remedy = _no_config() if bundle and error.errno == _ENOENT else _closed(path, error)
            raise HostError.from_os(f"open {path}", error, call="open", remedy=remedy) from None
        status = os.fstat(held[0])
        kind = status.st_mode & 0o170000
        if kind != 0o100000:
            raise _refused(path, f"is {_KINDS.get(kind, 'of an unknown kind')}, not a regular file")
        if status.st_size > SIZE_LIMIT:
            raise _refused(path, _too_large(status.st_size))
        # It may have grown since its size was asked for.
        raw = contents(held[0])
        if len(raw) > SIZE_LIMIT:
            raise _refused(path, _too_large(len(raw)))
        return raw
    except OSError as error:
        raise HostError.from_os(f"read {path}", error, call="read") from None
    finally:
        for fd in held:
            os.close(fd)


def _too_large(size: int) -> str:
    return f"has {size} bytes or more, the limit is {SIZE_LIMIT} (16 MiB)"


def _refused(path: str, message: str) -> ConfigError:
    return ConfigError([Problem("", message)], path=path)


def _no_bundle(bundle: str, error: OSError) -> HostError:
    try:
        os.stat(bundle)
    except OSError as reason:
        remedy = _NO_BUNDLE if reason.errno == _ENOENT else _closed(bundle, reason)
        return HostError.from_os(f"bundle {bundle}", reason, call="stat", remedy=remedy)
    error.filename = None  # config.json in it: the bundle is what is wrong
    remedy = _closed(bundle, error)
    if error.errno == _ENOTDIR:
        remedy = f"name the directory that holds it, and a config of another name with {option('config', 'FILE')}"
    return HostError.from_os(f"bundle {bundle}", error, call="open", remedy=remedy)


def _closed(path: str, error: OSError) -> str:
    """Return which directory is in the way of who may not go on, "" for other errors."""
    if error.errno != _EACCES:
        return ""
    from .._base.searching import closed

    return closed(path)


def _no_config() -> str:
    return f"{option('bundle', 'DIR')} names another bundle; `ocirun spec` writes a config.json, and {_OF_IMAGE}"
