"""What one run of a program has of its own, put into the config it is run with."""

from __future__ import annotations

import os

from .._base import jsonio, parameters
from ..config import load
from ..errors import ConfigError, Problem, UsageError
from ..execute.options import LEARN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike
    from typing import Any, TypedDict

    from ..config.load import Config
    from .snapshot import Snapshot

    class Limits(TypedDict, total=False):
        """The limits of a run that the kernel holds, as `ocirun.run` describes them."""

        memory: int | None
        pids: int | None
        cpus: float | None
        open_files: int | None
        file_size: int | None

    class Overrides(Limits, total=False):
        """The parameters of a run that change its config, as `ocirun.run` describes them; those of `apply`."""

        args: Sequence[str] | None
        env: Mapping[str, str] | None
        cwd: str | None
        mounts: Sequence[Mapping[str, Any]]
        disk: int | None
        disk_inodes: int | None
        files: Mapping[str, bytes | tuple[bytes, int]] | None
        secrets: Mapping[str, bytes] | None
        snapshot: Snapshot | str | PathLike[str] | None


# The parts of a plan's template, and where they are in a config.
_PLACES = {
    "args": "process/args",
    "env": "process/env",
    "cwd": "process/cwd",
    "rlimits": "process/rlimits",
    "mounts": "mounts",
    "resources": "linux/resources",
    "annotations": "annotations",
}
_PERIOD = 100_000


def learn_word(learn: bool | str) -> str:
    """Return the parameter `learn` of a run as `CreateOptions` has it.  Raises UsageError."""
    if learn in (True, False):
        return "allow" if learn else ""
    parameters.one_of("learn", learn, LEARN[1:])
    return str(learn)


def given_config(bundle: str, config: Mapping[str, Any]) -> Config:
    """Return a config that came as values, checked.

    bundle   directory in which relative paths begin, "" for the current one
    Raises UsageError for what is no dict, ConfigError.
    """
    if not hasattr(config, "items"):
        raise parameters.wrong("config", "a dict", config)
    return load.from_values(config, bundle=os.path.abspath(bundle or "."), path="config")


def read_config(bundle: str, config: Mapping[str, Any] | None) -> Config:
    """Return the config of a bundle, or `config` in its place, checked and without a terminal.

    bundle   absolute path
    Raises UsageError for what is no dict, ConfigError, HostError.
    """
    made = load.load(bundle) if config is None else given_config(bundle, config)
    data: Any = made.data
    if not (data.get("process") or {}).get("terminal"):
        return made
    process = {**data["process"], "terminal": False}
    return load.with_parts(made, {**data, "process": process}, ())


def with_overrides(
    config: Config,
    *,
    args: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    memory: int | None = None,
    pids: int | None = None,
    cpus: float | None = None,
    disk: int | None = None,
    disk_inodes: int | None = None,
    files: Mapping[str, bytes | tuple[bytes, int]] | None = None,
    secrets: Mapping[str, bytes] | None = None,
    snapshot: Snapshot | str | PathLike[str] | None = None,
    open_files: int | None = None,
    file_size: int | None = None,
) -> tuple[Config, frozenset[str]]:
    """Return a config with what a run has of its own, as `ocirun.run` describes it, and which parts that changed.

    `config` itself stays as it is.  Raises UsageError, ConfigError for what is wrong with the new parts.
    """
    data: dict[str, Any] = dict(config.data)
    process = dict(data.get("process") or {})
    new: dict[str, Any] = {}
    if args is not None:
        new["args"] = process["args"] = parameters.words("args", args)
    if cwd is not None:
        new["cwd"] = process["cwd"] = cwd
    if env:
        entries = parameters.environment("env", env)
        new["env"] = process["env"] = [*(process.get("env") or ()), *entries]
    if open_files is not None or file_size is not None:
        new["rlimits"] = process["rlimits"] = process_limits(process.get("rlimits") or (), open_files, file_size)
    if new:
        data["process"] = process
    if mounts:
        own = _owned([dict(mount) for mount in mounts], "/mounts", config)
        new["mounts"] = data["mounts"] = [*(data.get("mounts") or ()), *own]
    if memory is not None or pids is not None or cpus is not None:
        linux = dict(data.get("linux") or {})
        new["resources"] = linux["resources"] = resources(linux.get("resources") or {}, memory, pids, cpus)
        data["linux"] = linux
    if disk is not None or disk_inodes is not None:
        new["annotations"] = data["annotations"] = _with_upper(data.get("annotations") or {}, disk, disk_inodes)
        data["root"] = {**(data.get("root") or {}), "readonly": False}
    if snapshot is not None:
        from . import snapshot as snapshots

        begun = snapshots.given(snapshot).annotated(data, config.bundle)
        new["annotations"] = data["annotations"] = begun
    contents: dict[str, bytes] = {}
    if files or secrets:
        from . import given_files

        own_annotations, contents = given_files.given(data.get("annotations") or {}, files, secrets)
        new["annotations"] = data["annotations"] = own_annotations
    if not new:
        return config, frozenset()
    places = [_PLACES[part] for part in new]
    if "annotations" in new:
        places.append("root")
    if not (config.data.get("process") or {}):
        places = ["process", *(place for place in places if not place.startswith("process/"))]
    return load.with_parts(config, data, places, contents), frozenset(new)


def _with_upper(annotations: dict[str, str], disk: int | None, inodes: int | None) -> dict[str, str]:
    """Return annotations that ask for a root file system to be thrown away."""
    from ..plan.mounts import upper

    size = parameters.optional("disk", disk)
    parameters.optional("disk_inodes", inodes)
    if size is None:
        raise UsageError("disk_inodes: is for a root file system with a size, which `disk` gives")
    try:
        idmap = upper.UPPER in annotations and upper.parsed(annotations[upper.UPPER]).idmap
    except ValueError:
        idmap = False
    return {**annotations, upper.UPPER: upper.Upper(size, inodes, idmap=idmap).text()}


def _owned(value: Any, pointer: str, config: Config) -> Any:
    """Return a copy that shares nothing with the caller's: what is checked once must not change after."""
    try:
        return jsonio.loads(jsonio.dumps(value).encode("ascii"))
    except (TypeError, ValueError, jsonio.JsonError) as error:
        raise ConfigError([Problem(pointer, f"cannot be written as JSON: {error}")], path=config.path) from None


def process_limits(
    present: Sequence[Mapping[str, Any]], open_files: int | None, file_size: int | None
) -> list[dict[str, Any]]:
    """Return ``process.rlimits`` with limits of a run, each in place of the present one.  Raises UsageError."""
    parameters.optional("open_files", open_files, least=3)
    parameters.optional("file_size", file_size, least=0)
    given = {"RLIMIT_NOFILE": open_files, "RLIMIT_FSIZE": file_size}
    own = [{"type": kind, "soft": value, "hard": value} for kind, value in given.items() if value is not None]
    names = {one["type"] for one in own}
    return [*(dict(one) for one in present if one.get("type") not in names), *own]


def resources(present: dict[str, Any], memory: int | None, pids: int | None, cpus: float | None) -> dict[str, Any]:
    """Return limits as ``linux.resources``; each replaces what the config says of it.  Raises UsageError."""
    parameters.optional("memory", memory)
    parameters.optional("pids", pids)
    parameters.processors("cpus", cpus)
    resources = dict(present)
    if memory is not None:
        resources["memory"] = {**(resources.get("memory") or {}), "limit": memory, "swap": memory}
    if pids is not None:
        resources["pids"] = {**(resources.get("pids") or {}), "limit": pids}
    if cpus is not None:
        resources["cpu"] = {**(resources.get("cpu") or {}), "period": _PERIOD, "quota": int(cpus * _PERIOD)}
    return resources
