"""``ocirun spec``."""

from __future__ import annotations

import os

from ocirun._base.jsonio import dumps_pretty
from ocirun._base.newfile import write_new
from ocirun.cli.table import TEXT, Command, Option
from ocirun.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cli.call import Call

COMMAND = Command(
    "spec",
    summary="write a config.json to start from",
    description="""\
Writes a config.json that runs `sh` on a terminal, in namespaces of its own and on a read-only root filesystem
in the directory rootfs. Edit it to taste. An existing config.json is left alone.

With `--sandbox` it is the config of `ocirun.sandbox` for a program that nobody trusts: without a terminal, in a user
namespace, with a seccomp filter, without capabilities and network, with limits. What this host cannot do is an error,
or left out with `--leave-out`, which says what.""",
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
        Option("sandbox", help="for a program that nobody trusts, as root or as an ordinary user"),
        Option(
            "seccomp",
            kind=TEXT,
            metavar="FILE",
            help="take linux.seccomp from FILE, such as `run --learn` writes",
        ),
        Option("leave-out", help="with --sandbox: do without the limits and the filter that this host cannot do"),
        Option(
            "disk",
            kind=TEXT,
            metavar="SIZE",
            help="with --sandbox: a root to be written to, of which so much is thrown away at the end",
        ),
    ),
)


def execute(call: Call) -> int:
    """Write the file."""
    directory = call.values.text("bundle")
    path = os.path.join(directory, "config.json")
    config = _sandbox(call, directory) if call.values.flag("sandbox") else _template(call)
    if call.values.text("seccomp"):
        from ocirun.sandboxes.saved import put_profile

        put_profile(config, call.values.text("seccomp"), directory)
    write_new(path, (dumps_pretty(config, "\t") + "\n").encode("ascii"))
    return 0


def _template(call: Call) -> dict[str, Any]:
    from ocirun.cli import template

    if call.values.flag("leave-out"):
        raise UsageError("--leave-out is for --sandbox")
    if call.values.text("disk"):
        raise UsageError("--disk is for --sandbox")
    # On cgroup v1 the cgroup mount of the template shows the container's own groups without this namespace.
    unified = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    config = template.config(cgroup_namespace=unified)
    if call.values.flag("rootless"):
        template.make_rootless(config, uids=[(0, os.geteuid(), 1)], gids=[(0, os.getegid(), 1)])
    return config


def _sandbox(call: Call, directory: str) -> dict[str, Any]:
    from ocirun.cli import quantities
    from ocirun.sandboxes import sandbox
    from ocirun.sandboxes.config import LEFT_OUT

    if call.values.flag("rootless"):
        raise UsageError("--sandbox is for an ordinary user too: leave out --rootless")
    missing = sandbox.LEAVE_OUT if call.values.flag("leave-out") else sandbox.REFUSE
    disk = quantities.size(call.values.text("disk"), option="disk") if call.values.text("disk") else None
    config = sandbox.sandbox(os.path.join(directory, "rootfs"), ["sh"], disk=disk, missing=missing)
    config["root"]["path"] = "rootfs"
    left_out = config.get("annotations", {}).get(LEFT_OUT)
    if left_out:
        call.warn(f"left out, as this host cannot do it: {left_out}")
    return config
