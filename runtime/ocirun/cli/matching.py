"""``--regex``: a command for each container whose id matches."""

from __future__ import annotations

import re
import warnings

from ocirun.errors import ContainerNotFoundError, OcirunError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirun.cli.call import Call


def each(call: Call, act: Callable[[str], None]) -> int:
    """Call `act` with each id that holds a match of the first argument, in their order; 0 if none fails.

    One that goes meanwhile is passed over.  After a failure the others have their turn all the same.
    Raises UsageError for what is no regular expression, and at the end the first failure, with the id before its
    message; further ones are warnings.
    """
    from ocirun.containers import list_ids

    try:
        with warnings.catch_warnings():
            # What other tools understand in another way, such as [[:alpha:]], would match something else.
            warnings.simplefilter("error")
            wanted = re.compile(call.id)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise UsageError(f"option --regex: {call.id!a} is no regular expression of Python: {error}") from None
    failures: list[OcirunError] = []
    for container_id in list_ids(call.settings.root):
        if wanted.search(container_id) is None:
            continue
        try:
            act(container_id)
        except ContainerNotFoundError:
            continue
        except OcirunError as error:
            error.message = f"{container_id}: {error.message}"
            failures.append(error)
    for failure in failures[1:]:
        call.warn(failure.line())
    if failures:
        raise failures[0]
    return 0
