"""An errno is looked at before it becomes a fact.

``except OSError`` that goes on as if it knew something takes "out of memory" for "is gone", and what is taken for
gone is killed or forgotten.  A handler has to look at the errno, raise, or hand the error on; `procfile` has what
most need.  Those that need not are below, each with its reason; one that is no longer there fails the test as well.
"""

from __future__ import annotations

import ast

import pytest

from .sources import PACKAGE, modules, tree

WIDE = {"OSError", "IOError", "EnvironmentError", "HostError", "OcirunError", "Exception", "BaseException"}

UNDO = "takes something back after a failure: the other steps are to run, and the failure is told"
LAST = "there is nobody to tell, and nothing depends on it"
WORDS = "only the words of an error, or a line of a report, depend on it"
ANSWER = "becomes an answer of the doctor, with its errno"
# (file, function) -> reason
EXCEPTIONS = {
    ("_base/installation.py", "is_replaced"): WORDS,
    ("_base/searching.py", "closed"): WORDS,
    ("execute/remedies.py", "_is_bare"): WORDS,
    ("audit/host.py", "_of_plan"): WORDS,
    ("cgroup/files/freezer.py", "freeze"): UNDO,
    ("cgroup/drivers/cgroupfs.py", "Cgroupfs._give_back"): UNDO,
    ("cgroup/drivers/cgroupfs.py", "Cgroupfs.discard"): UNDO,
    ("cgroup/drivers/systemd.py", "SystemdDriver.discard"): UNDO,
    ("cgroup/files/tree.py", "_let_go"): "close(2) lets go of the descriptor whatever it answers",
    ("cgroup/files/v2_files.py", "_let_go"): UNDO,
    ("cli/commands/check.py", "_terminal"): "without colours then",
    ("cli/log.py", "_one_line"): WORDS,
    ("cli/log.py", "_stderr"): LAST,
    ("cli/log.py", "_terminal"): "the form for programs then",
    ("cli/main.py", "_failed"): WORDS,
    ("cli/main.py", "_last_words"): LAST,
    ("cli/main.py", "_show_usage"): WORDS,
    ("cli/main.py", "main"): "the way of every error to its report",
    ("cli/matching.py", "each"): "the others have their turn, and the failure is told",
    ("cli/commands/ps.py", "_spawn"): "the next directory is tried, and the last error is told",
    ("container.py", "Container._keep_usage"): "figures that cannot be kept are no reason to keep the container",
    ("containers.py", "cleanup"): "the others are to go, and this one is told",
    ("features.py", "_libseccomp"): "dlopen(3) gives no errno",
    ("state/listing.py", "states"): WORDS,
    ("runs/process.py", "Process._end_for"): "the thread has nobody to tell: whoever waits is told",
    (
        "runs/pool.py",
        "_Shelf._work",
    ): "whoever finds no container ready makes one, and meets the error there is then",
    ("state/glance.py", "look"): "without them the way of `state` is taken",
    ("state/glance.py", "read_name"): "nothing read is nothing known: the way of `state` is taken then",
    ("commands/create.py", "stopped"): "poststop hooks: the others are to run, and the first failure is told",
    ("doctor/cgroups.py", "cgroups"): ANSWER,
    ("doctor/mounts.py", "mounts"): ANSWER,
    ("doctor/namespaces.py", "_start"): ANSWER,
    ("doctor/rest.py", "seccomp"): ANSWER,
    ("execute/criu/service.py", "log_tail"): WORDS,
    ("execute/seccomp/filter_cache.py", "_open_cache"): "without the cache the filter is compiled",
    ("execute/seccomp/filter_cache.py", "_read"): "without the entry the filter is compiled",
    ("execute/seccomp/filter_cache.py", "_write"): "without the entry the next filter is compiled",
    ("commands/run.py", "_leave"): "becomes a warning: the exit status is the program's",
    ("commands/run.py", "leave"): "becomes a warning: the exit status is the program's",
    ("execute/hooks/hooks.py", "_end"): UNDO,
    ("execute/hooks/late_hooks.py", "warnings"): "becomes a warning",
    ("execute/streams/notify.py", "send"): LAST,
    ("execute/rdt.py", "_last_words"): WORDS,
    ("execute/trace.py", "Trace.end"): "a trace without the helper's stamps then",
    ("execute/session.py", "Session._kill_helper"): UNDO,
    ("execute/session.py", "Session._out_of_memory"): WORDS,
    ("execute/session.py", "_try"): UNDO,
    ("execute/streams/interrupts.py", "_of_a_person"): "no terminal that answers is nobody's",
    ("execute/streams/interrupts.py", "_interrupts"): "no terminal that answers is nobody's",
    ("execute/streams/interrupts.py", "_tell"): LAST,
    ("execute/streams/forwarder.py", "Forwarder.forward"): "the program's end is told by its descriptor",
    ("execute/spawn.py", "Helper.adopt_late"): UNDO,
    ("execute/spawn.py", "end"): "whether it has ended is asked of waitid(2)",
    (
        "execute/streams/terminal.py",
        "Relay._flush",
    ): "the other side is closed; the program's end is told by its descriptor",
    ("execute/streams/terminal.py", "Relay._read_input"): "the end of the input",
    (
        "execute/streams/terminal.py",
        "Relay._read_master",
    ): "the end of the output, which the program's end tells as well",
    ("execute/streams/terminal.py", "Relay.resize"): "a size only",
    ("execute/streams/terminal.py", "_is_tty"): "then it is left as it is",
    ("execute/streams/terminal.py", "_set"): "is not waited for already",
    ("preload/interpreter.py", "_sweep"): "what is in the way says so when the file is made",
    ("commands/mounts.py", "Change._take_back"): UNDO,
    ("commands/update.py", "_take_back"): UNDO,
    ("cli/top/sampler.py", "Sampler._row"): WORDS,
    ("preload/missing.py", "_stand_back"): "not every kernel has it, and it is idle without it",
    ("preload/missing.py", "make_idly"): "is written down, for `--version` and the next attempt",
    ("preload/missing.py", "told"): WORDS,
    ("capsule.py", "_config"): WORDS,
    ("capsule.py", "_facts"): WORDS,
    ("cli/options.py", "with_capsule"): "becomes a warning: the error is that of the creation",
    ("_base/version.py", "commit"): WORDS,
}


def wide(handler: ast.ExceptHandler) -> bool:
    """The handler takes errors of any errno."""
    if handler.type is None:
        return True
    return any(isinstance(node, ast.Name) and node.id in WIDE for node in ast.walk(handler.type))


def looks(handler: ast.ExceptHandler) -> bool:
    """It raises, looks at the errno, or hands the error to a function that does."""
    for statement in handler.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Raise) or (isinstance(node, ast.Attribute) and node.attr == "errno"):
                return True
            if isinstance(node, ast.Call) and _name(node.func) in ("unanswered", "from_os"):
                return True
    return False


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def careless(node: ast.AST, inside: str = "") -> list[tuple[int, str]]:
    """(line, function) of every handler that does not look."""
    found = []
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{inside}.{child.name}" if inside else child.name
        if isinstance(child, ast.ExceptHandler) and wide(child) and not looks(child):
            found.append((child.lineno, name))
        found += careless(child, name)
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_errno_is_looked_at(path) -> None:  # type: ignore[no-untyped-def]
    name = str(path.relative_to(PACKAGE))
    assert [f"{name}:{line}: {where}" for line, where in careless(tree(path)) if (name, where) not in EXCEPTIONS] == []


def test_every_exception_is_used() -> None:
    used = {(str(path.relative_to(PACKAGE)), where) for path in modules() for _, where in careless(tree(path))}
    assert set(EXCEPTIONS) - used == set()


def test_the_rule_refuses() -> None:
    text = """
def good():
    try: pass
    except OSError as error:
        if error.errno != 2: raise
    except FileNotFoundError: pass
class C:
    def bad(self):
        try: pass
        except (ValueError, OSError): return False
"""
    assert careless(ast.parse(text)) == [(10, "C.bad")]
