"""``ocirun bundle``, and what `run` with an image has in common with it."""

from __future__ import annotations

import os
import signal
import time

from ocirun.cli.options import IMAGE_OPTIONS
from ocirun.cli.output import write_all
from ocirun.cli.quantities import size
from ocirun.cli.table import MANY, TEXT, Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ocirun.cli.call import Call
    from ocirun.image.ids import Ids

SIZE_LIMIT = "64g"

COMMAND = Command(
    "bundle",
    arguments="IMAGE DIR",
    summary="make a bundle of an image",
    description="""\
Unpacks IMAGE to the new directory DIR: rootfs, and a config.json that runs the image's program. IMAGE is an OCI
image layout, as a directory or an archive; an archive that `docker save` or `podman save` has written; or the
archive of a root file system, as `docker export` writes it, whose config.json runs sh. `-` is standard input.
Archives and layers may be compressed with gzip or zstd. Nothing is fetched from a network.

DIR appears when all of it is there, and with an error or an interruption nothing is left. It is for its owner
alone, as an image may hold set-user-id programs. All digests are verified, and nothing in the image can have an
effect outside of DIR.

With --uidmap the container gets a user namespace, and the files belong to the mapped ids. An ordinary user, who is root
in the container, has one too: the files keep their owners as far as /etc/subuid and /etc/subgid give ids to the user.
Without these, or with --rootless, all files belong to the user. In all these cases there are no device nodes. What is
left out of an image is told.""",
    options=(
        *IMAGE_OPTIONS,
        Option("rootless", help="for a container of an ordinary user with one id, see `ocirun spec --rootless`"),
        Option(
            "uidmap",
            kind=MANY,
            metavar="CONTAINER:HOST:SIZE",
            help="user ids of the container and of the host; more lines may be given",
        ),
        Option("gidmap", kind=MANY, metavar="CONTAINER:HOST:SIZE", help="the same for groups", shown="as --uidmap"),
        Option(
            "size-limit",
            kind=TEXT,
            metavar="SIZE",
            default=SIZE_LIMIT,
            help="refuse an image that is larger when decompressed",
        ),
    ),
)


def execute(call: Call) -> int:
    """Make the bundle."""
    values = call.values
    image, directory = values.arguments
    with Interruptible():
        ids = choose(values.flag("rootless"), values.many("uidmap"), values.many("gidmap"))
        unpack(call, image, directory, ids, limit=values.text("size-limit"))
    return 0


def choose(rootless: bool = False, uidmap: Sequence[str] = (), gidmap: Sequence[str] = ()) -> Ids | None:
    """Choose whose the files are; None: whose the image says.

    An ordinary user with further ids is root of a user namespace from then on.
    """
    from ocirun.image import ids
    from ocirun.image.owners import read_map

    ordinary = os.geteuid() != 0
    if rootless:
        if uidmap or gidmap:
            raise UsageError("--uidmap and --gidmap cannot go with --rootless, for which one id is enough")
        return ids.single()
    if uidmap or gidmap:
        uids, gids = read_map(uidmap or gidmap, "uidmap"), read_map(gidmap or uidmap, "gidmap")
        return ids.of_user(uids, gids) if ordinary else ids.of_root(uids, gids)
    return ids.of_user() if ordinary else None


def unpack(
    call: Call,
    image: str,
    directory: str,
    ids: Ids | None,
    *,
    limit: str = SIZE_LIMIT,
    args: Sequence[str] = (),
    terminal: bool = True,
    run: bool = False,
) -> None:
    """Make a bundle of an image, with a bar on a terminal.

    ids        what `choose` has given
    args       words in place of the image's Cmd
    terminal   the program gets a terminal
    run        this process is to run it
    Raises as `image.bundle.make`.
    """
    from ocirun._base.rights import in_user_namespace
    from ocirun.cli import template
    from ocirun.image import bundle
    from ocirun.image.owners import Owners

    most = size(limit, option="size-limit")
    # As for `spec`.
    config = template.config(cgroup_namespace=os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
    if ids is not None:
        uids, gids = ids.maps(nested=run)
        (template.make_rootless if ids.ordinary else template.make_mapped)(config, uids=uids, gids=gids)
    config["process"]["terminal"] = terminal
    bar = Bar()
    try:
        bundle.make(
            image,
            directory,
            config=config,
            owners=ids.owners() if ids is not None else Owners(nodes=not in_user_namespace()),
            tag=call.values.text("tag"),
            platform=call.values.text("platform"),
            args=args,
            size_limit=most if most >= 0 else 1 << 62,
            warn=call.warn,
            progress=bar.show if bar.wanted() else None,
        )
    finally:
        bar.clear()


class Bar:
    """How far it is, on a terminal."""

    def __init__(self) -> None:
        self._next = 0.0
        self._shown = False

    @staticmethod
    def wanted() -> bool:
        """Tell if standard error is a terminal on which the cursor can go back."""
        return os.environ.get("TERM", "dumb") != "dumb" and os.isatty(2)

    def show(self, done: int, total: int) -> None:
        """Show it, ten times in a second at most."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.1
        self._shown = True
        full = 40 * done // max(total, 1)
        write_all(2, f"\r[{'#' * full}{' ' * (40 - full)}] {done >> 20} of {total >> 20} MiB\x1b[K".encode())

    def clear(self) -> None:
        """Leave an empty line."""
        if self._shown:
            write_all(2, b"\r\x1b[K")


class _EndedError(BaseException):
    """A signal has asked for the end."""


class Interruptible:
    """``with Interruptible()``: a signal ends what is done by an exception, and the process after it has cleaned up."""

    def __init__(self) -> None:
        self._number = 0
        self._old: dict[int, Callable[[int, Any], Any] | int | None] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._old[number] = signal.signal(number, self._end)

    def _end(self, number: int, frame: object) -> None:
        del frame
        if self._number:
            return  # it is being cleaned up
        self._number = number
        raise _EndedError

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)
        if isinstance(error, _EndedError):
            signal.signal(self._number, signal.SIG_DFL)
            os.kill(os.getpid(), self._number)
