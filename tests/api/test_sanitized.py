"""The C of the host's side under the address and the undefined behaviour sanitizer, in a process of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

CHECKOUT = Path(__file__).resolve().parents[2]
CSRC = CHECKOUT / "csrc"
PROGRAM = """\
import os, resource, sys, threading
sys.path.insert(0, sys.argv[1])
import ocirun
bundle, root = sys.argv[2:]
sh = ["/bin/sh", "-c"]
prepared = ocirun.Prepared(bundle, root=root, args=[*sh, "exit 3"])
assert prepared.run().exit_code == 3
text = "head -c 3000000 /dev/zero; echo x >&2; cat"
long = prepared.run(args=[*sh, text], stdin=b"a" * 100000, output_limit=2000000)
assert len(long.stdout) == 2000000 and long.stdout_cut and long.stderr == b"x\\n", long
assert ocirun.run(bundle, root=root, args=["/bin/sleep", "60"], timeout=0.1).timed_out
pool = ocirun.Pool(prepared, size=3)
runs = [prepared.run, lambda args: ocirun.run(bundle, root=root, args=args), pool.run]
for run in runs:
    for program in ("/none", "none"):
        try:
            run(args=[program])
        except ocirun.ProgramError as error:
            assert "none" in str(error)
        else:
            raise AssertionError(program)
threads = [threading.Thread(target=lambda run=run: [run(args=["/bin/echo", "x"]) for _ in range(5)]) for run in runs * 2]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
pool.close()
old, refused = resource.getrlimit(resource.RLIMIT_NOFILE), 0
for limit in range(8, 70):
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, old[1]))
    try:
        prepared.run()
    except ocirun.OcirunError:
        refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
assert refused > 20, refused
container = ocirun.Container.create(f"sanitized-{os.getpid()}", root=root, options=ocirun.CreateOptions(bundle=bundle))
container.start()
container.wait(20)
container.delete()
print(os.listdir(root))
"""


def compiled(where: Path) -> Path:
    """A copy of the package with a module that checks itself."""
    package = where / "ocirun"
    shutil.copytree(
        CHECKOUT / "runtime" / "ocirun", package, ignore=shutil.ignore_patterns("_native*.so", "__pycache__")
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = next((CHECKOUT / "build").glob(f"{sysconfig.get_config_var('SOABI')}/native_glue.c")).parent
    includes = [CSRC / "module", CSRC / "host", CSRC / "executor", made, sysconfig.get_paths()["include"]]
    flags = ["-O1", "-g", "-std=gnu11", "-fPIC", "-shared", "-D_CFFI_NO_LIMITED_API", *(f"-I{one}" for one in includes)]
    cc = shlex.split(os.environ.get("CC") or "cc")
    # The child of spawn borrows our memory and never returns from its function, which the sanitizer takes for a leap.
    plain = str(where / "spawn.o")
    subprocess.run([*cc, *flags[:4], *flags[5:], "-c", str(CSRC / "module" / "spawn.c"), "-o", plain], check=True)
    sources = [made / "native_glue.c", *(CSRC / "module").glob("*.c"), *(CSRC / "host").glob("*.c")]
    sources += [CSRC / "executor" / f"{name}.c" for name in ("decode", "progress", "text")]
    words = [str(source) for source in sources if source.name != "spawn.c"]
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    target = str(package / f"_native{suffix}")
    subprocess.run([*cc, *flags, *sanitize, *words, plain, "-o", target], check=True)
    return where


def test_runs(bundle: str, root: str, tmp_path: Path) -> None:
    cc = shlex.split(os.environ.get("CC") or "cc")
    libraries = []
    for name in ("libasan.so", "libubsan.so"):
        out = subprocess.run([*cc, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        libraries.append(out.stdout.strip())
    # The interpreter itself is not checked, and keeps what it has.
    env = {**os.environ, "LD_PRELOAD": " ".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"}
    words = [sys.executable, "-c", PROGRAM, str(compiled(tmp_path / "package")), bundle, root]
    result = subprocess.run(words, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert (result.returncode, result.stdout[-3:]) == (0, "[]\n"), result.stderr[:3000]
