"""`restore`: a container from the files of a checkpoint."""

from __future__ import annotations

import os

from ..config import load
from ..errors import UnsupportedError, UsageError
from ..execute.criu import service
from ..execute.criu.restoration import Restoration
from ..execute.options import CreateOptions
from ..host import facts as host
from ..plan.restore_plan import build_restore
from ..state import store
from . import create, planning
from . import run as foreground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..execute.criu.options import RestoreOptions
    from ..execute.session import Session
    from ..state.record import Record


def create_restored(container_id: str, root: str, options: RestoreOptions) -> tuple[Record, Session]:
    """Bring a container back, as a child of this process.

    Returns its record, and the session, which the caller closes.
    Raises as `create`, and HostError with the end of CRIU's log; nothing is left then.
    """
    store.check_id(container_id)
    _check(options)
    options.bundle = os.path.abspath(options.bundle or ".")
    config = load.load(options.bundle)
    program = service.find_criu(options.criu)
    like = CreateOptions(
        bundle=options.bundle,
        console_socket=options.console_socket,
        pid_file=options.pid_file,
        rootless=options.rootless,
        cgroup_manager=options.cgroup_manager,
        systemd_cgroup=options.systemd_cgroup,
        foreground=not options.detach,
        warn=options.warn,
        debug=options.debug,
        activation=False,
    )
    planning.check_terminal(config.data.get("process"), options.console_socket, here=not options.detach)
    restoration = Restoration(config, options)
    try:
        restoration.open()
        layout = host.cgroup_layout()
        cgroup = planning.choose_driver(config, container_id, like, layout)
        plan = build_restore(
            restoration.data,
            planning.facts(layout, {}, preserve_fds=0, activation=False),
            planning.request(config, container_id, root, like, keeps_session=True),
            cgroup,
            program=program,
            keep=restoration.keep,
            external=restoration.external(cgroup),
        )
        null, said = restoration.null, restoration.connection.said
        like.stdio = (null, said, said)
        session = create.session_of(container_id, like, config=config, plan=plan, cgroup=cgroup)
        session.restoration = restoration
        create.carry_out(session, like)
    finally:
        restoration.close()
    return session.record, session


def _check(options: RestoreOptions) -> None:
    if os.geteuid() != 0:
        raise UnsupportedError("restore needs the host's root: CRIU makes processes with given numbers and rights")
    mode = options.manage_cgroups_mode
    if mode and mode not in service.CGROUP_MODES:
        raise UsageError(f"invalid manage-cgroups mode {mode!a}", remedy=f"one of {', '.join(service.CGROUP_MODES)}")


def restore_container(container_id: str, root: str, options: RestoreOptions) -> int:
    """See containers.restore."""
    if not options.detach and not options.no_subreaper:
        from .._native import lib

        lib.ocirun_set_subreaper(1)
    record, session = create_restored(container_id, root, options)
    try:
        try:
            for number in session.hook_numbers("poststart"):
                session.run_hook(number)
        except BaseException:
            session.close()
            foreground.delete(root, container_id)
            raise
        return 0 if options.detach else _wait(session, record, root, options)
    finally:
        session.close()


def _wait(session: Session, record: Record, root: str, options: RestoreOptions) -> int:
    """Wait in the foreground until the container ends, which is then deleted; return its exit code."""
    front = foreground.Foreground(session)
    try:
        front.take_signals()
        front.take_terminal()
        code = front.wait()
    finally:
        front.close()
    foreground.leave(root, record.container_id, options.warn)
    return code
