"""The API for asyncio: programs and containers are waited for by descriptors, not by threads.

    from ocirun import aio
    outcome = await aio.run("bundle", args=["sleep", "1"], timeout=2.0)

What only waits (a program's end and its output) is watched by the event loop.
What makes and removes a container takes some milliseconds, more with hooks,
and is done in the loop's default executor, so that the loop goes on.  A task
that is cancelled kills what it runs, removes the container, and ends then.
"""

from __future__ import annotations

import asyncio
import os

from ._base import parameters
from ._base.boundary import raises_ocirun_errors
from ._base.roots import default_root
from .errors import OcirunError, UsageError
from .execute import host_side
from .runs import in_existing_container, in_new_container
from .runs.async_process import Process, Starting
from .runs.pool import Pool
from .runs.prepared import Prepared
from .runs.program_run import ProgramRun
from .runs.terms import Terms, split
from .state import exit_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar, Unpack

    from .container import Container
    from .runs.outcome import Outcome
    from .runs.overrides import Overrides
    from .runs.process import Process as PlainProcess
    from .runs.program_run import Factory
    from .runs.terms import ExecParameters, Output, Parameters, PopenParameters

    T = TypeVar("T")


@raises_ocirun_errors
async def run(
    bundle: str | Prepared | Pool = "",
    *,
    config: Mapping[str, Any] | None = None,
    container_id: str = "",
    root: str = "",
    init: bool | None = None,
    cgroup_manager: str = "",
    learn: bool | str = False,
    keep: str | None = None,
    commit: bool = False,
    **own: Unpack[Parameters],
) -> Outcome:
    """Run one program in a container of its own, and remove the container.

    bundle   as of `ocirun.run`, or a `Prepared` or a `Pool`, which have their `config`, `root`, `init`,
             `cgroup_manager` and `learn` already
    The other parameters, their units and the errors are those of `ocirun.run`.
    """
    given_terms, changes = split(own)
    terms = Terms(**given_terms)
    if isinstance(bundle, (Prepared, Pool)):
        given = {"config": config is not None, "root": root, "init": init is not None}
        given |= {"cgroup_manager": cgroup_manager, "learn": learn}
        for name in (name for name, there in given.items() if there):
            raise UsageError(f"{name}: a {type(bundle).__name__} has its own already")
        if isinstance(bundle, Pool):
            if keep is not None or commit:
                raise UsageError(f"{'commit' if keep is None else 'keep'}: a run of a Pool has none")
            return await _run_in_pool(bundle, terms, container_id, **changes)
        return await _watch(
            ProgramRun(bundle.root, terms, keep=keep, commit=commit),
            lambda: bundle.factory(container_id, keep=keep, commit=commit, **changes),
        )
    return await _watch(
        ProgramRun(root or default_root(os.environ), terms, keep=keep, commit=commit),
        lambda: in_new_container.container_factory(
            bundle,
            config,
            container_id,
            root,
            init=init,
            cgroup_manager=cgroup_manager,
            learn=learn,
            keep=keep,
            commit=commit,
            **changes,
        ),
    )


async def _run_in_pool(pool: Pool, terms: Terms, container_id: str, **own: Unpack[Overrides]) -> Outcome:
    making = pool.factory(own.pop("args", None), own.pop("env", None))
    if own or container_id:
        raise UsageError(f"{next(iter(own), 'container_id')}: a run of a Pool has none, that of its Prepared holds")
    turns = pool.turns
    if turns is not None:
        await turns.take(_loop())
    try:
        while True:
            program_run = pool.new_run(terms)
            try:
                return await _watch(program_run, lambda: making)
            except OcirunError:
                if not program_run.died_waiting:
                    raise
    finally:
        if turns is not None:
            turns.release()


@raises_ocirun_errors
async def run_in(
    container: Container,
    args: Sequence[str],
    *,
    process: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: tuple[int, int] | None = None,
    **own: Unpack[ExecParameters],
) -> Outcome:
    """Run one more program in a container; parameters, units and errors are those of `Container.run`."""
    terms, limits = split(own)
    program_run = in_existing_container.ExecRun(Terms(**terms), container)
    kept = in_existing_container.InLoop(program_run, _loop())
    container._keep(kept)
    try:
        return await _watch(
            program_run,
            lambda: in_existing_container.exec_factory(
                container.record, container.root, args, process=process, env=env, cwd=cwd, user=user, **limits
            ),
        )
    finally:
        kept.let_go()


def popen(
    container: Container,
    args: Sequence[str],
    *,
    stdin: Output = None,
    stdout: Output = None,
    stderr: Output = None,
    limit: int = 1 << 16,
    **own: Unpack[PopenParameters],
) -> Starting:
    """Start one more program in a container, and go on beside it: ``async with popen(...) as process``, or ``await``.

    stdin, stdout, stderr   as of `Container.popen`; PIPE: a stream of asyncio, of bytes
    limit    bytes that a stream keeps before the program waits; a line that is longer is a ValueError of its reader
    The others, and the errors, are those of `Container.popen`.  At the end of the block, and where the task is
    cancelled, also while it starts, the program is killed with all that it has started.
    """

    @raises_ocirun_errors
    async def start() -> Process:
        parameters.whole("limit", limit)
        made: list[PlainProcess] = []
        try:
            await _thread(lambda: made.append(container.popen(args, stdin=stdin, stdout=stdout, stderr=stderr, **own)))
            process = Process(made[0], _thread, _readable)
            await process.connect(limit)
        except BaseException:
            if made:
                await _thread(lambda: made[0].__exit__(None, None, None))
            raise
        return process

    return Starting(start)


@raises_ocirun_errors
async def wait(container: Container, timeout: float | None = None) -> int | None:
    """Wait until the first process of a container has ended; result and errors are those of `Container.wait`."""
    parameters.seconds("timeout", timeout)
    _loop()
    pidfd = container.open_pidfd()
    if pidfd < 0:
        return None
    try:
        async with asyncio.timeout(timeout):
            await _readable(pidfd)
        return exit_status.status(pidfd)
    finally:
        os.close(pidfd)


async def _watch(program_run: ProgramRun, making: Callable[[], Factory]) -> Outcome:
    """Begin a program_run, watch it to its end, close it: also if the task is cancelled at any point."""
    on_output = program_run.terms.on_output
    try:
        turn = await _thread(lambda: program_run.begin(making(), polled=True, streamed=on_output is not None))
        while turn in (host_side.WAIT, host_side.OUTPUT):
            if turn == host_side.WAIT:
                await _readable(program_run.fileno())
            elif on_output is not None:
                for name, piece in program_run.take():
                    on_output(name, piece)
            turn = program_run.go_on()
        if turn == host_side.SERVED:
            await _thread(program_run.go_on)
        if on_output is not None:
            for name, piece in program_run.take_last():
                on_output(name, piece)
        return await _thread(program_run.outcome) if program_run.has_written else program_run.outcome()
    finally:
        await _thread(program_run.close)


def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop that runs here; anyio's may be trio's, which is none of asyncio.  Raises UsageError."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "aio: no event loop of asyncio is running here",
            remedy="in trio call ocirun.run in a thread: trio.to_thread.run_sync",
        ) from None


async def _readable(fd: int) -> None:
    """Wait until a descriptor is ready for reading."""
    loop = _loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        loop.remove_reader(fd)
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, tell)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def _thread(function: Callable[[], T]) -> T:
    """Return the result of a function that is run in the loop's executor, to its end even if the task is cancelled."""
    future = _loop().run_in_executor(None, function)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        future.exception()  # looked at, so that the loop does not call it forgotten
        raise cancelled
    return future.result()
