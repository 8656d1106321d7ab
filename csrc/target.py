"""The interpreter that the C parts are compiled for: the running one, or that of a system for another machine."""

from __future__ import annotations

import os
import runpy
import sys
import sysconfig
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Target:
    """Where an interpreter has its files, and how it names modules.

    root         the directory that holds its system, "" for this one's
    ext_suffix   how its compiled modules' names end
    python       "python3.11"; with the "t" of a free-threaded build
    prefix, stdlib, dynload, zip   its directories and the zipped library
    interpreter  its path
    library_name, multiarch   the name of its shared library, and of the directory of such in some distributions
    includes     flags for its headers
    """

    def __init__(self, root: str = "") -> None:
        """Look for the interpreter.  Raises FileNotFoundError where `root` has none of this version."""
        self.root = root
        self._variables = _variables_below(root) if root else sysconfig.get_config_vars()
        self.ext_suffix = self.variable("EXT_SUFFIX")
        self.abi = self.variable("SOABI")
        self.python = f"python{self.variable('LDVERSION')}"
        if root:
            self.prefix = self.variable("prefix")
            self.stdlib = self.variable("LIBDEST")
            self.interpreter = f"{self.variable('BINDIR')}/{self.python}"
            # Its pyconfig.h is beside the headers of its libc, which the compiler has itself.
            self.includes = [f"-I{root}{self.variable('INCLUDEPY')}", "-idirafter", f"{root}/usr/include"]
        else:
            self.prefix = sys.base_prefix
            self.stdlib = sysconfig.get_path("stdlib")
            self.interpreter = _interpreter(sys.base_prefix, self.python)
            self.includes = [f"-I{sysconfig.get_path('include')}"]
        machine = self.abi.split("-", 2)[-1]  # "x86_64-linux-gnu" of "cpython-311-x86_64-linux-gnu"
        self.multiarch = str(self._variables.get("MULTIARCH") or machine)
        self.library_name = f"lib{self.python}.so.1.0"
        self.dynload = self.variable("DESTSHARED")
        digits = "".join(map(str, sys.version_info[:2]))
        self.zip = os.path.join(os.path.dirname(self.stdlib), f"python{digits}.zip")
        # As the checkout's virtual environment has it.
        self.own_interpreter = _interpreter(sys.prefix, self.python)

    def variable(self, name: str) -> str:
        """Return one of sysconfig's variables."""
        return str(self._variables[name])

    def name(self, kind: str) -> str:
        """Return the name of a file beside the compiled module: "_start.cpython-311-x86_64-linux-gnu"."""
        return f"_{kind}{self.ext_suffix.removesuffix('.so')}"

    def library(self) -> str:
        """Return the path of its shared library; "" where it has none, or it is not there to link with."""
        if not self._variables.get("Py_ENABLE_SHARED"):
            return ""
        path = os.path.join(self.variable("LIBDIR"), self.variable("INSTSONAME"))
        return path if os.path.exists(self.root + path) else ""

    def link(self, library: str) -> list[str]:
        """Return flags that link a program with that library."""
        # What the library itself needs is not looked for on this machine.
        foreign = ["-Wl,--allow-shlib-undefined"] if self.root else []
        return [self.root + library, f"-Wl,-rpath,{os.path.dirname(library)}", *foreign]


def _interpreter(prefix: str, python: str) -> str:
    """Return the path of this interpreter below `prefix`, under its exact name where it has one."""
    named = os.path.join(prefix, "bin", python)
    if os.path.exists(named):
        return named
    # The virtual environment of a free-threaded one has it as python3.14, without the t.
    own = os.path.dirname(sys.executable) == os.path.dirname(named)
    return sys.executable if own else os.path.realpath(sys.executable)


def _variables_below(root: str) -> dict[str, Any]:
    """Return what the interpreter of another system says of itself, in the file that sysconfig would read there."""
    version = ".".join(map(str, sys.version_info[:2]))
    found = sorted(Path(f"{root}/usr/lib/python{version}").glob("_sysconfigdata__*.py"))
    if not found:
        raise FileNotFoundError(f"no Python {version} in {root}")
    variables: dict[str, Any] = runpy.run_path(str(found[0]))["build_time_vars"]
    return variables
