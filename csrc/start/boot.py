"""From the launcher's arguments to the command line.

It is built twice: as the text of ``python -c``, and compiled into the starter.  The arguments: why the preloaded
interpreter was not executed, the launcher's path, that of the pack, directories for sys.path, "--", the command line
with its program's name.  Variables that were held back from the
interpreter have another first letter.
"""

from __future__ import annotations

import gc
import os
import sys

# What is imported stays until the end, and there is little else: the collector would look through it again and again,
# a twentieth of the time of a command.
gc.set_threshold(100000)
a = sys.argv
i = a.index("--")
w, o, p = a[1:4]
sys.path += a[4:i]
del os.environ["LC_ALL"]
os.environ.pop("LD_LIBRARY_PATH", "")
for k in [k for k in os.environ if k[:1] == "\1"]:
    os.environ["L" + k[1:]] = os.environ.pop(k)
del a[: i + 1]
try:
    try:
        f = os.open(p, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        f = -1
    if f >= 0:
        import marshal
        from _frozen_importlib_external import MAGIC_NUMBER

        h = os.pread(f, 12, 0)
        if h[:4] == MAGIC_NUMBER:
            n = int(h[4:])
            c, *s, t = marshal.loads(os.pread(f, n, 12))
            exec(c, {"setup": (f, 12 + n, *s, t or os.path.dirname(p))})
    from ocirun.cli.main import main
except (ImportError, OSError, MemoryError, EOFError, ValueError, TypeError) as e:
    sys.exit(f"ocirun: ocirun is being replaced, or is damaged: {e} (call again; if that fails, install ocirun anew)")
except KeyboardInterrupt:
    os._exit(130)
s = main(start=w)
if w[0] == "+":
    try:
        from ocirun.preload.missing import have_made

        have_made(w, o)
    except BaseException:  # noqa: S110  the command is done, and nothing that fails after it is its caller's business
        pass
# The command line writes past Python's buffers, so nothing is lost without the interpreter's own clean-up, a fifth of
# its time.
os._exit(s)
