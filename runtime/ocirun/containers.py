"""The containers of a state root, by their ids: delete, list, run in the foreground, restore."""

from __future__ import annotations

import os

from ._base.boundary import raises_ocirun_errors
from ._base.roots import default_root
from .container import Container
from .errors import ContainerNotFoundError, StateDamagedError
from .state import store

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
