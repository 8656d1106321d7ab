"""The reference of the Python API as pages, made from signatures and docstrings.

The sources are parsed and not imported: the site is made where nothing is compiled.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
from pathlib import Path

import ocirun

PACKAGE = Path(ocirun.__file__).parent

#: Page -> its title, and the names on it.  What is not named here is on the page `more`.
PAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "run": ("Run a program", ("run", "Outcome", "Changes", "Change", "Usage", "Learned", "RefusedCall")),
    "prepared": ("Many runs of one config", ("Prepared", "Pool")),
    "sandbox": ("A safe config", ("sandbox", "save_config")),
    "container": (
        "The life of a container",
        (
            "Container", "CreateOptions", "ExecOptions", "Process", "Snapshot", "delete", "list_states", "list_ids",
            "explain", "cleanup",
        ),
    ),
}  # fmt: skip
#: Pages of modules, which come behind those.
MODULE_TITLES = {"aio": "asyncio", "errors": "Errors", "hostfacts": "Facts of a host"}
#: What no docstring can say of a name that is a value.
VALUES = {
    "SPEC_VERSION": "The version of the OCI runtime specification, a text.",
    "__version__": "The version of this package, a text.",
}

ROW = re.compile(r"^(``?[\w.]+``?|\w[\w.]*(?:, \w[\w.]*)*) {2,}(\S.*)$")


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


class Thing:
    """A function, class or method as the sources have it."""

    def __init__(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, module: str) -> None:
        self.node = node
        self.module = module
        self.doc = inspect.cleandoc(ast.get_docstring(node) or "")
        decorators = [ast.unparse(one) for one in node.decorator_list]
        self.kind = next((kind for kind in ("property", "classmethod", "staticmethod") if kind in decorators), "")

    def summary(self) -> str:
        """Return its first sentence."""
        return re.split(r"(?<=[.:])\s|\n\n", self.doc + "\n\n")[0].strip().rstrip(".:;") + "."


def pages() -> dict[str, str]:
    """Return file name -> text of every page."""
    homes = {name: home for home, names in ocirun._NAMES.items() for name in names}
    placed = {name for _, names in PAGES.values() for name in names}
    on_errors = {name for name, home in homes.items() if home == "ocirun.errors"}
    rest = tuple(sorted(set(homes) - placed - on_errors - set(VALUES)))
    groups = {**PAGES, **({"more": ("Further names", rest)} if rest else {})}
    anchors = {name: f"ocirun.{name}" for name in set(homes) - set(VALUES)}
    made = {}
    for page, (title, names) in groups.items():
        there = [name for name in names if name in homes]
        parts = [entry(homes[name], name, anchors) for name in there]
        made[f"{page}.md"] = f"# {title}\n\n" + "\n".join(parts)
    for name in ocirun._MODULES:
        made[f"{name}.md"] = module_page(name, homes, anchors)
    listed = [name for _, names in groups.values() for name in names]
    rows = [(_code(name, anchors), thing.summary() if (thing := found(homes[name], name)) else "") for name in listed]
    rows += [(f"[`{name}`]({name}.md)", module_summary(name)) for name in ocirun._MODULES]
    made["index.md"] = overview(rows)
    return made


def overview(rows: list[tuple[str, str]]) -> str:
    """Return the page of all names: rows of a name with its link, and its summary."""
    table = "".join(f"| {name} | {text(summary, {})} |\n" for name, summary in rows)
    values = "".join(f"| `{name}` | {about} |\n" for name, about in VALUES.items())
    return (
        "# Python reference\n\nEvery name of the package, as its docstring has it. [The Python API](../../api.md) "
        "tells how they belong together, and what holds for all of them.\n\n"
        f"| `ocirun.` | |\n|---|---|\n{table}{values}"
    )


def module_page(name: str, homes: dict[str, str], anchors: dict[str, str]) -> str:
    """Return the page of a module of the package."""
    full = f"ocirun.{name}"
    tree = parsed(full)
    parts = [f"# {MODULE_TITLES.get(name, name)}\n\n", markdown(ast.get_docstring(tree) or "", {}), "\n"]
    for node in tree.body:
        if isinstance(node, FUNCTION | ast.ClassDef) and node.name[0] != "_":
            # What the package names too is found under that name; helpers of the package itself are not shown.
            if name == "errors" and node.name not in homes:
                continue
            prefix = "ocirun" if node.name in homes and homes[node.name] == full else full
            parts.append(directive(node.name, Thing(node, full), prefix, anchors))
    return "".join(parts)


def module_summary(name: str) -> str:
    """Return the first sentence of a module's docstring."""
    doc = ast.get_docstring(parsed(f"ocirun.{name}")) or ""
    return re.split(r"(?<=[.])\s|:\s|\n", doc)[0].rstrip(".:") + "."


def parsed(module: str) -> ast.Module:
    """Return the syntax tree of a module of the package."""
    place = PACKAGE.joinpath(*module.split(".")[1:])
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def find(module: str, name: str) -> Thing:
    """Return what a module calls by a name, from where it is defined.

    Raises KeyError.
    """
    tree = parsed(module)
    for node in ast.walk(tree):
        if isinstance(node, FUNCTION | ast.ClassDef) and node.name == name:
            return Thing(node, module)
        if isinstance(node, ast.ImportFrom) and any((one.asname or one.name) == name for one in node.names):
            is_package = (PACKAGE.joinpath(*module.split(".")[1:])).is_dir()
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            return find(".".join([*above, *([node.module] if node.module else [])]), name)
    raise KeyError(f"{module}.{name}")


def found(module: str, name: str) -> Thing | None:
    """Return what a module calls by a name; None for a value."""
    try:
        return find(module, name)
    except KeyError:
        return None


def entry(module: str, name: str, anchors: dict[str, str]) -> str:
    """Return a name of the package as a directive of Sphinx; values have no docstring."""
    thing = found(module, name)
    return directive(name, thing, "ocirun", anchors) if thing else f"`````{{py:data}} ocirun.{name}\n`````\n\n"


def members(thing: Thing) -> list[tuple[str, Thing]]:
    """Return the public methods and properties of a class, and of its bases where these have no place of their own."""
    found: dict[str, Thing] = {}
    for node in thing.node.body:
        if isinstance(node, FUNCTION) and node.name[0] != "_":
            found.setdefault(node.name, Thing(node, thing.module))
    public = {name for names in ocirun._NAMES.values() for name in names}
    for base in thing.node.bases if isinstance(thing.node, ast.ClassDef) else []:
        if ast.unparse(base) in public:
            continue
        try:
            above = find(thing.module, ast.unparse(base))
        except KeyError:  # of Python itself
            continue
        for name, member in members(above):
            found.setdefault(name, member)
    return list(found.items())


def directive(name: str, thing: Thing, prefix: str, anchors: dict[str, str]) -> str:
    """Return a name of the API as a directive of Sphinx, the members of a class within."""
    if not isinstance(thing.node, ast.ClassDef):
        return described("function", f"{prefix}.{name}{signature(thing.node)}", flags(thing) + "\n", thing.doc, anchors)
    shown, doc = construction(thing)
    bases = [ast.unparse(base) for base in thing.node.bases if ast.unparse(base).endswith(("Error", "Exception"))]
    code = class_code(thing.node)
    inner = text(f"A kind of `{bases[0]}`. ", anchors) if bases else ""
    inner += f"Its code is [`{code}`](../../errors/{code}.md).\n" if code else ""
    for member, one in members(thing):
        kind = "property" if one.kind == "property" else "method"
        words = "" if kind == "property" else signature(one.node, method=True)
        inner += "\n" + described(kind, f"{member}{words}", flags(one) + "\n", one.doc, anchors, ticks=4)
    return described("class", f"{prefix}.{name}{shown}", "\n", doc, anchors, inner)


def described(
    kind: str, head: str, options: str, doc: str, anchors: dict[str, str], inner: str = "", *, ticks: int = 5
) -> str:
    """Return a directive of the Python domain; `inner` follows the docstring."""
    fence = "`" * ticks
    return f"{fence}{{py:{kind}}} {head}\n{options}{markdown(doc, anchors)}\n{inner}{fence}\n\n"


def construction(thing: Thing) -> tuple[str, str]:
    """Return how a class is called and its whole docstring; "" for one that only ocirun makes."""
    body = thing.node.body
    init = next((one for one in body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    if init is None:
        return "", thing.doc
    own = inspect.cleandoc(ast.get_docstring(init) or "")
    names = [one.arg for one in (*init.args.args[1:], *init.args.kwonlyargs)]
    told = all(re.search(rf"^(?:.*, )?{re.escape(one)}\b.*  ", thing.doc, re.MULTILINE) for one in names)
    return signature(init, method=True) if own or told else "", f"{thing.doc}\n\n{own}".rstrip()


def class_code(node: ast.ClassDef) -> str:
    """Return the ``code`` of a class of errors, "" for others."""
    for one in node.body:
        if isinstance(one, ast.Assign | ast.AnnAssign):
            target = one.target if isinstance(one, ast.AnnAssign) else one.targets[0]
            if ast.unparse(target) == "code" and isinstance(one.value, ast.Constant):
                return str(one.value.value)
    return ""


def signature(node: ast.AST, *, method: bool = False) -> str:
    """Return parameters and result of a function as the source has them, in one line; "" for anything else."""
    if not isinstance(node, FUNCTION):
        return ""
    words = copy.deepcopy(node.args)
    if method and not any(ast.unparse(one) == "staticmethod" for one in node.decorator_list):
        (words.posonlyargs or words.args).pop(0)
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    return f"({ast.unparse(words)}){result}"


def flags(thing: Thing) -> str:
    """Return the options of a directive."""
    node = thing.node
    lines = [":async:"] if isinstance(node, ast.AsyncFunctionDef) else []
    if thing.kind in ("classmethod", "staticmethod"):
        lines.append(f":{thing.kind}:")
    if thing.kind == "property" and isinstance(node, ast.FunctionDef) and node.returns:
        lines.append(f":type: {ast.unparse(node.returns)}")
    return "".join(f"{line}\n" for line in lines)


def markdown(doc: str, anchors: dict[str, str]) -> str:
    """Return a docstring as Markdown: paragraphs, rows of names and their meaning, blocks of code."""
    out: list[str] = []
    lines = inspect.cleandoc(doc).splitlines()
    index, paragraph = 0, False
    while index < len(lines):
        line = lines[index]
        index += 1
        was, paragraph = paragraph, False
        if line.startswith("    "):
            block = [line]
            while index < len(lines) and (lines[index].startswith("    ") or not lines[index].strip()):
                block.append(lines[index])
                index += 1
            body = inspect.cleandoc("\n".join(["", *block])).rstrip()
            language = "python" if re.search(r"^(import|from|with|await|\w+ = |print)", body, re.MULTILINE) else "text"
            out.append(f"\n```{language}\n{body}\n```\n")
        elif row := ROW.match(line):
            more = [row[2]]
            while index < len(lines) and lines[index].startswith("  ") and lines[index].strip():
                more.append(lines[index].strip())
                index += 1
            term = ", ".join(f"`{name.strip('`')}`" for name in row[1].split(", "))
            out.append(f"\n{term}\n: {text(' '.join(more), anchors)}\n")
        else:
            # Behind rows or a block a line of text begins a paragraph; "Raises" does so always.
            new = not was or line.startswith("Raises ")
            out.append(("\n" if new else "") + text(line, anchors))
            paragraph = bool(line)
    return "\n".join(out) + "\n"


def text(line: str, anchors: dict[str, str]) -> str:
    """Return a line of a docstring as Markdown, with links to what has a place."""
    parts = re.split(r"(``[^`]*``|`[^`]*`)", line)
    return "".join(_code(part, anchors) if part.startswith("`") else _plain(part, anchors) for part in parts)


def _code(part: str, anchors: dict[str, str]) -> str:
    word = part.strip("`")
    target = anchors.get(word.removeprefix("ocirun."))
    return f"{{py:obj}}`{word} <{target}>`" if target else f"`{word}`"


def _plain(part: str, anchors: dict[str, str]) -> str:
    part = re.sub(r"([\\*_<>\[\]{}#|])", r"\\\1", part)
    return re.sub(
        r"\b[A-Z]\w+Error\b", lambda match: _code(match[0], anchors) if match[0] in anchors else match[0], part
    )
