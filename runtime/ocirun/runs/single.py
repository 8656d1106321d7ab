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
from .program_run import ProgramRun
from .terms import DROP, OUTPUT_LIMIT, Terms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .outcome import Outcome
    from .snapshot import Snapshot
    from .terms import Input, OnOutput, Output


@raises_ocirun_errors
def run(
    bundle: str = "",
    *,
    config: Mapping[str, Any] | None = None,
    args: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    stdin: Input = b"",
    stdout: Output = None,
    stderr: Output = None,
    timeout: float | None = None,
    cpu_time: float | None = None,
    memory: int | None = None,
    pids: int | None = None,
    cpus: float | None = None,
    disk: int | None = None,
    disk_inodes: int | None = None,
    files: Mapping[str, bytes | tuple[bytes, int]] | None = None,
    secrets: Mapping[str, bytes] | None = None,
    snapshot: Snapshot | str | os.PathLike[str] | None = None,
    keep: str | None = None,
    commit: bool = False,
    open_files: int | None = None,
    file_size: int | None = None,
    output_limit: int = OUTPUT_LIMIT,
    on_output_limit: str = DROP,
    on_output: OnOutput | None = None,
    text: bool | str = False,
    check: bool = False,
    container_id: str = "",
    root: str = "",
    init: bool | None = None,
    cgroup_manager: str = "",
    learn: bool | str = False,
) -> Outcome:
    """Run one program in a container of its own, and remove the container.

    bundle        directory with config.json and the root filesystem; "" is the working directory
    config        in place of config.json; a relative ``root.path`` starts at `bundle`
    args, cwd     replace those of ``process``
    env           added to ``process.env``, replacing variables of the same name
    mounts        added behind those of the config, in its form
    stdin         what the program reads: bytes, a str with `text`, or an open file or descriptor
    stdout, stderr  None: kept for the outcome; an open file or descriptor, or DEVNULL; stderr=STDOUT: into one stream
    timeout       seconds from its start until everything in the container is killed
    cpu_time      seconds of processor time of the whole container until everything in it is killed; it may use some
                  hundredths of a second more
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
    snapshot      begin a root that is thrown away with what is in this snapshot, or the one of this path
    keep          of a root that is thrown away: copy what was added and changed into this directory, which is made
    commit        of such a root: if the program ends by itself with 0, the root file system takes its changes over
    open_files    limit of descriptors of each process
    file_size     limit in bytes of each file that is written
    output_limit  bytes kept of each of the output streams
    on_output_limit  what becomes of more: "drop", it is read and dropped; "kill", everything in the container is killed
    on_output     called with "stdout" or "stderr" and each piece of output as it comes, in this thread, whatever the
                  limit; what it raises ends the run
    text          outputs are str: True, of UTF-8, or the name of an encoding; what cannot be read is U+FFFD
    check         raise OutcomeError, which has the outcome, for a program that does not end well
    container_id  "" makes one
    root          the state root; "" is the default one
    init          the program is the child of a small init of ours, and not the first process itself: it reaps orphans,
                  keeps the time, tells how the program ended whoever waits for what here, and ends everything when this
                  process ends.  None: wherever that can be, which is in a pid namespace of the container's own
    cgroup_manager  who makes the cgroup: "cgroupfs" (also ""), "systemd", or "disabled" for none
    learn           list the system calls that the seccomp filter refuses, in `refused` of the outcome, and let them
                    through; "refuse" lists them and answers as the filter says. Without a filter: all calls
    Raises UsageError for a parameter, ConfigError, UnsupportedError, StepError, HookError, ProgramError, HostError.
    """
    terms = Terms(
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        timeout=timeout,
        cpu_time=cpu_time,
        output_limit=output_limit,
        on_output_limit=on_output_limit,
        on_output=on_output,
        text=text,
        check=check,
    )
    make = in_new_container.container_factory(
        bundle,
        config,
        container_id,
        root,
        init=init,
        cgroup_manager=cgroup_manager,
        learn=learn,
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
        snapshot=snapshot,
        open_files=open_files,
        file_size=file_size,
    )
    where = root or default_root(os.environ)
    return poll_loop.watch(ProgramRun(where, terms, keep=keep, commit=commit), make)
