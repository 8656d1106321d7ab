"""Calls of the standard library that have an unsafe meaning in a runtime.

The package runs as root among paths that others control, in processes with
threads, and under ``python -O``.  Each exception below has its reason; one
that is no longer used fails the test as well.
"""

from __future__ import annotations

import ast

import pytest

from .sources import PACKAGE, modules, tree

MODULES = {
    "shutil": "follows links, unbounded",
    "pathlib": "joins an absolute path over the root",
    "tempfile": "names without a directory descriptor",
    "glob": "follows links",
    "pickle": "runs what it reads",
    "shelve": "runs what it reads",
    "marshal": "crashes on what it reads",
    "subprocess": "forks a copy of the caller",
    "multiprocessing": "forks a copy of the caller",
}

CALLS = {
    "eval": "runs what it reads",
    "exec": "runs what it reads",
    "os.system": "a shell",
    "os.popen": "a shell",
    "os.fork": "copies locks of a threaded caller",
    "os.forkpty": "copies locks of a threaded caller",
    "os.walk": "follows what is swapped under it",
    "os.makedirs": "follows links in every component",
    "os.removedirs": "climbs upward",
    "os.path.realpath": "right only until the path changes",
    "os.path.exists": "right only until the path changes",
    "os.path.lexists": "right only until the path changes",
    "os.path.isdir": "right only until the path changes",
    "os.path.isfile": "right only until the path changes",
    "os.path.islink": "right only until the path changes",
    "os.path.ismount": "right only until the path changes",
    "os.access": "hides the errno",
    "os.path.expanduser": "reads HOME and the user database",
    "os.path.expandvars": "reads the environment",
    "os.chdir": "changes the whole process",
    "os.fchdir": "changes the whole process",
    "os.chroot": "changes the whole process",
    "os.umask": "changes the whole process",
    "os.setuid": "changes the whole process",
    "os.setgid": "changes the whole process",
    "os.setgroups": "changes the whole process",
    "os.putenv": "changes the whole process",
    "os.unshare": "changes one thread for good",
    "os.setns": "changes one thread for good",
    "signal.signal": "changes the whole process",
}

# Names are looked up in a directory that is held open.
NEED_DIR_FD = {
    "os.chmod": "dir_fd", "os.chown": "dir_fd", "os.mkdir": "dir_fd", "os.mknod": "dir_fd", "os.mkfifo": "dir_fd",
    "os.remove": "dir_fd", "os.unlink": "dir_fd", "os.rmdir": "dir_fd", "os.symlink": "dir_fd", "os.utime": "dir_fd",
    "os.link": "dst_dir_fd", "os.rename": "dst_dir_fd", "os.replace": "dst_dir_fd",
}  # fmt: skip

# (file, what) -> reason
EXCEPTIONS = {
    ("sandboxes/saved.py", "os.mkdir"): "the caller names it, and nothing is done with the caller's rights but that",
    ("cli/commands/spec.py", "os.path.exists"): "a fact about the kernel, in its own file system",
    (
        "_base/newfile.py",
        "os.unlink",
    ): "takes back the file that was just made with O_EXCL, in a directory the caller chose",
    ("cli/commands/bundle.py", "os.path.exists"): "a fact about the kernel, in its own file system",
    ("cli/commands/bundle.py", "signal.signal"): "the command owns its process, and puts the handlers back",
    ("cli/top/screen.py", "signal.signal"): "the command owns its process, and puts the handlers back",
    ("cli/manual.py", "open"): "makes the man pages of the project; no command of the runtime comes here",
    ("config/load.py", "os.path.isdir"): "words an error that has happened already",
    ("host/cgroups.py", "os.access"): "a no makes the cgroup nowhere, which a limit does not pass",
    ("host/unified.py", "os.access"): "a no switches nothing on, which a limit does not pass",
    ("host/users.py", "os.access"): "a no leaves one map without its program, which the plan refuses",
    ("doctor/rest.py", "os.access"): "is told as an answer, and nothing is decided by it",
    ("host/facts.py", "os.path.realpath"): "decides which of two ways is taken; the kernel decides what is allowed",
    ("execute/mounts/hostmounts.py", "os.path.realpath"): "compared with the mount table; never opened",
    (
        "execute/host_operations.py",
        "os.unlink",
    ): "takes back the file that was just made with O_EXCL, at a path the caller chose",
    ("execute/streams/notify.py", "os.chmod"): "through a descriptor held open, by its name in /proc/self/fd",
    ("execute/rdt.py", "os.mkdir"): "in resctrl, which has no links",
    ("execute/rdt.py", "os.rmdir"): "in resctrl, which has no links",
    ("preload/missing.py", "os.access"): "a no makes nothing, and is told",
    ("preload/missing.py", "os.chdir"): "the command's own process, after its work",
    ("preload/missing.py", "os.umask"): "a process of its own, which does nothing else",
    ("state/store.py", "os.mkdir"): "the state root, below directories that only the caller can write to",
    ("state/store.py", "os.chmod"): "the directory made one line before, in the same place",
}


def name_of(node: ast.expr) -> str:
    """``os.path.exists`` for the expression of that name, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = name_of(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def hits(module: ast.Module) -> list[tuple[int, str, str]]:
    """Line, banned thing and reason, of everything banned in a module."""
    found = []
    for node in ast.walk(module):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Assert):
            found.append((line, "assert", "left out by python -O"))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [
                (line, name, MODULES[name]) for name in names if name in MODULES and not getattr(node, "level", 0)
            ]
        elif isinstance(node, ast.Call):
            name = name_of(node.func)
            words = {keyword.arg for keyword in node.keywords}
            if name in CALLS:
                found.append((line, name, CALLS[name]))
            elif name in NEED_DIR_FD and NEED_DIR_FD[name] not in words and not _on_descriptor(node):
                found.append((line, name, f"without {NEED_DIR_FD[name]}"))
            elif name == "open" and _writes(node):
                found.append((line, "open", "creates and truncates through links"))
    return found


def _on_descriptor(node: ast.Call) -> bool:
    # os.chmod(fd, mode): by the naming rule of the project
    return bool(node.args) and isinstance(node.args[0], ast.Name) and node.args[0].id.endswith("fd")


def _writes(node: ast.Call) -> bool:
    mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
    return mode is not None and not (isinstance(mode, ast.Constant) and mode.value in ("r", "rb"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_banned(path) -> None:  # type: ignore[no-untyped-def]
    name = str(path.relative_to(PACKAGE))
    wrong = [
        f"{name}:{line}: {what} ({reason})" for line, what, reason in hits(tree(path)) if (name, what) not in EXCEPTIONS
    ]
    assert not wrong


def test_every_exception_is_used() -> None:
    used = {(str(path.relative_to(PACKAGE)), what) for path in modules() for _, what, _ in hits(tree(path))}
    assert set(EXCEPTIONS) <= used


def test_the_rules_refuse() -> None:
    text = """
import shutil
def f(p, fd):
    assert p
    open(p, "w"); open(p); open(p, "rb")
    os.mkdir(p); os.mkdir(p, dir_fd=fd); os.chmod(fd, 0o600); os.rename(p, p, src_dir_fd=fd)
    os.path.exists(p)
    from pathlib import Path
"""
    assert [what for _, what, _ in sorted(hits(ast.parse(text)))] == [
        "shutil", "assert", "open", "os.mkdir", "os.rename", "os.path.exists", "pathlib",
    ]  # fmt: skip
