"""The options that create, run and explain share, and what the API makes of them."""

from __future__ import annotations

from ocirun.cli.table import NUMBER, TEXT, Option
from ocirun.errors import OcirunError, UsageError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.call import Call
    from ocirun.cli.parse import Values
    from ocirun.container import CreateOptions, Learned

TRACE = Option(
    "trace",
    kind=TEXT,
    metavar="FILE",
    help="write the time of each operation to FILE: for Chrome's trace viewer if it ends in .json, else a table; to "
    "one that ends in .otlp.json, and to a Unix socket unix:PATH, a line of OpenTelemetry's JSON is appended",
)
CAPSULE = Option(
    "capsule",
    kind=TEXT,
    metavar="DIR",
    help="if it fails, write to a new file in DIR what happened: config and plan without secrets, facts, the error; "
    "`ocirun explain --capsule` reads it",
)
CREATE_OPTIONS = (
    Option(
        "bundle",
        "b",
        kind=TEXT,
        metavar="DIR",
        help="directory of config.json",
        shown="the current directory",
    ),
    Option(
        "config",
        "f",
        kind=TEXT,
        metavar="FILE",
        help="read FILE in place of config.json; relative paths in it start at the bundle all the same",
        shown="config.json of the bundle",
    ),
    Option(
        "console-socket",
        kind=TEXT,
        metavar="PATH",
        help="Unix socket that is sent the master end of the container's terminal",
    ),
    Option("pidfd-socket", kind=TEXT, metavar="PATH", help="Unix socket that is sent a pidfd of the container"),
    Option("pid-file", kind=TEXT, metavar="FILE", help="write the process id of the container to FILE"),
    Option(
        "no-pivot",
        help="change the root by moving the mount and chroot(2), for a rootfs on the initial ramdisk; isolates less",
    ),
    Option(
        "init",
        help="run the program as the child of a small first process, which passes signals on and reaps orphans; "
        "needs a pid namespace of the container's own",
    ),
    Option("no-new-keyring", help="let the container share the session keyring of the caller"),
    Option(
        "preserve-fds",
        kind=NUMBER,
        metavar="N",
        default=0,
        help="leave the N descriptors from 3 on (after those of LISTEN_FDS) open for the container",
    ),
    TRACE,
)

IMAGE_OPTIONS = (
    Option("tag", "t", kind=TEXT, metavar="NAME", help="which image, by its name, the end of that, or the tag"),
    Option(
        "platform",
        kind=TEXT,
        metavar="PLATFORM",
        help="OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT of the image",
        shown="this machine's",
    ),
)


LEARN_REFUSE = Option(
    "learn-refuse",
    help="with --learn: what the profile refuses stays refused, and is listed only; for a program that is not trusted",
)


def learn_word(values: Values) -> str:
    """Return what becomes of refused calls, "" where nothing is to be learned.  Raises UsageError."""
    if "learn-refuse" in values.given:
        if "learn" not in values.given:
            raise UsageError(f"{option('learn-refuse')} needs {option('learn')}")
        return "refuse"
    return "allow" if "learn" in values.given else ""


def create_options(
    call: Call, *, foreground: bool = False, learned: Callable[[Learned], None] | None = None
) -> CreateOptions:
    """Return the options of a creation.

    foreground   ocirun stays until the program ends, as ``run`` without ``--detach``
    learned      as in CreateOptions
    """
    from ocirun.container import CreateOptions

    values, settings = call.values, call.settings
    return CreateOptions(
        bundle=values.text("bundle"),
        config=values.text("config"),
        console_socket=values.text("console-socket"),
        pidfd_socket=values.text("pidfd-socket"),
        pid_file=values.text("pid-file"),
        no_pivot=values.flag("no-pivot"),
        no_new_keyring=values.flag("no-new-keyring"),
        preserve_fds=values.number("preserve-fds"),
        systemd_cgroup=settings.cgroup_manager == "systemd",
        rootless=settings.rootless,
        foreground=foreground,
        cgroup_manager=settings.cgroup_manager,
        warn=call.warn,
        debug=call.debug,
        trace=values.text("trace"),
        init=values.flag("init"),
        sessions=False,  # engines look for the first process in the container's own group
        learn=learn_word(values),
        learned=learned,
    )


def with_capsule(call: Call, command: str, container_id: str, options: CreateOptions, action: Callable[[], int]) -> int:
    """Create a container by `action`, and raise what that raises; with --capsule a failure leaves a file."""
    where = call.values.text("capsule")
    if not where:
        return action()
    from ocirun.capsule import Capsule

    capsule = Capsule(where)
    options.witnesses = [capsule]
    try:
        return action()
    except OcirunError as error:
        try:
            path = capsule.write(error, command, container_id, options)
        except OcirunError as failed:
            call.warn(failed.line())
        else:
            seen = f"`ocirun explain --capsule {path}` shows what happened"
            error.remedy = f"{error.remedy}; {seen}" if error.remedy else seen
        raise
