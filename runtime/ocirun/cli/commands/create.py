"""``ocirun create``."""

from __future__ import annotations

from ocirun.cli.options import CAPSULE, CREATE_OPTIONS, create_options, with_capsule
from ocirun.cli.table import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirun.cli.call import Call

COMMAND = Command(
    "create",
    arguments="ID",
    summary="create a container that waits for `start`",
    description="""\
Sets up the container that config.json of the bundle describes, and stops short of running its program. ID is
a name of your choice, unique below the state root.

Changes of config.json after this have no effect on the container. Standard input, output and error become
those of the program, unless it has a terminal; nothing is printed on success.""",
    options=(*CREATE_OPTIONS, CAPSULE),
)


def execute(call: Call) -> int:
    """Create the container."""
    from ocirun.container import Container

    options = create_options(call)

    def create() -> int:
        Container.create(call.id, root=call.settings.root, options=options)
        return 0

    return with_capsule(call, "create", call.id, options, create)
