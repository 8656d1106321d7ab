"""Compile the C parts: the helper, the module ``ocirun._native``, the launcher, the starter; make the pack.

    python3 csrc/build.py --in-tree              for work in a checkout
    python3 csrc/build.py --out DIR              for a wheel (called by hatch_build.py)
    python3 csrc/build.py --in-tree --root DIR   for the system for another machine that is in DIR

The helper is a static program without libc; its bytes become a C array of the
module, so that a wheel holds one compiled file for both.  The module is made
with cffi in API mode.  The launcher is the program ``ocirun``.  A target is
compiled again only when its command line or one of its inputs has changed.

``CC`` names the compiler (default ``cc``), ``CFLAGS`` adds flags.  Needs cffi
in the interpreter that runs it, and compiles for that interpreter, or for one
of the same version below ``--root``, with a compiler that has that machine's libc.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

CSRC = Path(__file__).resolve().parent
sys.path.insert(0, str(CSRC))

import embed  # noqa: E402  after the path is set
import operations  # noqa: E402
import pack  # noqa: E402
from target import Target  # noqa: E402

ROOT = CSRC.parent
EXECUTOR = CSRC / "executor"
HOST_SIDE = CSRC / "host"
MODULE = CSRC / "module"
STARTER = CSRC / "start" / "starter.c"
# What reads plans and notes failed calls, on both sides.
SHARED_WITH_HELPER = [EXECUTOR / name for name in ("decode.c", "progress.c", "text.c")]
MODULE_NAME = "ocirun._native"
HOST = Target()
EXT_SUFFIX = HOST.ext_suffix
# The names of the files of the start, beside the module of the same interpreter.
START_NAME, STAGE_NAME, PRELOAD_NAME, PACK_NAME = map(HOST.name, ("start", "stage", "preload", "pack"))

WARNINGS = ["-Wall", "-Wextra"]
# A program without libc: the caller's CFLAGS (often hardening that needs
# libc) come first, these have the last word.
FREESTANDING = [
    *("-Os", "-std=gnu11", "-ffreestanding", "-fno-stack-protector", "-U_FORTIFY_SOURCE"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fcf-protection=none"),
    *("-fno-pie", "-no-pie", "-ffunction-sections", "-fdata-sections"),
    *("-static", "-nostdlib", "-s", "-Wl,--gc-sections,--build-id=none"),
    *("-Wl,-z,noexecstack", "-Wl,-z,noseparate-code", "-Wl,-z,norelro"),
]
PROGRAM = ["-O2", "-g0", "-std=gnu11", "-Wl,-z,relro"]
# Data of a library stays in the library: nothing is known of its size where there is a stand-in for it.
NO_COPIES = ["-fPIC", "-pie"]
SHARED = ["-O2", "-g0", "-std=gnu11", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-z,now,-z,relro"]


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class BuildError(Exception):
    """A compiler cannot be run, or has failed and shown why; or what it needs is not there."""


class Builder:
    """Compiles into one build directory.

    build   directory for intermediate files
    strict  make every warning an error (the compilers we test with)
    target  the interpreter to compile for
    """

    def __init__(self, build: Path, *, strict: bool, target: Target = HOST) -> None:
        self.build = build
        self.target = target
        self.compiler = shlex.split(os.environ.get("CC") or "cc")
        # No path of the checkout gets into a file, so that two builds are the same.
        self.flags = [*shlex.split(os.environ.get("CFLAGS") or ""), *WARNINGS, f"-ffile-prefix-map={ROOT}=."]
        if strict:
            self.flags.append("-Werror")
        build.mkdir(parents=True, exist_ok=True)
        # the flags for all that includes executor.h or ops.h
        self.executor = [f"-I{EXECUTOR}", f"-I{build}"]

    def operations(self) -> list[Path]:
        """Return ``operations.h`` and ``host_operations.h``: the operations of both sides and their arguments."""
        headers = [self.build / "operations.h", self.build / "host_operations.h"]
        for header, text in zip(headers, (operations.init_operations(), operations.host_operations()), strict=True):
            _write_if_changed(header, text.encode("ascii"))
        return headers

    def helper(self) -> Path:
        """Return the static program of the child."""
        sources = [CSRC / "helper.c", *_sources(EXECUTOR)]
        return self._compile(self.build / "helper", sources, [*FREESTANDING, *self.executor])

    def image(self) -> Path:
        """Return ``helper_image.h``: the helper's bytes as ``helper_image`` and ``helper_image_size``."""
        header = self.build / "helper_image.h"
        _write_if_changed(header, embed.image(self.helper().read_bytes()).encode())
        return header

    def module(self, target: Path) -> Path:
        """Return the extension module, for the running interpreter."""
        self._need_headers()
        self.image()
        glue = self._glue()
        flags = [
            *SHARED,
            # cffi's generated code: one signature for all wrappers, and casts between function types
            *("-Wno-unused-parameter", "-Wno-missing-field-initializers", "-Wno-cast-function-type"),
            # the launcher is bound to one version anyway, and the full API calls faster; free-threaded interpreters
            # have no other, and there cffi defines it too, in these words
            "-D_CFFI_NO_LIMITED_API=",
            *(f"-I{MODULE}", f"-I{HOST_SIDE}"),
            *self.executor,
            *self.target.includes,
        ]
        sources = [glue, *_sources(MODULE), *_sources(HOST_SIDE), *SHARED_WITH_HELPER]
        return self._compile(target, sources, flags, extra=[self.build / "helper_image.h"])

    def launcher(self, target: Path, *, source_tree: Path | None = None, start: Path | None = None) -> Path:
        """Return the program ``ocirun``; with `source_tree` one that uses that package directory.

        start   only with `source_tree`: the directory of the starter and the pack
        """
        _write_if_changed(self.build / "boot.h", embed.boot_text().encode("ascii"))
        of = self.target
        defines = {"PYTHON": of.python, "EXT_SUFFIX": of.ext_suffix}
        defines |= {f"{kind.upper()}_NAME": of.name(kind) for kind in ("start", "pack", "preload")}
        defines |= {"LIBRARY": of.library(), "LANDMARK": os.path.join(of.stdlib, "os.py")}
        defines |= {"PREFIX": of.prefix, "LIBRARY_NAME": of.library_name, "MULTIARCH": of.multiarch}
        if source_tree:
            defines["INTERPRETER"] = of.own_interpreter
            defines["SOURCE_TREE"] = str(source_tree)
            defines["START_TREE"] = str(start or source_tree / "ocirun")
        else:
            defines["INTERPRETER"] = of.interpreter
        words = [f'-D{name}="{value}"' for name, value in defines.items()]
        flags = [*FREESTANDING, f"-I{CSRC}", *self.executor, *words]
        sources = [CSRC / "launcher.c", CSRC / "start" / "fits.c", EXECUTOR / "text.c"]
        return self._compile(target, sources, flags, extra=[self.build / "boot.h"])

    def starter(self, target: Path, *, elsewhere: bool = False) -> Path | None:
        """Return the interpreter that starts quickly; None where the one to compile for has no shared library.

        elsewhere   it may have one on another machine: compile for that all the same
        """
        of = self.target
        library = of.library()
        if not (library or elsewhere):
            return None
        header = self.build / "start_modules.h"
        _write_if_changed(header, embed.start_modules().encode("ascii"))
        places = {"PREFIX": of.prefix, "STDLIB": of.stdlib, "DYNLOAD": of.dynload, "ZIP": of.zip}
        places["INTERPRETER"] = of.interpreter
        flags = [*PROGRAM, f"-I{self.build}", *of.includes]
        flags += [f'-D{name}=L"{value}"' for name, value in places.items()]
        words = {"LIBRARY": library, "PYTHON": of.python, "ZIP_NAME": os.path.basename(of.zip)}
        flags += [f'-D{name}="{value}"' for name, value in words.items()]
        sources = [STARTER, STARTER.with_name("preload.c"), STARTER.with_name("touched.c")]
        # Before 2.34 dladdr(3) was in a library of its own.
        after = [*(of.link(library) if library else [str(self._stand_in(sources, flags))]), "-ldl"]
        return self._compile(target, sources, [*flags, *NO_COPIES], extra=[header], after=after)

    def _stand_in(self, sources: list[Path], flags: list[str]) -> Path:
        """Return a library that has the names of Python's API which sources use, to link with in place of Python's."""
        whole = self._compile(self.build / "whole.o", sources, [*flags, "-fPIC", "-r", "-nostdlib"])
        words = [*shlex.split(os.environ.get("NM") or "nm"), "-u"]
        try:
            listed = subprocess.run([*words, str(whole)], check=True, capture_output=True, text=True).stdout
        except (OSError, subprocess.CalledProcessError) as error:
            raise BuildError(f"cannot list the symbols of {whole}: {error} (install binutils)") from None
        names = sorted(name for name in listed.split() if name.startswith(("Py", "_Py")))
        source = self.build / "stand_in.c"
        _write_if_changed(source, "".join(f"void {name}(void) {{}}\n" for name in names).encode("ascii"))
        soname = f"-Wl,-soname,{self.target.library_name}"
        return self._compile(self.build / "stand_in.so", [source], [*SHARED, "-fvisibility=default", soname])

    def stage(self, target: Path) -> Path:
        """Return the program that starts the starter to be preloaded."""
        sources = [CSRC / "start" / "stage.c", EXECUTOR / "text.c"]
        return self._compile(target, sources, [*FREESTANDING, *self.executor])

    def pack(self, target: Path, package: Path, *, installed: bool) -> Path:
        """Return the modules of a package directory in one file."""
        _write_if_changed(target, pack.make(package, self.target.ext_suffix, installed=installed))
        return target

    def _need_headers(self) -> None:
        words = (word.removeprefix("-I") for word in self.target.includes)
        if not any(os.path.exists(f"{word}/Python.h") for word in words):
            python = self.target.python
            raise BuildError(
                f"no Python.h of {python} (install its headers: {python}-dev on Debian, {python}-devel on Fedora)"
            )

    def _glue(self) -> Path:
        """Return the C code that cffi writes from ``native.cdef.h``."""
        cdef = MODULE / "native.cdef.h"
        glue = self.build / "native_glue.c"
        stamp = self.build / "native_glue.stamp"
        digest = _digest([*_cffi_version(), MODULE_NAME], [cdef])
        if not (glue.exists() and stamp.exists() and stamp.read_text() == digest):
            from cffi import FFI

            ffi = FFI()
            ffi.cdef(cdef.read_text())
            ffi.set_source(MODULE_NAME, '#include "native.h"\n')
            with contextlib.redirect_stdout(None):  # it says what it does
                ffi.emit_c_code(str(glue))
            stamp.write_text(digest)
        return glue

    def _compile(
        self,
        target: Path,
        sources: list[Path],
        flags: list[str],
        *,
        extra: Sequence[Path] = (),
        after: Sequence[str] = (),
    ) -> Path:
        """Run the compiler once, from sources to `target`, if anything changed.

        extra   files that the sources include, besides the headers of their folders
        after   words behind the sources
        """
        command = [*self.compiler, *self.flags, *flags, *map(str, sources), *after]
        headers = [*EXECUTOR.glob("*.h"), *MODULE.glob("*.h"), *HOST_SIDE.glob("*.h"), *STARTER.parent.glob("*.h")]
        headers += self.operations()
        digest = _digest(command, [*sources, *sorted(headers), *extra])
        stamp = self.build / f"{target.name}.stamp"
        if target.exists() and stamp.exists() and stamp.read_text() == digest:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        # Never into the old file: somebody may be running or importing it.
        fresh = target.with_name(f"{target.name}.new")
        try:
            result = subprocess.run([*command, "-o", str(fresh)], check=False)
        except OSError as error:
            what = f"cannot run the compiler {self.compiler[0]}: {error.strerror}"
            raise BuildError(f"{what} (install gcc or clang, or name one in CC)") from None
        if result.returncode:
            raise BuildError(f"cannot compile {target.name}: {shlex.join(command)}")
        fresh.replace(target)
        stamp.write_text(digest)
        return target


def _sources(directory: Path) -> list[Path]:
    """Return the C files of a directory."""
    return sorted(directory.glob("*.c"))


def _library() -> str:
    """Return the path of the running interpreter's shared library, "" where it has none."""
    return HOST.library()


def _cffi_version() -> list[str]:
    try:
        import cffi
    except ImportError:
        raise BuildError(f"the package cffi is not installed for {sys.executable} (./dev build brings it)") from None
    return [cffi.__version__]


def _digest(words: list[str], files: list[Path]) -> str:
    """Return a hash over words and file contents."""
    total = hashlib.sha256("\0".join(words).encode())
    for path in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _write_if_changed(path: Path, data: bytes) -> None:
    if not path.exists() or path.read_bytes() != data:
        path.write_bytes(data)


def build_in_tree(target: Target) -> None:
    """Build everything a checkout needs: ``runtime/ocirun/_native*.so`` and ``build/bin/ocirun``.

    For another machine the program stays beside the other files, in ``build/ABI``.
    """
    # One directory for each interpreter, so that changing it does not compile all again.
    builder = Builder(ROOT / "build" / target.abi, strict=True, target=target)
    builder.module(ROOT / "runtime" / "ocirun" / f"_native{target.ext_suffix}")
    builder.stage(builder.build / target.name("stage"))
    builder.starter(builder.build / target.name("start"))
    builder.pack(builder.build / target.name("pack"), ROOT / "runtime" / "ocirun", installed=False)
    launcher = builder.launcher(builder.build / "ocirun", source_tree=ROOT / "runtime", start=builder.build)
    if not target.root:
        _publish(launcher)
    # The launcher's interpreter writes no bytecode (-B), so it must be there.
    compileall.compile_dir(ROOT / "runtime" / "ocirun", quiet=1)


def _publish(launcher: Path) -> None:
    # Two interpreters may share a checkout; build/bin/ocirun is the last one's.
    published = ROOT / "build" / "bin" / "ocirun"
    if not published.exists() or published.read_bytes() != launcher.read_bytes():
        published.parent.mkdir(parents=True, exist_ok=True)
        fresh = published.with_name("ocirun.new")
        shutil.copy2(launcher, fresh)
        fresh.replace(published)
    if subprocess.run([str(published), "preload"], check=False, stdout=subprocess.DEVNULL).returncode:
        print("csrc/build.py: without a preloaded interpreter commands start slower", file=sys.stderr)


def build_out(out: Path) -> None:
    """Build the files of a wheel, into `out`: the module, the launcher,
    the pack and those of the start that there can be.
    """
    builder = Builder(out / "work", strict=False)
    builder.module(out / f"_native{EXT_SUFFIX}")
    builder.launcher(out / "ocirun")
    builder.stage(out / STAGE_NAME)
    builder.starter(out / START_NAME, elsewhere=True)
    builder.pack(out / PACK_NAME, ROOT / "runtime" / "ocirun", installed=True)
    # Empty, so that pip knows the file that the first command makes, and removes it with the others.
    (out / PRELOAD_NAME).touch()


def main() -> int:
    """Parse the command line and build; the exit code."""
    parser = argparse.ArgumentParser(description="Compile the C parts of ocirun.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--in-tree", action="store_true", help="build for work in this checkout")
    where.add_argument("--out", type=Path, help="build the files of a wheel into this directory")
    parser.add_argument("--root", default="", metavar="DIR", help="with --in-tree: compile for the system in there")
    options = parser.parse_args()
    try:
        if options.in_tree:
            build_in_tree(Target(options.root))
        else:
            build_out(options.out)
    except BuildError as error:
        print(f"csrc/build.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
