"""``ocirun run``."""

from __future__ import annotations

from ocirun.cli.options import CAPSULE, CREATE_OPTIONS, IMAGE_OPTIONS, LEARN_REFUSE, create_options, with_capsule
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.call import Call
    from ocirun.container import Learned

COMMAND = Command(
    "run",
    arguments="ID",
    summary="create a container, start it and wait for its end",
    description="""\
Does what `create` and `start` do. Unless detached, ocirun then waits, passes signals on to the program,
deletes the container when the program has ended, and exits with its status; 128+N stands for a death by
signal N.

ID is a name of your choice, unique below the state root.

The first process of a pid namespace gets no signal that it has no handler for. At a terminal the second Ctrl-C says so,
and the third kills the program. A terminal that is closed takes the container's terminal with it: a shell in it ends,
and a program that neither handles nor ignores SIGHUP is killed.

With --image no ID is given: what follows FILE is put in place of the image's Cmd, behind its Entrypoint. The image is
unpacked to a directory in $TMPDIR, or /var/tmp, which is removed after the run; `ocirun bundle` says what FILE can be.
The program gets a terminal if standard input and output are one.

With --learn the container is NOT confined by linux.seccomp: refused calls are let through, so that one run shows all
of them. They are listed on standard error, with counts, arguments and the programs that made them; FILE gets a
profile in the form of linux.seccomp. With --learn-refuse they stay refused.""",
    program="image",
    options=(
        *CREATE_OPTIONS,
        CAPSULE,
        Option("detach", "d", help="return as soon as the program runs"),
        Option("keep", help="do not delete the container when its program has ended"),
        Option(
            "image",
            kind=TEXT,
            metavar="FILE",
            help="unpack this image, run its program, and remove it: for a quick try",
        ),
        *IMAGE_OPTIONS,
        Option(
            "learn",
            kind=TEXT,
            metavar="FILE",
            help="list the system calls that linux.seccomp refuses, let them through, and write to FILE a profile that "
            "does; without linux.seccomp: all calls",
        ),
        LEARN_REFUSE,
        Option(
            "no-subreaper",
            help="do not adopt the processes that the container leaves behind; see PR_SET_CHILD_SUBREAPER in prctl(2)",
        ),
    ),
)


def execute(call: Call) -> int:
    """Run the container; the status of its program, or 0 when detached."""
    if "learn" not in call.values.given:
        return _run(call, None)
    from ocirun.cli.learned import Profile

    with Profile(call) as profile:
        return _run(call, profile.write)


def _run(call: Call, learned: Callable[[Learned], None] | None) -> int:
    if "image" in call.values.given:
        from ocirun.cli import run_image

        return run_image.execute(call, learned)
    for name in ("tag", "platform"):
        if name in call.values.given:
            from ocirun.cli import habits

            raise UsageError(f"run: --{name} is for an image, which --image names", remedy=habits.of_tag(name))
    from ocirun.containers import run_container

    detach = call.values.flag("detach")
    options = create_options(call, foreground=not detach, learned=learned)

    def run() -> int:
        return run_container(
            call.id,
            root=call.settings.root,
            options=options,
            detach=detach,
            keep=call.values.flag("keep"),
            no_subreaper=call.values.flag("no-subreaper"),
        )

    return with_capsule(call, "run", call.id, options, run)
