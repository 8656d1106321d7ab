"""No file is too long to be read in one sitting."""

from __future__ import annotations

from .sources import ROOT, files

LIMIT = 500
LINE = 120
GENERATED = {"runtime/ocirun/config/_tables.py", "runtime/ocirun/config/_types.py"}


def test_length_of_files() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in files(".py", ".pyi", ".c", ".h", ".sh")
    }
    long = {name: size for name, size in sizes.items() if size > LIMIT and name not in GENERATED}
    assert not long


def test_length_of_lines_in_c() -> None:
    # Tabs count as four; ruff looks after Python.
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files(".c", ".h")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if len(line.expandtabs(4)) > LINE
    ]
    assert not long


def test_text_files_are_tidy() -> None:
    wrong = []
    for path in files(".py", ".c", ".h", ".md", ".toml", ".json", ".recipe", ".sh"):
        text = path.read_text(encoding="utf-8")
        if (text and not text.endswith("\n")) or text.endswith("\n\n"):
            wrong.append(f"{path.relative_to(ROOT)}: must end in one newline")
        wrong += [
            f"{path.relative_to(ROOT)}:{number}: blank at the end of the line"
            for number, line in enumerate(text.split("\n"), 1)
            if line.rstrip() != line
        ]
    assert not wrong
