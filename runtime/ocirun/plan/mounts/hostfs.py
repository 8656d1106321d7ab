"""Options of file systems that are the host's own: to take one would change it for the host too."""

from __future__ import annotations

from ...errors import ConfigError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .options import MountOptions

# Of these the kernel has one instance, or one for each namespace, wherever it is mounted.
SHARED = frozenset(
    (
        *("sysfs", "mqueue", "cgroup", "cgroup2", "devtmpfs", "debugfs", "tracefs", "securityfs", "configfs"),
        *("pstore", "efivarfs", "binfmt_misc", "fusectl", "selinuxfs", "smackfs", "resctrl", "rpc_pipefs", "nfsd"),
    )
)


def refuse_data(pointer: str, destination: str, parsed: MountOptions, why: str, *, held: Collection[str] = ()) -> None:
    """Raise ConfigError for options of the file system, each with its place.

    held   those that the host's file system has: of them nothing changes
    """
    problems = _flags(pointer, destination, parsed)
    for (key, value), index in zip(parsed.data, parsed.data_index, strict=True):
        word = key if value is None else f"{key}={value}"
        if word in held:
            continue
        message = f"the option {word!a} of the mount on {destination} cannot be honoured: {why}"
        problems.append(Problem(f"{pointer}/options/{index}", message, found=word))
    if problems:
        raise ConfigError(problems)


def refuse_flags(pointer: str, destination: str, parsed: MountOptions) -> None:
    """Raise ConfigError for flags that only a file system has; ``ro`` is one of the mount too."""
    if problems := _flags(pointer, destination, parsed):
        raise ConfigError(problems)


def _flags(pointer: str, destination: str, parsed: MountOptions) -> list[Problem]:
    why = f"of the mount on {destination} cannot be honoured: the file system is the host's too"
    return [
        Problem(f"{pointer}/options/{index}", f"the option {word!a} {why}", found=word)
        for word, index in parsed.superblock_words()
    ]
