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

# The interpreter adapts code to what it meets in the first calls, in the code's own memory.
ROUNDS = 20
# More than the kernel gives to a process (PID_MAX_LIMIT).
NO_PROCESS = 1 << 30
# Besides the modules of the pack.  systemd's driver takes longer to import than to do its work.
ALSO = ("jeepney.io.blocking",)


def prepare(target: str, pack: str, trees: list[str]) -> list[str]:
    """Import what the commands need; the files that must not change, besides those that are mapped.

    target   what will be written
    pack     the pack's path
    trees    what is added to sys.path
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
    if "ocirun.cli.commands.explain" in importer.modules:
        practise(f"{target}.practice")
    importer.close(pack)
    files = {pack, *importer.files(), *sources(importer)}
    gc.collect()
    gc.freeze()
    return sorted(files)


def sources(importer: Any) -> list[str]:
    """Return the files that the modules in memory come from,
    but for those that are mapped and those of the pack itself.
    """
    found = []
    for name, module in sys.modules.items():
        file = getattr(module, "__file__", None) or ""
        frozen = getattr(getattr(module, "__spec__", None), "origin", "") == "frozen"
        packed = name in importer.modules and importer.modules[name][4] < 0
        if frozen or packed or file.endswith(importer.suffix):
            continue
        while file and not os.path.exists(file):  # it is in an archive
            file = file.rpartition("/")[0]
        if os.path.isfile(file):
            found.append(file)
    return found


def practise(place: str) -> None:
    """Run commands that change nothing of the system, with their output thrown away.

    place   a directory that does not exist; made, and removed at the end
    """
    from ocirun.cli import main
    from ocirun.state import record, store

    top = ["--root", f"{place}/root"]
    kept = [os.dup(fd) for fd in (1, 2)]
    nowhere = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    os.mkdir(place, 0o700)
    try:
        for fd in (1, 2):
            os.dup2(nowhere, fd)
        _leave_container(place, "stopped", NO_PROCESS, 1)
        _leave_container(place, "running", os.getpid(), record.process_stat(os.getpid())[1])
        for _ in range(ROUNDS):
            main.main(["--version"])
            main.main([*top, "explain", "--bundle", place])
            main.main([*top, "list"])
            for command in ("state", "start", "kill"):
                main.main([*top, command, "stopped"])
                main.main([*top, command, "nobody"])
            # What changes nothing of a program that runs: it is this process.
            for words in (("state", "running"), ("start", "running"), ("kill", "running", "0"), ("delete", "running")):
                main.main([*top, *words])
            main.main([*top, "delete", "nobody"])
        for name in ("stopped", "running"):
            store.remove(f"{place}/root", name)
    finally:
        for fd, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
        os.rmdir(f"{place}/root")
        os.unlink(f"{place}/config.json")
        os.rmdir(place)


def _leave_container(place: str, name: str, pid: int, start_time: int) -> None:
    """Leave a bundle in `place`, and below it the state of a container whose program is a process,
    be it gone or not.
    """
    from ocirun.cgroup import choose, driver
    from ocirun.cli import template
    from ocirun.errors import OcirunError
    from ocirun.host import facts
    from ocirun._base.jsonio import dumps
    from ocirun.state import record, store

    with open(f"{place}/config.json", "w", encoding="ascii") as file:
        file.write(dumps(template.config(cgroup_namespace=False)))
    try:
        cgroup = choose.new_driver(facts.cgroup_layout(), container_id=name)
    except OcirunError:  # this host has none that it could have
        cgroup = driver.Driver()
    left = record.Record(
        name,
        bundle=place,
        rootfs=f"{place}/rootfs",
        created="2000-01-01T00:00:00.000000000Z",
        owner=os.geteuid(),
        annotations={},
        cgroup=cgroup.record(),
        hooks=[],
        boot_id=record.boot_id(),
        late=[[1, "wait_start", "", {"path": ""}], [2, "execute", "/process/args", {"args": ["/bin/sh"]}]],
        pid=pid,
        start_time=start_time,
    )
    directory = store.reserve(f"{place}/root", name)
    left.save(directory)
    progress = record.progress_header(0)[:4] + record.PHASE_RUNNING.to_bytes(4, sys.byteorder)
    store.write_file(directory, "progress", progress.ljust(record.PROGRESS_SIZE, b"\0"))
    os.close(directory)


def go_on(words: list[str], environ: list[bytes]) -> None:
    """Run the command line of a process that executes the preloaded interpreter.

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
    for name in [name for name in os.environ if name[:1] == "\1"]:
        os.environ["L" + name[1:]] = os.environ.pop(name)
    sys.argv = words[words.index("--") + 1 :]
    from ocirun.cli.main import main

    os._exit(main(start=words[0]))
