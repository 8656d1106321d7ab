"""``ocirun run --image``: an image is unpacked, its program is run, and the bundle is removed."""

from __future__ import annotations

import os

from ocirun.cli.commands.bundle import Interruptible, choose, unpack
from ocirun.cli.options import create_options, with_capsule
from ocirun.errors import HostError, UsageError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.call import Call
    from ocirun.container import Learned
    from ocirun.image.place import Place

# What needs a bundle that is there before the call, or a container that is there after it.
_NOT = ("bundle", "config", "detach", "keep", "console-socket")
# Names in $TMPDIR, and of the link in such a directory that names its container.
_PREFIX, _CONTAINER = "ocirun-", "container"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not /tmp, which is memory on many hosts.
_USUAL = "/var/tmp"  # noqa: S108  the directory in it has a random name, and is made anew and closed to others


def execute(call: Call, learned: Callable[[Learned], None] | None) -> int:
    """Run the image's program; the status of that.

    learned   as in CreateOptions
    """
    from ocirun.containers import run_container

    for name in _NOT:
        if name in call.values.given:
            raise UsageError(f"run: {option(name)} cannot go with {option('image')}, whose bundle is gone after it")
    container = f"image-{os.urandom(8).hex()}"
    # Before the directory is made: who makes files of other ids can remove them.
    ids = choose()
    with Interruptible(), Here(call, container) as place:
        options = create_options(call, foreground=True, learned=learned)
        options.bundle = f"{place}/bundle"
        unpack(
            call,
            call.values.text("image"),
            options.bundle,
            ids,
            args=call.values.arguments,
            terminal=os.isatty(0) and os.isatty(1),
            run=True,
        )

        def run() -> int:
            bare = call.values.flag("no-subreaper")
            return run_container(container, root=call.settings.root, options=options, no_subreaper=bare)

        return with_capsule(call, "run", container, options, run)


class Here:
    """``with Here(call, container) as path``: a directory for the time of a run, in $TMPDIR or /var/tmp."""

    def __init__(self, call: Call, container: str) -> None:
        self._call = call
        self._container = f"{call.settings.root}/{container}"
        self._above = os.environ.get("TMPDIR") or _USUAL
        self._parent = -1
        self._place: Place | None = None

    def __enter__(self) -> str:
        from ocirun.image.place import Place, sweep

        try:
            self._parent = os.open(self._above, _DIRECTORY)
            sweep(self._parent, _PREFIX, self._above, warn=self._call.warn, used=_is_used)
            self._place = Place(self._parent, _PREFIX)
            self._place.make()
            os.symlink(self._container, _CONTAINER, dir_fd=self._place.fd)
        except OSError as error:
            self.__exit__()
            remedy = "set TMPDIR to a directory with room for the image"
            what = f"make a directory in {self._above}"
            raise HostError.from_os(what, error, call="mkdirat", remedy=remedy) from None
        except BaseException:
            self.__exit__()
            raise
        return os.path.abspath(f"{self._above}/{self._place.name}")

    def __exit__(self, *_: object) -> None:
        try:
            if self._place is not None:
                self._place.remove()
        except OSError as error:
            # The exit status is the program's.
            what = HostError.from_os("remove it", error)
            self._call.warn(f"{self._above}/{self._place.name if self._place else ''} is not removed: {what}")
        finally:
            if self._place is not None:
                self._place.close()
            if self._parent >= 0:
                os.close(self._parent)
            self._parent = -1


def _is_used(fd: int) -> bool:
    """Tell if the container runs whose `run` was killed; one that has ended is deleted.

    fd   of the directory of that run
    Raises OcirunError where it cannot be told or deleted.
    """
    from ocirun.container import Container
    from ocirun.containers import delete
    from ocirun.errors import ContainerNotFoundError, StateDamagedError

    try:
        root, _, container = os.readlink(_CONTAINER, dir_fd=fd).rpartition("/")
    except FileNotFoundError:
        return False  # it was killed before
    try:
        if Container.load(container, root=root).status() in ("creating", "running", "paused"):
            return True
    except ContainerNotFoundError:
        return False
    except StateDamagedError:
        pass  # killed while it wrote that, when the container's process ends with it
    delete(container, root=root, force=True)
    return False
