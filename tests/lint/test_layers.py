"""Who may import whom: downward only.

    0  errors jsonio procfile signals version    4  container
       boundary _native                          5  features, the wider API
    1  config host                               6  cli
    2  plan cgroup
    3  launch state resources stats

An import that only type checkers see may also reach a neighbour of the same
layer, but never upward.
"""

from __future__ import annotations

import pytest

from .sources import PACKAGE, imports, module_name, modules, type_imports

LAYERS = {
    "errors": 0, "boundary": 0, "jsonio": 0, "procfile": 0, "roots": 0, "signals": 0, "version": 0, "_native": 0,
    "config": 1, "host": 1,
    "plan": 2, "cgroup": 2,
    "launch": 3, "state": 3, "resources": 3, "stats": 3,
    "handle": 4, "listing": 4, "container": 4,
    "running": 4, "runner": 5, "aio": 5, "orphans": 5, "top": 5, "hostfacts": 5, "audit": 5, "features": 5,
    "preloading": 5, "unpreloaded": 5,
    "cli": 6,
}  # fmt: skip

# Of the same layer, and yet allowed.
NEIGHBOURS = {
    ("launch", "state"),
    ("resources", "state"),
    ("stats", "state"),
    ("roots", "procfile"),
    ("procfile", "errors"),
    ("signals", "errors"),
    ("boundary", "errors"),
    ("container", "running"),
    ("container", "handle"),
    ("container", "listing"),
    ("listing", "handle"),
    ("handle", "running"),
    ("unpreloaded", "preloading"),
}

# The command line uses the API, and these below it.
CLI_MAY_USE = {
    "roots",
    "config.check",
    "plan.render",
    "host.probe",
    "errors",
    "boundary",
    "jsonio",
    "signals",
    "version",
    "container",
}

PURE = ("ocirun.plan", "ocirun.cgroup.translate")
# What a pure module may not reach: files, processes, time, the kernel.
IMPURE = {
    "os",
    "posix",
    "io",
    "time",
    "_native",
    "subprocess",
    "_socket",
    "socket",
    "fcntl",
    "_signal",
    "shutil",
    "pathlib",
}


def part(name: str) -> str:
    """``ocirun.plan.ops`` -> ``plan``."""
    words = name.split(".")
    return words[1] if len(words) > 1 else ""


def allowed(importer: str, imported: str, *, types: bool = False) -> bool:
    """Whether the module `importer` may import `imported`, both names of modules of ocirun.

    types   the import is one that only type checkers see
    """
    own, other = part(importer), part(imported)
    if own in {"", "__main__"}:  # the package itself names the public modules, lazily
        return True
    if other == "":
        return False
    if own == other:
        return True
    if own == "cli":
        below = ".".join(imported.split(".")[1:])
        return LAYERS[other] >= 4 or any(below == name or below.startswith(name + ".") for name in CLI_MAY_USE)
    if own == "plan" and imported.startswith("ocirun.cgroup.translate"):
        return True
    if types and LAYERS[other] == LAYERS[own]:
        return True
    return LAYERS[other] < LAYERS[own] or (own, other) in NEIGHBOURS


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path) -> None:  # type: ignore[no-untyped-def]
    name = module_name(path)
    assert part(name) in {*LAYERS, "", "__main__"}, f"{name} belongs to no layer: add it to LAYERS"
    types = type_imports(path)
    wrong = [
        f"line {line}: {target}"
        for line, target in imports(path)
        if target.partition(".")[0] == "ocirun" and not allowed(name, target, types=(line, target) in types)
    ]
    assert not wrong, f"{name} imports from its own layer or above: {wrong}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pure_modules_reach_nothing(path) -> None:  # type: ignore[no-untyped-def]
    name = module_name(path)
    if not name.startswith(PURE):
        return
    wrong = [f"line {line}: {target}" for line, target in imports(path) if target.rpartition(".")[2] in IMPURE]
    assert not wrong, f"{name} must be pure: {wrong}"


def test_the_rules_refuse() -> None:
    for importer, imported in (
        ("ocirun.config.load", "ocirun.host.facts"),
        ("ocirun.host.facts", "ocirun.config.load"),
        ("ocirun.plan.build", "ocirun.cgroup.v1"),
        ("ocirun.state.store", "ocirun.launch.spawn"),
        ("ocirun.plan.build", "ocirun.container"),
        ("ocirun.cli.run", "ocirun.launch.spawn"),
        ("ocirun.cli.run", "ocirun.config.load"),
        ("ocirun.errors", "ocirun"),
    ):
        assert not allowed(importer, imported), (importer, imported)
