"""One call for one program: create, start, feed, watch, limit, read, delete.

    import ocirun
    outcome = ocirun.run("bundle", args=["python3", "-c", "print(6 * 7)"], timeout=2.0, memory=64 << 20)
    assert outcome.ok and outcome.stdout == b"42\\n"

Safe from any thread, with any number of calls at once: nothing of this process
changes, and no other program is started.  asyncio: `ocirun.aio`.
"""

from __future__ import annotations

import os

from .._base.boundary import raises_ocirun_errors
from .._base.roots import default_root
from . import in_new_container, poll_loop
from .program_run import OUTPUT_LIMIT, ProgramRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .outcome import Outcome


@raises_ocirun_errors
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
    disk: int | None = None,
    disk_inodes: int | None = None,
    files: Mapping[str, bytes | tuple[bytes, int]] | None = None,
    secrets: Mapping[str, bytes] | None = None,
    keep: str | None = None,
    commit: bool = False,
    output_limit: int = OUTPUT_LIMIT,
    container_id: str = "",
    root: str = "",
    init: bool | None = None,
    cgroup_manager: str = "",
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
    disk          the root file system may be written to, and is thrown away: so many bytes fit into what is written.
                  What was changed is in the outcome. None: as the config has it
    disk_inodes   how many files, directories and links fit into it; None: one for each 4096 bytes, but 1024 at least
    files         content by path, or (content, mode): put there before the program starts, for its user; in a root that
                  is thrown away, or in a tmpfs of the config
    secrets       content by name: files of /run/secrets that only the user of the program can read. They are in memory
                  that is not swapped, and in no config, state, log, trace or error
    keep          of a root that is thrown away: copy what was added and changed into this directory, which is made
    commit        of such a root: if the program ends by itself with 0, the root file system takes its changes over
    output_limit  bytes kept of each of the output streams; more is read and dropped
    container_id  "" makes one
    root          the state root; "" is the default one
    init          the program is the child of a small init of ours, and not the first process itself: it reaps orphans,
                  keeps the time, tells how the program ended whoever waits for what here, and ends everything when this
                  process ends.  None: wherever that can be, which is in a pid namespace of the container's own
    cgroup_manager  who makes the cgroup: "cgroupfs" (also ""), "systemd", or "disabled" for none
    Raises UsageError for a parameter, ConfigError, UnsupportedError, StepError, HookError, ProgramError, HostError.
    """
    make = in_new_container.container_factory(
        bundle,
        config,
        container_id,
        root,
        init=init,
        cgroup_manager=cgroup_manager,
        keep=keep,
        commit=commit,
        args=args,
        env=env,
        cwd=cwd,
        mounts=mounts,
        memory=memory,
        pids=pids,
        cpus=cpus,
        disk=disk,
        disk_inodes=disk_inodes,
        files=files,
        secrets=secrets,
    )
    program_run = ProgramRun(root or default_root(os.environ), output_limit, keep=keep, commit=commit)
    return poll_loop.watch(program_run, make, stdin=stdin, timeout=timeout)
