"""Who may import whom: downward only, by the list of layers in docs/design.md."""

from __future__ import annotations

import re

import pytest

from .sources import PACKAGE, ROOT, imports, module_name, modules, type_imports

LAYERS = {
    name: int(layer)
    for layer, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", (ROOT / "docs" / "design.md").read_text(), re.MULTILINE)
    for name in re.findall(r"`(\w+)`", names)
}

# The command line uses the API, and these below it.
API = LAYERS["container"]
CLI_MAY_USE = ("_base", "config.check", "errors", "plan.render")

PURE = ("ocirun.plan", "ocirun.cgroup.settings.translate")
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
    if own == "cli" and LAYERS[other] < API:
        below = imported.removeprefix("ocirun.")
        return any(below == name or below.startswith(name + ".") for name in CLI_MAY_USE)
    if (own, other) == ("plan", "cgroup") and not types:
        return imported.startswith("ocirun.cgroup.settings")
    return LAYERS[other] < LAYERS[own]


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


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules of which each reaches every other one of its group."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found: set[str] = set()
        pending = [start]
        while pending:
            new = graph[pending.pop()] - found
            found |= new
            pending += new
        reached[start] = found
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in graph}
    return [set(group) for group in groups if group]


def graph(*, types: bool) -> dict[str, set[str]]:
    """Module -> those that it imports, also inside functions.

    types   with the imports that only type checkers see
    """
    names = {module_name(path): path for path in modules()}
    return {
        name: {
            target
            for line, target in imports(path)
            if target in names
            and target not in ("ocirun", name)
            and (types or (line, target) not in type_imports(path))
        }
        for name, path in names.items()
    }


def test_no_circles() -> None:
    """Lazy imports count.  Two modules that only name each other's types may stay."""
    assert not circles(graph(types=False))
    assert not [circle for circle in circles(graph(types=True)) if len(circle) > 2]


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


def test_the_rules_refuse() -> None:
    for importer, imported in (
        ("ocirun.config.load", "ocirun.host.facts"),
        ("ocirun.host.facts", "ocirun.config.load"),
        ("ocirun.plan.build", "ocirun.cgroup.drivers.v1"),
        ("ocirun.state.store", "ocirun.execute.spawn"),
        ("ocirun.plan.build", "ocirun.container"),
        ("ocirun.cli.commands.run", "ocirun.execute.spawn"),
        ("ocirun.cli.commands.run", "ocirun.config.load"),
        ("ocirun.errors", "ocirun"),
    ):
        assert not allowed(importer, imported), (importer, imported)
