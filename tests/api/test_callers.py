"""Callers that are hard on a library: torn out of a call at any moment, short of descriptors, patched, forked.

Whatever they do, an outcome is right or an error says what is wrong, and nothing is left.
"""

from __future__ import annotations

import os

import pytest

from .caller import output
from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .conftest import Make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# Runs that are interrupted; a larger number in the environment makes it a search.
RUNS = int(os.environ.get("OCIRUN_INTERRUPTS", "150"))

PATCHED = """
import gevent
def close(fd, plain=os.close):
    gevent.sleep(0)  # whoever waits for his turn has it now
    plain(fd)
os.close = close
"""

GREENLETS = """
def one(number):
    args, name = ["/bin/sh", "-c", f"cat; echo err >&2; exit {number}"], f"{NAME}{number}"
    if number % 2:
        outcome = ocirun.run(BUNDLE, root=ROOT, args=args, stdin=b"in", container_id=name)
    else:
        outcome = prepared.run(args=args, stdin=b"in", container_id=name)
    return (outcome.exit_code, outcome.stdout, outcome.stderr) == (number, b"in", b"err\\n")

def late(number):
    outcome = prepared.run(args=["/bin/sleep", "60"], timeout=0.3, container_id=f"{NAME}late{number}")
    ends.append((outcome.limit, outcome.signal, outcome.seconds < 30))

prepared, ends = ocirun.Prepared(BUNDLE, root=ROOT), []
assert one(1) and one(2)
begin()
jobs = [gevent.spawn(one, number) for number in range(12)]
gevent.joinall(jobs)
threads = [threading.Thread(target=late, args=(number,)) for number in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print([job.value for job in jobs] == [True] * 12, ends == [("time", 9, True)] * 2, left())
"""


def test_greenlets(bundle: str, root: str) -> None:
    """With everything patched, os.close too, a run is what it is without."""
    pytest.importorskip("gevent")
    before = "from gevent import monkey\nmonkey.patch_all()\n"
    assert output(PATCHED + GREENLETS, bundle, root, before=before) == ["True True []"]


FEW = """
import errno, resource
limit, wrong, good, refused = int(sys.argv[1]), [], [], []
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/echo", "x"])
together = threading.Barrier(64)

def one(turn, name):
    if turn % 2:
        return prepared.run(container_id=name)
    return ocirun.run(BUNDLE, args=["/bin/echo", "x"], root=ROOT, container_id=name)

def work(number):
    together.wait()
    for turn in range(6):
        try:
            outcome = one(turn, f"{NAME}{number}-{turn}")
            (good if outcome.ok and outcome.stdout == b"x\\n" else wrong).append(repr(outcome))
        except ocirun.OcirunError as error:
            (refused if "ulimit -n" in error.remedy else wrong).append(f"{error!r} {error.remedy}")
        except BaseException as error:
            wrong.append(repr(error))

begin()
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(good) + len(refused), bool(refused) or limit == 1024, wrong[:5], left())
print(one(1, NAME + "last").ok)
"""


@pytest.mark.parametrize("limit", [256, 1024])
def test_many_threads_with_few_descriptors(bundle: str, root: str, limit: int) -> None:
    """Who does not get enough is told so, and has taken nothing."""
    assert output(FEW, bundle, root, str(limit)) == ["384 True [] []", "True"]


TORN = """
how, count = sys.argv[1], int(sys.argv[2])
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/true"])
ignored = []
sys.unraisablehook = lambda unraisable: ignored.append(repr(unraisable.exc_value))

class Alarm(Exception):
    pass

def handler(*_):
    raise Alarm

def one(name):
    if how == "run":
        return ocirun.run(BUNDLE, root=ROOT, args=["/bin/true"], container_id=name)
    if how == "prepared":
        return prepared.run(container_id=name)
    return prepared.run(args=["/bin/sh", "-c", "exit 0"], container_id=name)

start = time.monotonic()
for number in range(10):
    assert one(f"{NAME}{number:08d}").ok
each = (time.monotonic() - start) / 10
torn, lost = 0, []
begin()
signal.signal(signal.SIGALRM, handler)
for number in range(count):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, each))
            assert one(f"{NAME}{number + 10:08d}").ok
        except Alarm:
            torn += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        pass
    if number % 10 == 0:
        lost += left()
print(torn > count / 4, lost + left(), ignored)
"""


@pytest.mark.parametrize("how", ["run", "prepared", "changed"])
def test_exceptions_of_a_signal_handler(bundle: str, root: str, how: str) -> None:
    """At random times, and so between any two steps of the interpreter."""
    assert output(TORN, bundle, root, how, str(RUNS)) == ["True [] []"]


EARLY = """
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/sleep", "600"])

class Alarm(Exception):
    pass

def handler(*_):
    raise Alarm

signal.signal(signal.SIGALRM, handler)
late = []
for number in range(int(sys.argv[1])):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 0.01))
        late.append(prepared.run(timeout=60))
    except Alarm:
        pass
print(late, [name for name in os.listdir(ROOT)])
"""


def test_a_signal_before_the_wait(bundle: str, root: str) -> None:
    """Its handler runs soon, although the wait for the program, which it should have interrupted, began after it."""
    assert output(EARLY, bundle, root, str(RUNS)) == ["[] []"]


TORN_POOL = """
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/true"])
assert prepared.run().ok
ignored, torn = [], 0
sys.unraisablehook = lambda unraisable: ignored.append(repr(unraisable.exc_value))

class Alarm(Exception):
    pass

def handler(*_):
    raise Alarm

def filled():
    end = time.monotonic() + 20
    while pool.ready < 4 and time.monotonic() < end:
        time.sleep(0.005)
    return pool.ready

begin()
pool = ocirun.Pool(prepared, size=4)
assert filled() == 4
start = time.monotonic()
assert all(pool.run().ok for _ in range(10))
each = (time.monotonic() - start) / 10
signal.signal(signal.SIGALRM, handler)
for number in range(int(sys.argv[1])):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, each))
            assert pool.run(["/bin/echo", str(number)]).stdout == f"{number}\\n".encode()
        except Alarm:
            torn += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Alarm:
        pass
assert pool.run().ok
print(torn > 10, filled(), pool.problem)
pool.close()
print(left(), ignored)
"""


def test_exceptions_of_a_signal_handler_beside_a_pool(bundle: str, root: str) -> None:
    """What was torn out of a run is removed, and the pool is filled again."""
    assert output(TORN_POOL, bundle, root, str(RUNS)) == ["True 4 None", "[] []"]


CANCELLED = """
count = int(sys.argv[1])
prepared = ocirun.Prepared(BUNDLE, root=ROOT, args=["/bin/true"])

async def one(number):
    name = f"{NAME}{number:08d}"
    if number % 2:
        task = asyncio.create_task(aio.run(prepared, container_id=name))
    else:
        task = asyncio.create_task(aio.run(BUNDLE, root=ROOT, args=["/bin/true"], container_id=name))
    await asyncio.sleep(random.uniform(0, 0.02))
    task.cancel()
    try:
        return (await task).ok
    except asyncio.CancelledError:
        return None

async def main():
    return [await one(number) for number in range(count)]

assert asyncio.run(aio.run(prepared)).ok
begin()
results = asyncio.run(main())
print(results.count(None) > count / 4, results.count(False), left())
"""


def test_cancelled_tasks(bundle: str, root: str) -> None:
    assert output(CANCELLED, bundle, root, str(RUNS)) == ["True 0 []"]


FORKED = """
from ocirun.execute import host_side
from ocirun.runs.program_run import ProgramRun
from ocirun.runs.terms import Terms
import select

prepared = ocirun.Prepared(BUNDLE, root=ROOT)
assert prepared.run(args=["/bin/true"]).ok
begin()
course = ProgramRun(ROOT, Terms(stdin=b"x" * 100))
course.begin(prepared.factory(NAME + "1", args=["/bin/cat", "/dev/stdin"]), polled=True)
lazy = ProgramRun(ROOT, Terms())
lazy.begin(prepared.factory(NAME + "2", args=["/bin/sleep", "0.5"]), polled=True)
for how in ("forget", "close"):
    child = os.fork()
    if child == 0:
        if how == "close":
            course.close()
            lazy.close()
        del course, lazy
        gc.collect()
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
for one, wanted in ((course, b"x" * 100), (lazy, b"")):
    while (turn := one.go_on()) == host_side.WAIT:
        select.select([one], [], [])
    one.go_on()
    outcome = one.outcome()
    print(outcome.ok, outcome.stdout == wanted)
    one.close()
print(left())
"""


def test_copies_in_a_forked_process(bundle: str, root: str) -> None:
    """One that ends as usual forgets what it has copies of, or closes it: its parent's runs go on."""
    assert output(FORKED, bundle, root) == ["True True", "True True", "[]"]


@pytest.mark.parametrize("init", [True, False])
def test_orphans(make: Make, init: bool) -> None:
    """Whoever is left behind in a container with an init is reaped; without one the program has to do it."""
    leave = "i=0; while [ $i -lt 5 ]; do (sleep 0.0$i &); i=$((i+1)); done"
    container = make(*shell(f"{leave}; exec sleep 600"), init=init)
    container.start()
    codes = [container.run(shell(f"(sleep 0.0{number} &); exit {number}")).exit_code for number in range(5)]
    assert codes == list(range(5))
    zombies = """
        for i in 1 2 3 4 5 6 7 8 9 10; do
            found=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c ") Z ")
            [ "$found" = 0 ] && break
            sleep 0.1
        done
        echo $found"""
    left = int(container.run(shell(zombies)).stdout)
    assert (left == 0) == init, left
    assert container.status() == "running"
