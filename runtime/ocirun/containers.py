"""The containers of a state root, by their ids: delete, list, run in the foreground, restore, clean up."""

from __future__ import annotations

import os

from ._base.boundary import raises_ocirun_errors
from ._base.roots import default_root
from .container import Container
from .errors import ContainerNotFoundError, HostError, OcirunError, StateDamagedError
from .state import caller, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .execute.criu.options import RestoreOptions
    from .execute.options import CreateOptions


@raises_ocirun_errors
def delete(container_id: str, *, root: str = "", force: bool = False, if_stopped: bool = False) -> list[str]:
    """Delete a container by id, one with a damaged state too if `force`; returns warnings.

    root   the state root; "" is the default one
    Raises ContainerNotFoundError unless `force`.
    """
    try:
        return Container.load(container_id, root=root).delete(force=force, if_stopped=if_stopped)
    except ContainerNotFoundError:
        if force:
            return []
        raise
    except StateDamagedError:
        if not force:
            raise
        from .commands import delete as destroy

        return destroy.destroy_damaged(root or default_root(os.environ), container_id)


@raises_ocirun_errors
def run_container(
    container_id: str,
    *,
    root: str,
    options: CreateOptions,
    detach: bool = False,
    keep: bool = False,
    no_subreaper: bool = False,
) -> int:
    """Create, start, and unless `detach` wait and delete; returns the program's exit code.

    The code is 128 plus the signal for a program that a signal ended.  Not for threads: in the foreground
    the signals of this process are forwarded to the container.
    """
    from .commands import run as foreground

    return foreground.run_container(container_id, root, options, detach=detach, keep=keep, no_subreaper=no_subreaper)


@raises_ocirun_errors
def restore(container_id: str, *, root: str, options: RestoreOptions) -> int:
    """Bring a container back from a checkpoint; 0 if detached, else its exit code, with the container deleted.

    Raises as `Container.create`, and HostError with the end of CRIU's log.
    """
    from .commands import restore

    return restore.restore_container(container_id, root, options)


@raises_ocirun_errors
def read_process(path: str) -> dict[str, Any]:
    """Return the process description in a JSON file, for `Container.exec`.  Raises HostError, ConfigError."""
    from .commands import exec as execute

    return execute.process_file(path)


@raises_ocirun_errors
def list_states(root: str = "", *, warn: Callable[[str], None], must_exist: bool = False) -> list[dict[str, Any]]:
    """Return the states of all containers of a root; one that vanishes or is damaged is passed over with a warning.

    root         "" is the default one
    must_exist   the root itself, which the first container makes
    Raises HostError for a root that is not ours, or is missing and must exist.
    """
    from .state import listing

    return listing.states(root or default_root(os.environ), warn=warn, must_exist=must_exist)


@raises_ocirun_errors
def list_ids(root: str = "", *, must_exist: bool = False) -> list[str]:
    """Return the ids of a root that are taken, sorted, also those of damaged containers:
    nothing is read but their names.

    root, must_exist   as for `list_states`; raises the same
    """
    return store.ids(root or default_root(os.environ), must_exist=must_exist)


@raises_ocirun_errors
def cleanup(root: str = "", *, warn: Callable[[str], None] | None = None) -> list[str]:
    """Remove the containers whose runs belonged to a process that is gone, and return their ids.

    A run from Python ends with the process that asked for it, but its cgroups and its state wait for somebody to
    remove them when that process was killed.  Each such run says in its state directory whose it is.

    root   the state root; "" is the default one
    warn   called with one line for each that cannot be removed
    What a snapshot has left whose process was killed is removed too, and the container that it has frozen goes on.
    Containers that no run from Python has made, and those of processes that are there, stay as they are.
    Raises HostError where the root cannot be read, or cannot be told whether a process is there.
    """
    where = root or default_root(os.environ)
    removed = []
    for container_id in store.ids(where):
        _clean(where, container_id, warn)
        if not _is_orphan(where, container_id):
            continue
        try:
            delete(container_id, root=where, force=True)
        except OcirunError as error:
            if warn is not None:
                warn(f"container {container_id}: {error.line()}")
            continue
        removed.append(container_id)
    return removed


def _clean(root: str, container_id: str, warn: Callable[[str], None] | None) -> None:
    from .runs import still

    try:
        still.clean(Container.load(container_id, root=root))
    except (ContainerNotFoundError, StateDamagedError):
        return
    except (OSError, OcirunError) as error:
        told = error if isinstance(error, OcirunError) else HostError.from_os("a snapshot is left", error)
        if warn is not None:
            warn(f"container {container_id}: {told.line()}")


def _is_orphan(root: str, container_id: str) -> bool:
    """Return whether the run belonged to a process, and that one is gone."""
    try:
        directory = store.open_container(root, container_id)
    except ContainerNotFoundError:
        return False
    try:
        return caller.is_gone(directory)
    finally:
        os.close(directory)
