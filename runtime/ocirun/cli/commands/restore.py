"""``ocirun restore``."""

from __future__ import annotations

from ocirun.cli.criu_options import COMMON, common
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "restore",
    arguments="ID",
    summary="make a container from the files of a checkpoint",
    description="""\
Makes the container ID of a bundle like the one that was saved, and its processes from the images of
`checkpoint`; they go on where they were. No `start` follows.

Unless detached, ocirun waits, passes signals on, deletes the container when its first process has ended, and
exits with its status, as `run` does.""",
    options=(
        Option("bundle", "b", kind=TEXT, metavar="DIR", help="directory of config.json", shown="the current directory"),
        *COMMON,
        Option("detach", "d", help="return as soon as the processes run"),
        Option("pid-file", kind=TEXT, metavar="FILE", help="write the process id of the container to FILE"),
        Option(
            "console-socket",
            kind=TEXT,
            metavar="PATH",
            help="Unix socket that is sent the master end of the container's terminal",
        ),
        Option("no-subreaper", help="do not adopt the processes that the container leaves behind"),
        Option("no-pivot", help="refused, as CRIU changes the root by pivot_root(2)", hidden=True),
        Option("tcp-close", help="restore TCP connections as closed ones"),
        Option("lsm-profile", kind=TEXT, metavar="TYPE:NAME", help="security profile in place of the saved one"),
        Option(
            "lsm-mount-context",
            kind=TEXT,
            metavar="CONTEXT",
            help="SELinux context of mounts, as lsm-profile",
        ),
    ),
)


def execute(call: Call) -> int:
    """Restore the container; 0 when detached, else the status of its program."""
    from ocirun.container import RestoreOptions
    from ocirun.containers import restore

    values, settings = call.values, call.settings
    if values.flag("no-pivot"):
        raise UnsupportedError("--no-pivot: CRIU changes the root by pivot_root", remedy="leave it out")
    options = RestoreOptions(
        bundle=values.text("bundle"),
        console_socket=values.text("console-socket"),
        pid_file=values.text("pid-file"),
        detach=values.flag("detach"),
        no_subreaper=values.flag("no-subreaper"),
        tcp_close=values.flag("tcp-close"),
        lsm_profile=values.text("lsm-profile"),
        lsm_mount_context=values.text("lsm-mount-context"),
        rootless=settings.rootless,
        cgroup_manager=settings.cgroup_manager,
        systemd_cgroup=settings.cgroup_manager == "systemd",
        warn=call.warn,
        debug=call.debug,
        **common(call),
    )
    return restore(call.id, root=settings.root, options=options)
