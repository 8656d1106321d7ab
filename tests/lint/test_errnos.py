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
# (file, function) -> reason
EXCEPTIONS = {
    ("audit/bundle.py", "_on_this_host"): WORDS,
    ("cgroup/freezer.py", "freeze"): UNDO,
    ("cgroup/grouped.py", "Grouped._give_back"): UNDO,
    ("cgroup/grouped.py", "Grouped.discard"): UNDO,
    ("cgroup/systemd.py", "SystemdDriver.discard"): UNDO,
    ("cgroup/tree.py", "_let_go"): "close(2) lets go of the descriptor whatever it answers",
    ("cgroup/v2_steps.py", "_let_go"): UNDO,
    ("cli/check.py", "_terminal"): "without colours then",
    ("cli/log.py", "_one_line"): WORDS,
    ("cli/log.py", "_stderr"): LAST,
    ("cli/log.py", "_terminal"): "the form for programs then",
    ("cli/main.py", "_failed"): WORDS,
    ("cli/main.py", "_last_words"): LAST,
    ("cli/main.py", "_show_usage"): WORDS,
    ("cli/main.py", "main"): "the way of every error to its report",
    ("cli/ps.py", "_spawn"): "the next directory is tried, and the last error is told",
    ("container.py", "Container._keep_usage"): "figures that cannot be kept are no reason to keep the container",
    ("orphans.py", "cleanup"): "the others are to go, and this one is told",
    ("features.py", "_libseccomp"): "dlopen(3) gives no errno",
    ("listing.py", "states"): WORDS,
    (
        "running/pool.py",
        "_Shelf._work",
    ): "whoever finds no container ready makes one, and meets the error there is then",
    ("state/glance.py", "look"): "without them the way of `state` is taken",
    ("state/glance.py", "read"): "nothing read is nothing known: the way of `state` is taken then",
    ("launch/create.py", "stopped"): "poststop hooks: the others are to run, and the first failure is told",
    ("launch/criu.py", "log_tail"): WORDS,
    ("launch/filter_cache.py", "_open_cache"): "without the cache the filter is compiled",
    ("launch/filter_cache.py", "_read"): "without the entry the filter is compiled",
    ("launch/filter_cache.py", "_write"): "without the entry the next filter is compiled",
    ("launch/foreground.py", "_leave"): "becomes a warning: the exit status is the program's",
    ("launch/foreground.py", "leave"): "becomes a warning: the exit status is the program's",
    ("launch/hooks.py", "_end"): UNDO,
    ("launch/late_hooks.py", "warnings"): "becomes a warning",
    ("launch/notify.py", "send"): LAST,
    ("launch/rdt.py", "_last_words"): WORDS,
    ("launch/trace.py", "Trace.end"): "a trace without the helper's stamps then",
    ("launch/session.py", "Session._kill_helper"): UNDO,
    ("launch/session.py", "Session._out_of_memory"): WORDS,
    ("launch/session.py", "_try"): UNDO,
    ("launch/signals.py", "Forwarder.__init__"): "some signals cannot be caught",
    ("launch/signals.py", "Forwarder.forward"): "the program's end is told by its descriptor",
    ("launch/spawn.py", "Helper.adopt_late"): UNDO,
    ("launch/spawn.py", "end"): "whether it has ended is asked of waitid(2)",
    ("launch/terminal.py", "Relay._flush"): "the other side is closed; the program's end is told by its descriptor",
    ("launch/terminal.py", "Relay._read_input"): "the end of the input",
    ("launch/terminal.py", "Relay._read_master"): "the end of the output, which the program's end tells as well",
    ("launch/terminal.py", "Relay.resize"): "a size only",
    ("launch/terminal.py", "_is_tty"): "then it is left as it is",
    ("launch/terminal.py", "_set"): "is not waited for already",
    ("preloading.py", "_sweep"): "what is in the way says so when the file is made",
    ("resources.py", "_take_back"): UNDO,
    ("top.py", "Sampler._row"): WORDS,
    ("unpreloaded.py", "_stand_back"): "not every kernel has it, and it is idle without it",
    ("unpreloaded.py", "make_idly"): "is written down, for `--version` and the next attempt",
    ("unpreloaded.py", "told"): WORDS,
    ("version.py", "commit"): WORDS,
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
