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
# In place of the launcher's word: a process of `learn`, and the descriptor that it tells its pages on.
TRIAL, REPORT = "trial", 3
# No command, but what a trial does in place of one.
PLAN = "plan"
# Bytes of an address and a length.
_STRETCH = 16
# Where this is in a pack, there are commands to practise.
COMMANDS = "ocirun.cli.commands.explain"
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
    if COMMANDS in importer.modules:
        practise(f"{target}.practice")
        from ocirun._base import installation

        installation.note()
    importer.close(pack)
    files = {pack, *importer.files(), *sources(importer)}
    gc.collect()
    gc.freeze()
    return sorted(files, key=lambda file: file.rpartition("/"))  # those of a directory together, see fits.c


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

    top = ["--root", f"{place}/root"]
    kept = [os.dup(fd) for fd in (1, 2)]
    nowhere = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    os.mkdir(place, 0o700)
    try:
        for fd in (1, 2):
            os.dup2(nowhere, fd)
        _set_up(place)
        for _ in range(ROUNDS):
            plan(place)
            main.main(["--version"])
            main.main([*top, "explain", "--bundle", place])
            main.main([*top, "list"])
            main.main([*top, "exec", "stopped", "/bin/sh"])
            for command in ("state", "start", "kill"):
                main.main([*top, command, "stopped"])
                main.main([*top, command, "nobody"])
            # What changes nothing of a program that runs: it is this process.
            for words in (("state", "running"), ("start", "running"), ("kill", "running", "0"), ("delete", "running")):
                main.main([*top, *words])
            main.main([*top, "delete", "nobody"])
    finally:
        for fd, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        os.close(nowhere)
        _take_down(place)


def plan(place: str) -> None:
    """Do what `create` and `exec` do before they make anything, with what `_set_up` has made in `place`."""
    from ocirun.errors import OcirunError

    for one in (_plan_create, _plan_exec):
        try:
            one(place)
        except OcirunError:  # what this host has not, or this user may not, cannot be practised
            continue


def _plan_create(place: str) -> None:
    from ocirun.commands import create
    from ocirun.container import CreateOptions

    options = CreateOptions(bundle=place, foreground=True)
    _encode(create.planned("new", f"{place}/root", options, keeps_session=True))


def _plan_exec(place: str) -> None:
    from ocirun.commands import exec as joining
    from ocirun.commands import run
    from ocirun.container import Container, ExecOptions
    from ocirun.state import store

    container = Container.load("running", root=f"{place}/root")
    process = {**container.base_process(), "args": ["/bin/sh"]}
    directory = store.open_container(container.root, container.id)
    try:
        with container.cgroup as cgroup:
            session = joining.session(container.record, cgroup, directory, process, ExecOptions())
            front = run.Foreground(session)
            try:
                front.take_signals()
            finally:
                _encode(session)
                front.close()
    finally:
        os.close(directory)


def _encode(session: Any) -> None:
    """Have all ready for the first operation, and give it up."""
    try:
        session.side.native.go = 0
    finally:
        session.close()


def learn(target: str, pack: str, trees: list[str], offset: int, room: int) -> None:
    """Execute what was written as commands, and tell it which of its pages these have written to.

    target, pack, trees   as for `prepare`
    offset                where in the file it is told
    room                  how many stretches it takes for each kind: all commands, and those that make a process
    """
    importer: Any = sys.meta_path[0]
    if COMMANDS not in importer.modules:
        return
    place = f"{target}.practice"
    start = [target, TRIAL, "", pack, *trees, "--", "ocirun", "--root", f"{place}/root"]
    os.mkdir(place, 0o700)
    try:
        _set_up(place)
        always = _tried([*start, "state", "running"]) & _tried([*start, "kill", "running", "0"])
        # Nothing can be made here, but all that comes before can be done.
        making = _tried([*start, PLAN, place]) - always
    finally:
        _take_down(place)
    fd = os.open(target, os.O_WRONLY | os.O_CLOEXEC)
    for number, pages in enumerate((always, making)):
        os.pwrite(fd, stretches(pages, room - 1), offset + number * room * _STRETCH)
    os.close(fd)


def _tried(words: list[str]) -> set[int]:
    """Return the pages, by number, that a trial says it has written to."""
    reader, writer = os.pipe()
    nowhere = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in range(3)]
    actions = [*nowhere, (os.POSIX_SPAWN_DUP2, writer, REPORT)]
    pid = os.posix_spawn(words[0], words, {"LC_ALL": "C"}, file_actions=actions)
    os.close(writer)
    said = b""
    while part := os.read(reader, 65536):
        said += part
    os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise RuntimeError(f"the trial of {words[-2:]} ended with {status}")
    return set(map(int, said.split()))


def stretches(pages: set[int], most: int) -> bytes:
    """Return pages as at most so many pairs of an address and a length, with the pages between those that are near."""
    size, near = os.sysconf("SC_PAGE_SIZE"), 2
    while True:
        found: list[list[int]] = []
        for page in sorted(pages):
            if found and page - found[-1][1] <= near:
                found[-1][1] = page
            else:
                found.append([page, page])
        if len(found) <= most:
            break
        near += 1
    numbers = [number for first, last in found for number in (first * size, (last - first + 1) * size)]
    return b"".join(number.to_bytes(_STRETCH // 2, sys.byteorder) for number in numbers)


def _report_pages() -> None:
    """Write the numbers of those pages of the file of which this process has a copy (proc_pid_pagemap(5))."""
    size, text = os.sysconf("SC_PAGE_SIZE"), b""
    maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
    while part := os.read(maps, 65536):
        text += part
    try:
        fd = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # a kernel without it, or one that shows it to nobody: pages are copied one by one then
    found = []
    for line in text.splitlines():
        bounds, access, _, _, inode = line.split()[:5]
        if access[1:2] != b"w" or inode == b"0":
            continue
        first, last = (int(bound, 16) // size for bound in bounds.split(b"-"))
        entries = memoryview(os.pread(fd, (last - first) * 8, first * 8)).cast("Q")
        # Present, and not of a file.
        found += [first + number for number, entry in enumerate(entries) if entry >> 63 and not entry >> 61 & 1]
    data = "\n".join(map(str, found)).encode("ascii")
    while data:
        data = data[os.write(REPORT, data) :]


def _set_up(place: str) -> None:
    """Make a bundle, and the state of two containers: one that has ended, one whose program is this process."""
    from ocirun.state import record

    _leave_container(place, "stopped", NO_PROCESS, 1)
    _leave_container(place, "running", os.getpid(), record.process_stat(os.getpid())[1])


def _take_down(place: str) -> None:
    from ocirun.state import store

    for name in ("stopped", "running"):
        store.remove(f"{place}/root", name)
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

    config = dumps(template.config(cgroup_namespace=False)).encode("ascii")
    with open(f"{place}/config.json", "wb") as file:
        file.write(config)
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
    store.write_file(directory, "config.json", config)
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

    if words[0] == TRIAL:
        os._exit(_try(words))
    os._exit(main(start=words[0]))


def _try(words: list[str]) -> int:
    """Do the work of a process of `learn`, and return its status."""
    from ocirun.cli.main import main

    status = 0
    if words[-2] == PLAN:
        main(["--root", f"{words[-1]}/root", "exec", "stopped", "/bin/sh"])
        plan(words[-1])
    else:
        status = main(start=TRIAL)
    _report_pages()
    return status
