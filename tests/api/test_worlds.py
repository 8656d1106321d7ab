"""The surroundings that callers live in: other processes of theirs, other event loops, other interpreters, less rights.

docs/callers.md says of each what holds; what threads, gevent, signals and few descriptors do is in test_threads.py,
test_callers.py and test_verdicts.py.
"""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import sysconfig

import pytest

import ocirun

from .caller import RUNTIME, output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# A module, as spawn and forkserver import what their workers call.
MODULE = """
import multiprocessing, os, sys
import ocirun
prepared = None

def begin(bundle, root):
    global prepared
    prepared = ocirun.Prepared(bundle, root=root)

def one(task):
    number, bundle, root = task
    return ocirun.run(bundle, root=root, args=["/bin/sh", "-c", f"echo {number}; exit {number}"])

def other(number):
    return prepared.run(args=["/bin/sh", "-c", f"exit {number}"])

def wrong(task):
    return ocirun.run(task[1], root=task[2], cwd="relative")

if __name__ == "__main__":
    BUNDLE, ROOT, how = sys.argv[1:]
    assert one((0, BUNDLE, ROOT)).ok
    with multiprocessing.get_context(how).Pool(3, begin, (BUNDLE, ROOT)) as workers:
        tasks = [(number, BUNDLE, ROOT) for number in range(9)]
        found = workers.map(one, tasks)
        print([outcome.exit_code for outcome in found] == list(range(9)), found[7].stdout == b"7\\n")
        print([outcome.exit_code for outcome in workers.map(other, range(9))] == list(range(9)))
        try:
            workers.map(wrong, tasks[:1])
        except ocirun.ConfigError as error:
            print(error.pointer)
        workers.close()
        workers.join()
    print(os.listdir(ROOT))
"""


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver"])
def test_multiprocessing(bundle: str, root: str, tmp_path: Path, how: str) -> None:
    """Workers run programs by what they have inherited or made; outcomes and errors come back whole."""
    module = tmp_path / "workers.py"
    module.write_text(MODULE)
    result = subprocess.run(
        [sys.executable, str(module), bundle, root, how],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": RUNTIME, "PYTHONWARNINGS": "ignore"},
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["True True", "True", "/process/cwd", "[]"]


def test_handles_are_not_sent(bundle: str, root: str, make: Make) -> None:
    """They have descriptors and children of this process, of which numbers would mean something else elsewhere."""
    prepared = ocirun.Prepared(bundle, root=root)
    container = make("/bin/sleep", "600")
    container.start()
    with ocirun.Pool(prepared, size=1) as pool, container.popen(["/bin/sleep", "600"]) as process:
        handles = {"make one in each": prepared, "a pool of its own": pool, "Container.load": container, "pid": process}
        for remedy, handle in handles.items():
            for send in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(ocirun.UsageError, match="cannot be copied, pickled or sent") as refused:
                    send(handle)
                assert remedy in refused.value.remedy
    outcome = prepared.run(args=["/bin/sh", "-c", "echo x; exit 3"])
    sent = pickle.loads(pickle.dumps(outcome))
    assert [getattr(sent, name) for name in outcome.__slots__] == [getattr(outcome, name) for name in outcome.__slots__]


FORKED = """
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/true"])
config = ocirun.sandbox(sys.argv[1], ["/bin/sleep", "600"], missing="leave out")

def child(work):
    pid = os.fork()
    if not pid:
        signal.alarm(30)
        work()
        sys.stdout.flush()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, status

def said(function, *args):
    try:
        return function(*args)
    except ocirun.OcirunError as error:
        return f"{type(error).__name__}: {error.message}".replace(str(process.pid), "N")

with ocirun.Container.create(NAME, root=ROOT, config=config) as container:
    container.start()
    with container.popen(["/bin/sh", "-c", "read x; echo $x"], stdin=ocirun.PIPE, stdout=ocirun.PIPE) as process:
        def work():
            print(container.status(), container.run(["/bin/sh", "-c", "exit 3"]).exit_code, container.wait(10)
                  if container.status() == "stopped" else None)
            print(said(process.wait), said(process.poll), said(process.communicate),
                  said(process.usage), said(process.kill), sep="; ")
        child(work)
        pid = os.fork()
        if not pid:
            sys.exit(0)  # leaves both blocks
        os.waitpid(pid, 0)
        print(process.communicate(b"whole\\n")[0], process.poll(), container.status())
made = ocirun.Container.create(NAME + "2", root=ROOT, config=config)
made.start()
process = made.popen(["/bin/sleep", "600"])
reaper = threading.Thread(target=process.wait)  # the end of a pid namespace waits for the parent of each
reaper.start()
child(lambda: made.delete(force=True))
reaper.join()
print(process.wait(), [name for name in os.listdir(ROOT) if name != "seccomp~"])
"""


def test_handles_that_a_fork_has_copied(bundle: str, root: str) -> None:
    """A container can be used in the child, and what the child leaves is its parent's; a process is its parent's alone."""
    assert output(FORKED, bundle, root, os.path.join(bundle, "rootfs")) == [
        "running 3 None",
        "; ".join(["UsageError: process N was started by another process"] * 5),
        "b'whole\\n' 0 running",
        "137 []",
    ]


LIMITED = """
pool = ocirun.Pool(ocirun.Prepared(BUNDLE, root=ROOT), size=1, limit=1)
busy = threading.Thread(target=lambda: pool.run(["/bin/sleep", "600"], timeout=5))
busy.start()
while not any(state["status"] == "running" for state in ocirun.list_states(ROOT, warn=lambda *_: None)) or pool.turns._value:
    time.sleep(0.01)
pid = os.fork()
if not pid:
    signal.alarm(30)
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(pool.run(["/bin/true"]).ok)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(outcomes, asyncio.run(aio.run(pool, args=["/bin/true"])).ok, flush=True)
    pool.close()
    os._exit(0)
print(os.waitpid(pid, 0)[1])
busy.join()
print(pool.run(["/bin/true"]).ok)
pool.close()
print(os.listdir(ROOT))
"""


def test_turns_of_a_pool_in_a_forked_process(bundle: str, root: str) -> None:
    """Those that threads of the parent have taken are given back there, and not here."""
    assert output(LIMITED, bundle, root) == ["[True, True, True, True] True", "0", "True", "[]"]


PREFORK = """
import errno, resource

class SoftTimeLimitExceeded(Exception):
    pass

def soft(*_):
    raise SoftTimeLimitExceeded

def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

def worker():
    os.setsid()
    signal.signal(signal.SIGUSR1, soft)
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for task in range(3):
        try:
            print(ocirun.run(BUNDLE, root=ROOT, args=["/bin/sh", "-c", f"exit {task}"]).exit_code, flush=True)
            ocirun.run(BUNDLE, root=ROOT, args=["/bin/sleep", "600"], container_id=f"{NAME}{task}")
        except SoftTimeLimitExceeded:
            print("soft", os.listdir(ROOT), flush=True)
    ocirun.run(BUNDLE, root=ROOT, args=["/bin/sleep", "600"], container_id=f"{NAME}last")

def runs(name):
    return [state["status"] for state in ocirun.list_states(ROOT, warn=lambda *_: None) if state["id"] == name] == ["running"]

def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)

def waits():
    with open(f"/proc/{pid}/wchan") as file:
        return "poll" in file.read()

number = getattr(signal, sys.argv[1])
assert ocirun.run(BUNDLE, root=ROOT, args=["/bin/true"]).ok
begin()
first = NAME
pid = os.fork()
if not pid:
    NAME = first
    worker()
    os._exit(9)
for task in range(3):
    until(lambda: runs(f"{first}{task}") and waits())
    os.kill(pid, signal.SIGUSR1)
until(lambda: runs(f"{first}last"))
inside = next(state["pid"] for state in ocirun.list_states(ROOT, warn=lambda *_: None))
os.kill(pid, number)
print(os.waitpid(pid, 0)[1] == number)
until(lambda: not os.path.exists(f"/proc/{inside}"))
print(ocirun.cleanup(ROOT) == [f"{first}last"], left())
"""


@pytest.mark.parametrize("end", ["SIGTERM", "SIGKILL"])
def test_workers_with_soft_and_hard_limits(bundle: str, root: str, end: str) -> None:
    """As Celery's: forked before, a soft limit that raises in the middle of a task, a hard one that kills the worker."""
    soft = [line for task in range(3) for line in (str(task), "soft []")]
    assert output(PREFORK, bundle, root, end) == [*soft, "True", "True []"]


LOOPS = """
prepared, how = ocirun.Prepared(BUNDLE, root=ROOT), sys.argv[1]

async def main():
    both = [aio.run(prepared, args=["/bin/sh", "-c", f"cat; exit {number}"], stdin=b"in") for number in range(8)]
    both += [aio.run(BUNDLE, root=ROOT, args=["/bin/sleep", "600"], timeout=0.3)]
    found = await asyncio.gather(*both)
    print([outcome.exit_code for outcome in found[:8]] == list(range(8)), {outcome.stdout for outcome in found[:8]})
    print(found[8].limit, found[8].signal)
    pieces = []
    await aio.run(prepared, args=["/bin/echo", "x"], on_output=lambda name, piece: pieces.append((name, piece)))
    print(pieces, type(asyncio.get_running_loop()).__module__.split(".")[0])
    for moment in (0, 0.005, 0.02, 0.2):
        task = asyncio.create_task(aio.run(prepared, args=["/bin/sleep", "600"]))
        await asyncio.sleep(moment)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)

if how == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
print(os.listdir(ROOT))
"""


@pytest.mark.parametrize("how", ["asyncio", "uvloop"])
def test_event_loops(bundle: str, root: str, how: str) -> None:
    """The loop needs to watch descriptors and to have an executor, and nothing else."""
    wanted = ["True {b'in'}", "time 9", f"[('stdout', b'x\\n')] {how}", "[]"]
    assert output(LOOPS, bundle, root, how) == wanted


ANYIO = """
import anyio
prepared, backend = ocirun.Prepared(BUNDLE, root=ROOT), sys.argv[1]

async def in_asyncio():
    async with anyio.create_task_group() as group:
        group.start_soon(one, 3)
        group.start_soon(one, 4)
    with anyio.move_on_after(0.3) as scope:
        await aio.run(prepared, args=["/bin/sleep", "600"])
    print(scope.cancelled_caught, os.listdir(ROOT))
    with anyio.CancelScope(shield=True):
        print((await aio.run(prepared, args=["/bin/true"])).ok)

async def one(number):
    assert (await aio.run(prepared, args=["/bin/sh", "-c", f"exit {number}"])).exit_code == number

async def in_trio():
    try:
        await aio.run(prepared, args=["/bin/true"])
    except ocirun.UsageError as error:
        print(error)
    outcome = await anyio.to_thread.run_sync(lambda: prepared.run(args=["/bin/sh", "-c", "exit 3"], timeout=20))
    print(outcome.exit_code, os.listdir(ROOT))

anyio.run(in_asyncio if backend == "asyncio" else in_trio, backend=backend)
"""


def test_anyio(bundle: str, root: str) -> None:
    """On asyncio all of `aio` works, cancel scopes too; on trio it is refused, and a thread does it."""
    assert output(ANYIO, bundle, root, "asyncio") == ["True []", "True"]
    told, ran = output(ANYIO, bundle, root, "trio")
    assert "no event loop of asyncio" in told and "to_thread" in told
    assert ran == "3 []"


WITHIN = """
import sys
how, code = sys.argv[1:3]
if sys.version_info >= (3, 13):
    import _interpreters
    made = _interpreters.create(how)
    failed = _interpreters.exec(made, code)
    told = failed and f"{failed.type.__name__} {failed.msg}"
    _interpreters.destroy(made)
else:
    import _xxsubinterpreters
    try:
        told = _xxsubinterpreters.run_string(_xxsubinterpreters.create(isolated=how == "isolated"), code)
    except _xxsubinterpreters.RunFailedError as error:
        told = str(error).replace("<class '", "").replace("'>:", "").replace("ocirun.errors.", "")
if told:
    print(told)
sys.path.insert(0, sys.argv[3])
import ocirun
print(ocirun.run.__name__)
"""


def within(how: str, line: str) -> list[str]:
    """What is said by code in a subinterpreter, of its error, and by the main one after it."""
    code = f"import sys; sys.path.insert(0, {RUNTIME!r}); import ocirun; {line}"
    words = [sys.executable, "-c", WITHIN, how, code, RUNTIME]
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("ocirun.run", "ImportError"),
        ("from ocirun import Prepared", "ImportError"),
        ("ocirun.sandbox('/', ['a'], missing='leave out')", "HostError"),
    ],
)
def test_isolated_subinterpreter(line: str, kind: str) -> None:
    """One with a lock of its own, which came with Python 3.12, is told why; and the main one goes on."""
    said = within("isolated", line)
    assert said.pop() == "run"
    if sys.version_info < (3, 12):
        assert said == []
        return
    (told,) = said
    assert told.startswith(f"{kind} ")
    assert "isolated subinterpreter" in told and (kind != "ImportError" or "main interpreter" in told)


def test_subinterpreter_that_shares_the_lock(bundle: str, root: str) -> None:
    line = f"print(ocirun.run({bundle!r}, root={root!r}, args=['/bin/sh', '-c', 'exit 3']).exit_code, flush=True)"
    said = within("legacy", line)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):  # where there is no lock to share, all are isolated
        assert "isolated subinterpreter" in said[0] and said[1:] == ["run"]
    else:
        assert said == ["3", "run"]


READ_ONLY = r"""
mount --make-rprivate /
for group in $(while read -r _ place kind _; do case $kind in cgroup*) echo "$place" ;; esac; done </proc/mounts); do
    mount -o remount,bind,ro "$group"
done
exec "$@"
"""
WITHOUT = """
config = ocirun.sandbox(sys.argv[1], ["/bin/true"], missing="leave out")
def said(**more):
    try:
        return ocirun.run(root=ROOT, **more).ok
    except ocirun.OcirunError as error:
        return f"{error.call} {error.errno} {error.remedy}"
print(said(config=config))
print(said(config=ocirun.sandbox(sys.argv[1], ["/bin/true"], missing="leave out", cgroup_manager="disabled"), cgroup_manager="disabled"))
print([name for name in os.listdir(ROOT) if name != "seccomp~"])
"""


def test_read_only_cgroups(bundle: str, root: str) -> None:
    """It is refused with what to do; and that does it."""
    with_mounts = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh"]
    refused, *others = output(WITHOUT, bundle, root, os.path.join(bundle, "rootfs"), within=with_mounts)
    assert refused.startswith(("mkdir 30 ", "mkdirat 30 "))
    assert "mount the cgroups read-write" in refused and 'cgroup_manager="disabled"' in refused
    assert others == ["True", "[]"]
