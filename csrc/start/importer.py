"""The importer of a pack: modules from one file.

A search in directories costs more than the code that it finds.  A pack, made by csrc/pack.py, is: the interpreter's
magic number; the length of the next part in eight digits; this file's code and a dict of the modules, marshalled; the
modules' code.  A module is a tuple: whether it is a package, where its code begins behind the dict, how long it is, its
file, that file's size and time of change in ns, and what it imports at once, in an order in which each module finds
those that it needs.  These are loaded here, in a fraction of the time of an import statement that has to search.

In a checkout a module whose file has changed is left to the importers behind this one.  An installed module's size is
-1, and its file is not looked at.  Compiled modules are looked for under the one name that this interpreter's have.

The pack stays open (close-on-exec): another one may be put in its place at any time.
"""

from __future__ import annotations

import posix
import sys
from marshal import loads

from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

ModuleType = type(sys)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    Part = tuple[bool, int, int, str, int, int, tuple[str, ...]]
    setup: tuple[int, int, dict[str, Part], tuple[str, ...], tuple[str, ...], str, str]


class Importer:
    """An entry of ``sys.meta_path``.

    fd, begin  the pack, and where the first module's code begins in it
    modules    name -> Part
    hot        names of the modules that are on the way of most commands
    compiled   names of compiled ones there
    suffix     how their files' names end
    top        the package's directory
    """

    def __init__(
        self,
        fd: int,
        begin: int,
        modules: dict[str, Part],
        hot: tuple[str, ...],
        compiled: tuple[str, ...],
        suffix: str,
        top: str,
    ) -> None:
        self.fd = fd
        self.path = ""
        self.begin = begin
        self.modules = modules
        self.hot = hot
        self.compiled = compiled
        self.suffix = suffix
        self.top = top

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        """Return the spec of a module that this importer has, else None."""
        part = self.modules.get(name)
        if part is None:
            return self._find_compiled(name) if name in self.compiled else None
        for needed in part[6]:
            if needed not in sys.modules and not self._load(needed):
                break
        if self._changed(part):
            return None
        loader: Any = self
        file = self._file(part)
        spec = ModuleSpec(name, loader, origin=file, is_package=part[0])
        if part[0]:
            spec.submodule_search_locations = [file.rpartition("/")[0]]
        return spec

    def _load(self, name: str) -> bool:
        """Import a module of which everything that it needs has been imported; False if its file has changed."""
        part = self.modules[name]
        if self._changed(part):
            return False
        module: Any = ModuleType(name)
        parent, _, last = name.rpartition(".")
        module.__package__ = name if part[0] else parent
        module.__loader__ = self
        if part[0]:
            module.__path__ = [self._file(part).rpartition("/")[0]]
        sys.modules[name] = module
        try:
            self.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        if parent:
            setattr(sys.modules[parent], last, module)
        return True

    def _file(self, part: Part) -> str:
        file = part[3]
        return file if file.startswith("/") else f"{self.top}/{file}"  # the standard library's, or ours

    def _changed(self, part: Part) -> bool:
        if part[4] < 0:
            return False
        try:
            now = posix.stat(self._file(part))
        except OSError:
            return True
        return bool(now.st_size != part[4] or now.st_mtime_ns != part[5])

    def _find_compiled(self, name: str) -> Any:
        parent, _, last = name.rpartition(".")
        for directory in [self.top] if parent else sys.path:
            file = f"{directory}/{last}{self.suffix}"
            try:
                posix.stat(file)
            except OSError:
                continue
            return ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
        return None

    def create_module(self, spec: object) -> None:
        """Return None: an ordinary module."""

    def exec_module(self, module: Any) -> None:
        """Run the code of a module of the pack."""
        part = self.modules[module.__name__]
        module.__file__ = self._file(part)
        code: CodeType = loads(posix.pread(self._open(), part[2], self.begin + part[1]))
        exec(code, module.__dict__)

    def _open(self) -> int:
        if self.fd < 0:
            self.fd = posix.open(self.path, posix.O_RDONLY | posix.O_CLOEXEC)
        return self.fd

    def close(self, path: str) -> None:
        """Close the pack; it is opened again at `path` when something more is wanted of it."""
        posix.close(self.fd)
        self.fd = -1
        self.path = path

    def files(self) -> list[str]:
        """Return the files of the modules, where they are looked at."""
        return [self._file(part) for part in self.modules.values() if part[4] >= 0]


sys.meta_path.insert(0, Importer(*setup))  # noqa: F821  given by the bootstrap
