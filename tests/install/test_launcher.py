"""What the launcher hands to Python: seen from a package that prints what it got."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from . import pythons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROBE = """
import _signal, os, sys

def main(start):
    fds = {}
    for fd in range(3):
        fds[str(fd)] = [os.readlink(f"/proc/self/fd/{fd}"), os.get_blocking(fd), os.get_inheritable(fd)]
        with open(f"/proc/self/fdinfo/{fd}") as file:
            fds[str(fd)].append(int(file.readlines()[1].split()[1], 8) & 3)
    seen = {
        "argv": sys.argv, "path": sys.path, "environ": dict(os.environ),
        "flags": [getattr(sys.flags, name) for name in ("isolated", "no_site", "safe_path", "optimize", "dev_mode")],
        "utf8": sys.flags.utf8_mode, "encodings": [sys.getfilesystemencoding(), sys.stdout.encoding], "fds": fds,
        "modules": sorted(sys.modules), "bytecode": sys.dont_write_bytecode, "executable": sys.executable,
        "blocked": sorted(_signal.pthread_sigmask(_signal.SIG_BLOCK, [])),
        "open": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1],
        "exe": os.readlink("/proc/self/exe"), "name": open("/proc/self/comm").read(),
        "words": str(open("/proc/self/cmdline", "rb").read()),
        "native": [os.environ.get("MARK", ""), os.path.exists("/proc/self")],
    }
    import json
    with open(os.environ["REPORT"], "w") as file:
        json.dump(seen, file)
    return int(os.environ.get("STATUS", "0"))
"""


class Probe:
    """A launcher, compiled for a package whose only command reports what it sees.

    starts   with the starter and the pack, in place of the interpreter and the files of the package
    preload  with the preloaded interpreter
    """

    def __init__(self, where: Path, *, starts: bool, preload: bool = False) -> None:
        self.where = where
        self.starts = starts
        package = where / "package" / "ocirun" / "cli"
        package.mkdir(parents=True)
        (package / "main.py").write_text(PROBE)
        room = package.parent / "preload"
        room.mkdir()
        (room / "missing.py").write_text("def have_made(start, program): pass\n")
        for folder in (package, package.parent, room):
            (folder / "__init__.py").write_text("")
        self.report = where / "report"
        self.program = where / "bin" / "launcher"
        build = _build()
        builder = build.Builder(where / "build", strict=True)
        builder.launcher(self.program, source_tree=where / "package", start=where)
        self.pack = where / build.PACK_NAME
        self.preloaded = where / build.PRELOAD_NAME
        if starts:
            builder.pack(self.pack, where / "package" / "ocirun", installed=False)
            builder.starter(where / build.START_NAME)
        if preload:
            builder.stage(where / build.STAGE_NAME)
            self.make_preloaded()

    def make_preloaded(self) -> None:
        """Write the preloaded interpreter, as `ocirun preload` does."""
        import _cffi_backend

        build = _build()
        self.preloaded.unlink(missing_ok=True)
        trees = [self.where / "package", Path(_cffi_backend.__file__).parent]
        words = [self.where / build.STAGE_NAME, self.where / build.START_NAME, "--preload", self.preloaded, self.pack]
        env = {"LC_ALL": "C", "GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
        done = subprocess.run([*words, *trees], env=env, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        env = {"REPORT": str(self.report)}
        return subprocess.run([self.program, *words], env=env, capture_output=True, text=True, check=False, **options)

    def __call__(self, *words: str | bytes, env: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        """Run it and return what it saw."""
        self.report.unlink(missing_ok=True)
        env = {**(env or {}), "REPORT": str(self.report)}
        subprocess.run([self.program, *words], env=env, check=True, **options)
        seen: dict[str, Any] = json.loads(self.report.read_text())
        seen["environ"].pop("REPORT")
        return seen


def _build() -> Any:
    spec = importlib.util.spec_from_file_location("csrc_build", pythons.ROOT / "csrc" / "build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["python", "starter", "preloaded"])
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    if request.param != "python" and not _build()._library():
        pytest.skip("this interpreter has no shared library")
    where = tmp_path_factory.mktemp("probe")
    return Probe(where, starts=request.param != "python", preload=request.param == "preloaded")


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PATH": "/bin", "LANG": "de_DE.UTF-8", "LC_CTYPE": "C"},
        {"LC_ALL": "C", "LD_LIBRARY_PATH": "/opt/containerd/lib:", "LD_PRELOAD": "/none"},
        {"LC_ALL": "", "LD_X": "", "LD_AUDIT": "a=b=c"},
        {"PYTHONHOME": "/none", "PYTHONPATH": "/none", "--": "--", "LDX": "1", "LC_ALLY": "x"},
    ],
    ids=["empty", "locale", "loader", "odd", "python"],
)
def test_environment_is_handed_over(probe: Probe, env: dict[str, str]) -> None:
    assert probe(env=env)["environ"] == env


def test_values_of_variables_are_nobodys_business(probe: Probe) -> None:
    """Anybody may read a process's arguments (proc_pid_cmdline(5)); its environment is for its owner."""
    env = {"LD_SDK_KEY": "secret-1", "LD_LIBRARY_PATH": "/secret-2", "LC_ALL": "secret-3", "LD_PRELOAD": "/secret-4"}
    seen = probe(env=env)
    assert "secret" not in seen["words"]
    assert seen["environ"] == env


def test_environment_that_is_not_utf8(probe: Probe) -> None:
    env = {b"LD_LIBRARY_PATH": b"/\xff", b"LC_ALL": b"\xfe", b"X": b"\xfd", b"REPORT": os.fsencode(probe.report)}
    subprocess.run([probe.program], env=env, check=True)
    seen = json.loads(probe.report.read_text())["environ"]
    assert {name: os.fsencode(value) for name, value in seen.items()} == {
        os.fsdecode(name): value for name, value in env.items()
    }


def test_arguments(probe: Probe) -> None:
    words = ["--", "-c", "x=1", "", "--help", "-", "ä", b"\xff\n", "--"]
    assert [os.fsencode(word) for word in probe(*words)["argv"]] == [
        os.fsencode(word) for word in [probe.program, *words]
    ]
    assert len(probe(*["x"] * 20000)["argv"]) == 20001


def test_interpreter_is_isolated(probe: Probe) -> None:
    seen = probe(env={"PYTHONPATH": "/none", "PYTHONOPTIMIZE": "2", "PYTHONDEVMODE": "1"})
    assert seen["flags"] == [1, 1, True, 0, False]
    assert seen["bytecode"] is True
    assert seen["utf8"] == 1
    assert seen["encodings"] == ["utf-8", "utf-8"]
    assert not {"site", "sitecustomize", "usercustomize"} & set(seen["modules"])
    zipped, library, dynload, *ours = seen["path"]
    assert zipped.endswith(".zip")
    assert dynload == f"{library}/lib-dynload"
    assert ours[0] == str(probe.where / "package")
    assert len(ours) == 2  # and the directory of cffi


@pytest.mark.parametrize("closed", [c for n in range(4) for c in itertools.combinations(range(3), n)], ids=str)
def test_closed_standard_descriptors(probe: Probe, closed: tuple[int, ...]) -> None:
    def close() -> None:
        for fd in closed:
            os.close(fd)

    fds = probe(preexec_fn=close, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)["fds"]
    for fd in range(3):
        target, _, inheritable, mode = fds[str(fd)]
        assert inheritable
        if fd in closed:
            assert (target, mode) == ("/dev/null", os.O_WRONLY if fd else os.O_RDONLY)
        else:
            assert target.startswith("pipe:")


def test_nothing_else_is_open(probe: Probe) -> None:
    pack_is_open = probe.starts and not probe.preloaded.exists()  # close-on-exec
    assert probe()["open"] == [0, 1, 2, *([3] if pack_is_open else [])]


def test_what_is_executed(probe: Probe) -> None:
    seen = probe()
    file = Path(seen["exe"]).name.partition(".")[0]
    assert file == ("_preload" if probe.preloaded.exists() else "_start" if probe.starts else "python3")
    assert not probe.starts or seen["name"] == "ocirun\n"


def test_exit_status(probe: Probe) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        probe(env={"STATUS": "77"})
    assert caught.value.returncode == 77


def test_signal_mask_is_kept(probe: Probe) -> None:
    def block() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, [signal.SIGUSR1, signal.SIGTERM])

    assert probe(preexec_fn=block)["blocked"] == [signal.SIGUSR1, signal.SIGTERM]


@pytest.mark.parametrize(
    ("limit", "value"), [(resource.RLIMIT_NOFILE, 10), (resource.RLIMIT_AS, 32 << 20)], ids=["files", "memory"]
)
def test_short_of_something(probe: Probe, limit: int, value: int) -> None:
    probe(preexec_fn=lambda: resource.setrlimit(limit, (value, value)))


def test_interrupted_before_the_command_line(probe: Probe, tmp_path: Path) -> None:
    """SIGINT while modules are imported ends it, without words."""
    package = probe.where / "package" / "ocirun" / "cli" / "main.py"
    before = package.read_text()
    package.write_text("import os\nos.kill(os.getpid(), 2)\nfor _ in range(1000): pass\n" + before)
    try:
        result = probe.run()
    finally:
        package.write_text(before)
    assert (result.returncode, result.stderr) == (130, "")


def test_empty_argument_list(probe: Probe) -> None:
    """execve without any argument: Linux passes one empty string since 5.18."""
    code = (
        "import ctypes; call = ctypes.CDLL(None).execve; words = ctypes.c_char_p * 2; "
        f"call({os.fsencode(probe.program)!r}, words(), words({b'REPORT=' + os.fsencode(probe.report)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert json.loads(probe.report.read_text())["argv"] == [""]


def test_without_proc(probe: Probe, tmp_path: Path) -> None:
    """The path given to execve leads to the installation when /proc does not."""
    (tmp_path / "link").symlink_to(os.path.relpath(probe.program, tmp_path))
    (tmp_path / "link2").symlink_to(tmp_path / "link")
    script = f"umount -l /proc && exec '{tmp_path}/link2'"
    command = ["unshare", "-m", "--propagation", "private", "sh", "-c", script]
    if subprocess.run([*command[:4], "true"], check=False, capture_output=True).returncode:
        pytest.skip("may not make a mount namespace")
    result = subprocess.run(command, env={"PATH": "/usr/bin:/bin", "REPORT": "/none"}, capture_output=True, check=False)
    # The probe cannot read its own descriptors then, but it runs.
    assert b"/proc/self/fd/0" in result.stderr


@pytest.mark.parametrize(
    ("defines", "message"),
    [
        ({"PYTHON": "python9.9", "INTERPRETER": "/none"}, "ocirun: cannot start python9.9, neither beside me nor as "),
        ({"EXT_SUFFIX": ".none", "SOURCE_TREE": "/none"}, "ocirun: the package cffi is not installed for python"),
        ({}, "ocirun: the package ocirun for python"),
    ],
    ids=["interpreter", "cffi", "package"],
)
def test_what_is_missing_is_named(tmp_path: Path, defines: dict[str, str], message: str) -> None:
    build = _build()
    defines = {
        "PYTHON": build.HOST.python,
        "EXT_SUFFIX": build.EXT_SUFFIX,
        "INTERPRETER": f"{sys.prefix}/bin/python",
        **dict.fromkeys(
            (
                "LIBRARY",
                "LANDMARK",
                "LIBRARY_NAME",
                "MULTIARCH",
                "PREFIX",
                "PRELOAD_NAME",
                "START_NAME",
                "START_TREE",
                "PACK_NAME",
            ),
            "/none",
        ),
        **defines,
    }
    builder = build.Builder(tmp_path, strict=True)
    builder.operations()
    (tmp_path / "boot.h").write_text(build.embed.boot_text())
    program = tmp_path / "bin" / "ocirun"
    program.parent.mkdir()
    for name in ("ocirun/_native", "_cffi_backend"):  # an installation for that version
        path = tmp_path / "lib" / "python9.9" / "site-packages" / f"{name}{build.EXT_SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    words = [f'-D{name}="{value}"' for name, value in defines.items()]
    sources = [str(build.CSRC / "launcher.c"), str(build.CSRC / "start" / "fits.c"), str(build.EXECUTOR / "text.c")]
    command = [
        "cc",
        *build.FREESTANDING,
        f"-I{build.CSRC}",
        *builder.executor,
        *words,
        *sources,
        "-o",
        str(program),
    ]
    subprocess.run(command, check=True)
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_program_is_static() -> None:
    build = _build()
    data = Path(build.ROOT / "build" / "bin" / "ocirun").read_bytes()
    assert data[:4] == b"\x7fELF"
    assert b"ld-linux" not in data
    assert len(data) < 16384
