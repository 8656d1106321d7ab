"""Build hook of the wheel: compiles the C parts and puts them in place.

A standard wheel gets the module inside the package and the launcher as its
script.  An editable install gets a launcher bound to the checkout.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledParts(BuildHookInterface[Any]):
    """Adds ``ocirun/_native*.so``, the pack, the starter and the script ``ocirun``."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the parts; hatchling calls this before it collects the files of the wheel."""
        build = os.path.join(self.root, "csrc", "build.py")
        if version == "editable":
            self._run(build, "--in-tree")
            launcher = os.path.join(self.root, "build", "bin", "ocirun")
        else:
            out = os.path.join(self.root, "build", "wheel", str(sysconfig.get_config_var("SOABI")))
            self._run(build, "--out", out)
            launcher = os.path.join(out, "ocirun")
            suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
            names = [
                f"_native{suffix}",
                *(f"_{kind}{suffix.removesuffix('.so')}" for kind in ("pack", "preload", "stage", "start")),
            ]
            for name in names:
                build_data["force_include"][os.path.join(out, name)] = f"ocirun/{name}"
            schema = os.path.join("schemas", "config.schema.json")  # for `ocirun check`
            build_data["force_include"][os.path.join(self.root, schema)] = f"ocirun/{schema}"
            if commit := self._commit(out):
                build_data["force_include"][commit] = "ocirun/_base/COMMIT"
        build_data["shared_scripts"][launcher] = "ocirun"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def _commit(self, out: str) -> str:
        """Return the path of a file that names the commit, for ``ocirun --version``; "" outside a checkout."""
        try:
            asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.root, check=False, capture_output=True)
        except OSError:
            return ""
        if asked.returncode or not os.path.exists(os.path.join(self.root, ".git")):
            return ""
        path = os.path.join(out, "COMMIT")
        with open(path, "wb") as file:
            file.write(asked.stdout)
        return path

    def _run(self, *command: str) -> None:
        # A process of its own: hatchling has already imported a package named `build` perhaps.
        if subprocess.run([sys.executable, *command], check=False).returncode:
            raise SystemExit("ocirun: the C parts did not compile; see the messages above")
