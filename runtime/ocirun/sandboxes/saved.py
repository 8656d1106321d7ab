"""A config as the config.json of a bundle."""

from __future__ import annotations

import os

from .._base import jsonio
from .._base.boundary import raises_ocirun_errors
from .._base.newfile import write_new
from ..config import load
from ..errors import ConfigError, HostError, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@raises_ocirun_errors
def save_config(config: Mapping[str, Any], directory: str) -> str:
    """Write a config as config.json into a directory, and make that if it is not there; returns the file's path.

    What does not begin with / in the config, its root above all, is looked for from there.
    Raises ConfigError for what is no config, HostError where there is a config.json already.
    """
    path = os.path.join(os.path.abspath(directory), "config.json")
    load.from_values(config, bundle=os.path.dirname(path), path="config")
    text = jsonio.dumps_pretty(dict(config), "\t") + "\n"
    try:
        os.mkdir(os.path.dirname(path), 0o755)
    except FileExistsError:
        pass  # or no directory, which open(2) says
    except OSError as error:
        raise HostError.from_os(f"make the directory {os.path.dirname(path)}", error, call="mkdir") from None
    write_new(path, text.encode("ascii"))
    return path


@raises_ocirun_errors
def put_profile(config: dict[str, Any], path: str, directory: str) -> None:
    """Put the profile of a file, in the form of ``linux.seccomp``, into a config for a directory.

    Raises HostError, ConfigError for what is no profile.
    """
    try:
        profile = jsonio.loads(load.read(path))
    except jsonio.JsonError as error:
        raise ConfigError([Problem("", str(error))], path=path) from None
    config["linux"]["seccomp"] = profile
    load.from_values(config, bundle=os.path.abspath(directory), path=path)
