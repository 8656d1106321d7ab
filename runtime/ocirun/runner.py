"""One call for one program: create, start, feed, watch, limit, read, delete.

    import ocirun
    outcome = ocirun.run("bundle", args=["python3", "-c", "print(6 * 7)"], timeout=2.0, memory=64 << 20)
    assert outcome.ok and outcome.stdout == b"42\\n"

Safe from any thread, with any number of calls at once: nothing of this process
changes, and no other program is started.  asyncio: ``await asyncio.to_thread(ocirun.run, ...)``.
"""

from __future__ import annotations

import os

from .launch import create as creation
from .launch.options import CreateOptions
from .roots import default_root
from .running import changes, watch
from .running.course import OUTPUT_LIMIT
from .running.prepared import new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .running.course import Make
    from .running.outcome import Outcome


def run(
    bundle: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    stdin: bytes = b"",
    timeout: float | None = None,
    memory: int | None = None,
    pids: int | None = None,
    cpus: float | None = None,
    output_limit: int = OUTPUT_LIMIT,
    container_id: str = "",
    root: str = "",
) -> Outcome:
    """Run one program in a container of its own, and remove the container.

    bundle        directory with config.json and the root filesystem; "" is the working directory
    config        in place of config.json; a relative ``root.path`` starts at `bundle`
    args, cwd     replace those of ``process``
    env           added to ``process.env``, replacing variables of the same name
    mounts        added behind those of the config, in its form
    stdin         what the program reads
    timeout       seconds from its start until everything in the container is killed
    memory        limit in bytes, swap included where the kernel counts it
    pids          limit of processes and threads
    cpus          limit of processor time as a number of processors, such as 0.5
    output_limit  bytes kept of each of the output streams; more is read and dropped
    container_id  "" makes one
    root          the state root; "" is the default one
    Raises ConfigError, UnsupportedError, StepError, HookError, ProgramError, HostError.
    """
    make = making(
        bundle,
        config,
        container_id,
        root,
        args=args,
        env=env,
        cwd=cwd,
        mounts=mounts,
        memory=memory,
        pids=pids,
        cpus=cpus,
    )
    return watch.run(root or default_root(os.environ), make, stdin=stdin, timeout=timeout, output_limit=output_limit)


def making(bundle: str, config: Mapping[str, Any] | None, container_id: str, root: str, **own: Any) -> Make:
    """What creates the container of one run, for a `Course`; an error of the config is raised here.

    own   args, env, cwd, mounts, memory, pids, cpus, as of `run`
    """
    base = changes.read(os.path.abspath(bundle or "."), config)
    checked, _ = changes.apply(base, **own)
    name, where = container_id or new_id(), root or default_root(os.environ)

    def make(stdio: tuple[int, int, int]) -> Any:
        options = CreateOptions(stdio=stdio, activation=False)
        return creation.create(name, where, options, stay=True, config=checked)

    return make
