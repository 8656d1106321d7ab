"""ocirun, an OCI container runtime.

``config.json`` and the facts of the host become a plan, and the plan is all
that touches the system.  The public names are here; each is imported when it
is first used, so that ``import ocirun`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun import aio as aio
    from ocirun import errors as errors
    from ocirun import hostfacts as hostfacts
    from ocirun._base.version import SPEC_VERSION as SPEC_VERSION
    from ocirun.container import Container as Container
    from ocirun.container import CreateOptions as CreateOptions
    from ocirun.container import ExecOptions as ExecOptions
    from ocirun.container import explain as explain
    from ocirun.containers import cleanup as cleanup
    from ocirun.containers import delete as delete
    from ocirun.containers import list_ids as list_ids
    from ocirun.containers import list_states as list_states
    from ocirun.errors import ConfigError as ConfigError
    from ocirun.errors import ContainerExistsError as ContainerExistsError
    from ocirun.errors import ContainerNotFoundError as ContainerNotFoundError
    from ocirun.errors import HookError as HookError
    from ocirun.errors import HostError as HostError
    from ocirun.errors import ImageError as ImageError
    from ocirun.errors import InvalidIdError as InvalidIdError
    from ocirun.errors import OcirunError as OcirunError
    from ocirun.errors import OutcomeError as OutcomeError
    from ocirun.errors import Problem as Problem
    from ocirun.errors import ProgramError as ProgramError
    from ocirun.errors import StateDamagedError as StateDamagedError
    from ocirun.errors import StateError as StateError
    from ocirun.errors import StepError as StepError
    from ocirun.errors import UnsupportedError as UnsupportedError
    from ocirun.errors import UsageError as UsageError
    from ocirun.execute.seccomp.learned import Learned as Learned
    from ocirun.execute.seccomp.learned import RefusedCall as RefusedCall
    from ocirun.files.changes import Change as Change
    from ocirun.files.changes import Changes as Changes
    from ocirun.runs.outcome import Outcome as Outcome
    from ocirun.runs.pool import Pool as Pool
    from ocirun.runs.prepared import Prepared as Prepared
    from ocirun.runs.process import Process as Process
    from ocirun.runs.single import run as run
    from ocirun.runs.snapshot import Snapshot as Snapshot
    from ocirun.runs.terms import DEVNULL as DEVNULL
    from ocirun.runs.terms import PIPE as PIPE
    from ocirun.runs.terms import STDOUT as STDOUT
    from ocirun.sandboxes.sandbox import sandbox as sandbox
    from ocirun.sandboxes.saved import save_config as save_config
    from ocirun.state.usage import Usage as Usage

    __version__: str

_NAMES = {
    "ocirun.container": (
        "Container",
        "CreateOptions",
        "ExecOptions",
        "explain",
    ),
    "ocirun.containers": ("cleanup", "delete", "list_ids", "list_states"),
    "ocirun.execute.seccomp.learned": ("Learned", "RefusedCall"),
    "ocirun.files.changes": ("Change", "Changes"),
    "ocirun.runs.single": ("run",),
    "ocirun.runs.outcome": ("Outcome",),
    "ocirun.runs.snapshot": ("Snapshot",),
    "ocirun.runs.pool": ("Pool",),
    "ocirun.runs.prepared": ("Prepared",),
    "ocirun.runs.process": ("Process",),
    "ocirun.runs.terms": ("DEVNULL", "PIPE", "STDOUT"),
    "ocirun.sandboxes.sandbox": ("sandbox",),
    "ocirun.sandboxes.saved": ("save_config",),
    "ocirun.state.usage": ("Usage",),
    "ocirun.errors": (
        "ConfigError",
        "ContainerExistsError",
        "ContainerNotFoundError",
        "HookError",
        "HostError",
        "ImageError",
        "InvalidIdError",
        "OcirunError",
        "OutcomeError",
        "Problem",
        "ProgramError",
        "StateDamagedError",
        "StateError",
        "StepError",
        "UnsupportedError",
        "UsageError",
    ),
    "ocirun._base.version": ("SPEC_VERSION", "__version__"),
}

_MODULES = ("aio", "errors", "hostfacts")


def _module(name: str) -> object:
    try:
        return __import__(name, fromlist=("",))
    except ImportError as error:
        from ocirun.errors import ISOLATED, MAIN, is_isolated

        if is_isolated(error):
            raise ImportError(f"{ISOLATED} ({MAIN})", name=name) from error
        raise


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return _module(f"ocirun.{name}")
    for home, names in _NAMES.items():
        if name in names:
            module = _module(home)
            value: object = getattr(module, "VERSION" if name == "__version__" else name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'ocirun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES, *(name for names in _NAMES.values() for name in names)})
