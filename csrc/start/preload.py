"""What a preloaded interpreter has in its memory, and how it goes on.

The starter runs this in place of boot.py when it is to write a preloaded interpreter (preload.c).  A process that
executes what was written begins in `go_on`.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Besides the modules of the pack.  systemd's driver takes longer to import than to do its work.
ALSO = ("jeepney.io.blocking",)


def prepare(pack: str, trees: list[str]) -> list[str]:
    """Import what the commands need; the files that must not change, besides those that are mapped.

    pack   the pack's path
    trees  what is added to sys.path
    """
    import marshal
    from _frozen_importlib_external import MAGIC_NUMBER

    gc.disable()
    sys.path += trees
    fd = os.open(pack, os.O_RDONLY | os.O_CLOEXEC)
    head = os.pread(fd, 12, 0)
    if head[:4] != MAGIC_NUMBER:
        raise ImportError("the pack is another interpreter's")
    size = int(head[4:])
    code, *setup, top = marshal.loads(os.pread(fd, size, 12))
    exec(code, {"setup": (fd, 12 + size, *setup, top or os.path.dirname(pack))})
    importer: Any = sys.meta_path[0]
    for name in (*importer.compiled, *importer.hot, *ALSO):
        try:
            __import__(name)
        except ImportError:
            continue  # not there for this interpreter, or not needed here
    importer.close(pack)
    files = [pack, *importer.files()]
    gc.collect()
    gc.freeze()
    return files


def go_on(words: list[str], environ: list[bytes]) -> None:
    """The command line of a process that executes the preloaded interpreter.

    words     its arguments, as boot.py has them
    environ   its environment
    """
    gc.enable()
    gc.set_threshold(100000)
    known: Any = os.environ
    variables: dict[bytes, bytes] = known._data
    variables.clear()
    for entry in environ:
        key, sign, value = entry.partition(b"=")
        if sign:
            variables.setdefault(key, value)
    del os.environ["LC_ALL"]
    end = words.index("--")
    last = words.index("--", end + 1)
    for held in words[end + 1 : last]:
        name, _, text = held.partition("=")
        os.environ[name] = text
    sys.argv = words[last + 1 :]
    from ocirun.cli.main import main

    os._exit(main())
