"""What creates the container of a single run."""

from __future__ import annotations

import os
from itertools import count

from .._base.roots import default_root
from ..commands import create as creation
from ..execute.options import CreateOptions
from . import overrides, written
from .preparation import Preparation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Unpack

    from ..config.load import Config
    from ..execute.session import Session
    from .overrides import Overrides
    from .program_run import Factory


# Of this process: its number, where its ids begin, and how many there were.
_ids = (0, 0, count())


def new_id() -> str:
    """Return an id for a container that nobody else names; always as long."""
    global _ids
    pid, first, numbers = _ids
    if pid != os.getpid():
        _ids = pid, first, numbers = os.getpid(), int.from_bytes(os.urandom(8), "little"), count()
    return f"run-{(first + next(numbers)) % (1 << 64):016x}"


# The last configs that were run: a plan made for one holds as long as what it was made of is read again unchanged.
_KEPT = 8
# No lock, which a fork in another thread could leave locked: each step is one of the interpreter's.
_kept: dict[tuple[object, ...], Config | Preparation] = {}


def _prepared(key: tuple[object, ...], config: Config, options: CreateOptions) -> Preparation | None:
    """Return what is ready for a config that was run before; None for one that was not, or not on this host as it is.

    key   what else the plan hangs on
    """
    found = _kept.pop(key, None)
    if isinstance(found, Preparation):
        if found.holds_for(config):
            _keep(key, found)
            return found
    elif found is not None and found.raw == config.raw:
        # For the second time: a plan for many costs more than one.
        made = Preparation(config, str(key[1]), options, keeps_session=True)
        _keep(key, made)
        return made
    _keep(key, config)
    return None


def _keep(key: tuple[object, ...], what: Config | Preparation) -> None:
    _kept[key] = what
    # A copy of the keys is one step; between two of an iterator another thread may change the dict.
    for oldest in list(_kept)[:-_KEPT]:
        _kept.pop(oldest, None)


def container_factory(
    bundle: str,
    config: Mapping[str, Any] | None,
    container_id: str,
    root: str,
    *,
    init: bool | None,
    cgroup_manager: str = "",
    learn: bool | str = False,
    keep: str | None = None,
    commit: bool = False,
    **own: Unpack[Overrides],
) -> Factory:
    """Return what creates the container of one run, for a `ProgramRun`; an error of the config is raised here."""
    path, where = os.path.abspath(bundle or "."), root or default_root(os.environ)
    asks = overrides.learn_word(learn)
    key = (path, where, init, cgroup_manager, asks, config is None)
    kept = _kept.get(key) if config is None else None
    ready = kept if isinstance(kept, Preparation) and kept.is_unchanged() else None
    base = ready.config if ready is not None else overrides.read_config(path, config)
    checked, differs = overrides.with_overrides(base, **own)
    if keep is not None or commit:
        written.check(checked.data, keep, commit=commit)
    name = container_id or new_id()

    def make() -> Session:
        options = CreateOptions(activation=False, init=init, bound=True, cgroup_manager=cgroup_manager, learn=asks)
        prepared = ready or _prepared(key, base, options)
        if prepared is not None:
            return prepared.session(name, checked, differs)
        return creation.planned(name, where, options, keeps_session=True, config=checked)

    return make
