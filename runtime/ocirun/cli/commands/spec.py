"""``ocirun spec``."""

from __future__ import annotations

import os

from ocirun._base.jsonio import dumps_pretty
from ocirun.cli.output import write_all
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "spec",
    summary="write a config.json to start from",
    description="""\
Writes a config.json that runs `sh` on a terminal, in namespaces of its own and on a read-only root filesystem
in the directory rootfs. Edit it to taste. An existing config.json is left alone.""",
    options=(
        Option(
            "bundle",
            "b",
            kind=TEXT,
            metavar="DIR",
            help="directory to write to",
            shown="the current directory",
        ),
        Option("rootless", help="for a container of an ordinary user: a user namespace, no network of its own"),
    ),
)


def execute(call: Call) -> int:
    """Write the file."""
    from ocirun.cli import template

    # On cgroup v1 the cgroup mount of the template shows the container's own groups without this namespace.
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    config = template.config(cgroup_namespace=unified)
    if call.values.flag("rootless"):
        template.make_rootless(config, uid=os.geteuid(), gid=os.getegid())
    path = os.path.join(call.values.text("bundle"), "config.json")
    _write_new(path, (dumps_pretty(config, "\t") + "\n").encode("ascii"))
    return 0


def _write_new(path: str, data: bytes) -> None:
    try:
        # O_EXCL also refuses a symbolic link in place of the file, see open(2).
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        raise HostError(f"{path} exists", call="openat", remedy="remove it first") from None
    except OSError as error:
        raise HostError.from_os(f"create {path}", error, call="openat") from None
    try:
        os.fchmod(fd, 0o644)  # whatever the umask
        write_all(fd, data)
    except OSError as error:
        os.unlink(path)
        raise HostError.from_os(f"write {path}", error, call="write") from None
    finally:
        os.close(fd)
