"""The commands, one module each."""

from __future__ import annotations

from ocirun.cli.table import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirun.cli.call import Call
    from ocirun.cli.table import Command


def load(name: str) -> tuple[Command, Callable[[Call], int]]:
    """Return the entry and the function of the command `name`, a key of COMMANDS."""
    module: Any = __import__(f"ocirun.cli.commands.{COMMANDS[name]}", fromlist=("COMMAND", "execute"))
    return module.COMMAND, module.execute
