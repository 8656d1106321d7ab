"""``ocirun run --image``: an image is unpacked, its program is run, and the bundle is removed."""

from __future__ import annotations

import os

from ocirun.cli.commands.bundle import Interruptible, unpack
from ocirun.cli.options import create_options
from ocirun.errors import HostError, UsageError, option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

# What needs a bundle that is there before the call, or a container that is there after it.
_NOT = ("bundle", "config", "detach", "keep", "console-socket")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not /tmp, which is memory on many hosts.
_USUAL = "/var/tmp"  # noqa: S108  the directory in it has a random name, and is made anew and closed to others


def execute(call: Call) -> int:
    """Run the image's program; the status of that."""
    from ocirun.container import run_container

    for name in _NOT:
        if name in call.values.given:
            raise UsageError(f"run: {option(name)} cannot go with {option('image')}, whose bundle is gone after it")
    with Interruptible(), Place(call) as place:
        options = create_options(call, foreground=True)
        options.bundle = f"{place}/bundle"
        unpack(
            call,
            call.values.text("image"),
            options.bundle,
            args=call.values.arguments,
            terminal=os.isatty(0) and os.isatty(1),
        )
        return run_container(
            f"image-{os.urandom(8).hex()}",
            root=call.settings.root,
            options=options,
            no_subreaper=call.values.flag("no-subreaper"),
        )


class Place:
    """``with Place(call) as path``: a directory for the time of a run, in $TMPDIR or /var/tmp."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._above = os.environ.get("TMPDIR") or _USUAL
        self._name = f"ocirun-{os.urandom(8).hex()}"
        self._parent = -1

    def __enter__(self) -> str:
        path = os.path.abspath(f"{self._above}/{self._name}")
        try:
            self._parent = os.open(self._above, _DIRECTORY)
            os.mkdir(self._name, 0o700, dir_fd=self._parent)
        except OSError as error:
            self.__exit__()
            remedy = "set TMPDIR to a directory with room for the image"
            raise HostError.from_os(f"make {path}", error, call="mkdirat", remedy=remedy) from None
        return path

    def __exit__(self, *_: object) -> None:
        from ocirun.image.tree import remove

        if self._parent < 0:
            return
        try:
            remove(self._parent, self._name)
        except FileNotFoundError:  # it was not made
            pass
        except OSError as error:
            # The exit status is the program's.
            self._call.warn(f"{self._above}/{self._name} is not removed: {HostError.from_os('remove it', error)}")
        finally:
            os.close(self._parent)
            self._parent = -1
