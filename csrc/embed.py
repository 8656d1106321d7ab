"""Headers with bytes and texts for the C parts; `csrc/build.py` calls this."""

from __future__ import annotations

import ast
import encodings
import encodings.aliases
import encodings.utf_8
from pathlib import Path

import pack

PRELOAD = Path(__file__).resolve().parent / "start" / "preload.py"
BOOT = Path(__file__).resolve().parent / "start" / "boot.py"


def array(name: str, data: bytes) -> str:
    """Return the definition of ``static const unsigned char NAME[]``."""
    rows = [",".join(str(byte) for byte in data[at : at + 24]) for at in range(0, len(data), 24)]
    return (
        f"static const unsigned char {name}[{len(data)}] __attribute__((aligned(16))) = {{\n"
        + ",\n".join(rows)
        + "\n};\n"
    )


def image(helper: bytes) -> str:
    """Return ``helper_image.h``: the helper's bytes as ``helper_image`` and ``helper_image_size``."""
    size = f"static const unsigned long helper_image_size = {len(helper)};\n"
    return "/* Made by csrc/build.py from the compiled helper. */\n" + array("helper_image", helper) + size


def boot_text() -> str:
    """Return ``boot.h``: boot.py as a C string, for ``python -c``."""
    tree = pack.bare(BOOT.read_bytes(), BOOT.name)
    del tree.body[0]  # the docstring; comments are gone already
    lines = ast.unparse(tree).splitlines()
    text = "".join('\t"{}\\n"\n'.format(line.replace("\\", "\\\\").replace('"', '\\"')) for line in lines)
    return f"/* Made by csrc/build.py from csrc/start/boot.py. */\nstatic char bootstrap[] =\n{text}\t;\n"


def start_modules() -> str:
    """Return ``start_modules.h``: the code of boot.py, and of the encodings that the interpreter reads at its start."""
    modules = {"encodings": encodings, "aliases": encodings.aliases, "utf_8": encodings.utf_8}
    files = {name: Path(str(module.__file__)) for name, module in modules.items()}
    text = "/* Made by csrc/build.py from csrc/start/boot.py and the standard library. */\n"
    for name, path in (*files.items(), ("boot", BOOT), ("preload", PRELOAD)):
        shown = str(path) if name in files else path.name
        text += array(f"{name}_code", pack.code_of(path, shown))
    return text
