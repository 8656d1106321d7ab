"""The config as it was at create, whatever has become of the bundle."""

from __future__ import annotations

from ..config import load
from ..errors import ConfigError, HostError, StateDamagedError
from . import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "config.json"


def config(directory: int, bundle: str) -> dict[str, Any]:
    """Return the content of the container's config.json, to be changed as the caller likes.

    Raises StateDamagedError when it is missing or is no config any more, HostError when it cannot be read.
    """
    try:
        raw = store.read_file(directory, FILE)
        data: Any = load.from_bytes(raw, bundle=bundle, path=f"the saved {FILE}").data
    except OSError as error:
        if error.errno not in store.NO_FILE:
            raise HostError.from_os(f"the saved {FILE}", error, call="openat") from None
        raise StateDamagedError(f"the saved {FILE} is missing", remedy=store.remedy()) from None
    except ConfigError as error:
        raise StateDamagedError(error.message, remedy=store.remedy()) from None
    return dict(data)
