"""The programs of Kubernetes: built once by Go at pinned versions, beside the checkout's caches.

    python -m engines.kubernetes.programs [NAME...]

Each lies in ``NAME-VERSION`` below ``$OCIRUN_KUBERNETES_CACHE`` (default ``~/.cache/ocirun-kubernetes``).  Building all
takes a quarter of an hour on two processors; the kubelet has half of that.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CONTAINERD = "2.3.2"
CRI_TOOLS = "1.37.0"
KUBELET = "1.36.3"
NERDCTL = "2.3.5"
RUNC = "1.4.0"
_GO = 1, 26  # what their go.mod files ask for


class NoProgramsError(Exception):
    """The programs cannot be built here; the text says why."""


class Source:
    """A module of Go and the programs that are built of it.

    module    its path
    version   without the "v"
    packages  of a program, below the module
    stamp     the variable that holds the version in the program
    tags      of the build
    c         whether it calls a library in C
    test      whether the programs are those of tests
    staged    path of the modules that lie in its own repository, and are published on their own as v0.MINOR.PATCH
    left_out  files below the module that only its tests need, and the module that they alone import, which no proxy has
    """

    def __init__(
        self,
        module: str,
        version: str,
        packages: dict[str, str],
        *,
        stamp: str = "",
        tags: str = "",
        c: bool = False,
        test: Sequence[str] = (),
        staged: str = "",
        left_out: tuple[str, str] = ("", ""),
    ) -> None:
        self.module, self.version, self.packages = module, version, packages
        self.stamp, self.tags, self.c, self.test, self.staged = stamp, tags, c, test, staged
        self.left_out = left_out

    def requirements(self, own: str) -> str:
        """The go.mod of a module that needs this one at its version; `own` is this one's go.mod."""
        text = f"module programs\n\ngo {_GO[0]}.{_GO[1]}\n\nrequire {self.module} v{self.version}\n"
        if self.left_out[1]:
            text += f"\nreplace {self.module} => ./copy\n\nreplace {self.left_out[1]} => ./nothing\n"
        if not self.staged:
            return text
        # Its own go.mod names each staged module as v0.0.0, which a replacement makes a directory.
        published = f"v0.{self.version.partition('.')[2]}"
        own = re.sub(r"^module .*$", "module programs", own, count=1, flags=re.MULTILINE)
        own = re.sub(rf"({self.staged}/\S+) v0\.0\.0$", rf"\1 {published}", own, flags=re.MULTILINE)
        own = re.sub(rf"({self.staged}/\S+) => \./staging/\S+", rf"\1 => \1 {published}", own)
        return f"{own}\nrequire {self.module} v{self.version}\n"


SOURCES = (
    Source("github.com/opencontainers/runc", RUNC, {"runc": ""}, stamp="main.version", tags="seccomp", c=True),
    Source(
        "github.com/containerd/containerd/v2", CONTAINERD,
        {name: f"/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        stamp="github.com/containerd/containerd/v2/version.Version",
    ),
    Source(
        "sigs.k8s.io/cri-tools", CRI_TOOLS, {"crictl": "/cmd/crictl", "critest": "/cmd/critest"},
        stamp="sigs.k8s.io/cri-tools/pkg/version.Version", test=("critest",),
    ),
    Source(
        "github.com/containerd/nerdctl/v2", NERDCTL, {"nerdctl": "/cmd/nerdctl"},
        stamp="github.com/containerd/nerdctl/v2/pkg/version.Version",
        left_out=("cmd/nerdctl/helpers/testing_linux.go", "github.com/containerd/nerdctl/mod/tigron"),
    ),
    Source(
        "k8s.io/kubernetes", KUBELET, {"kubelet": "/cmd/kubelet"},
        stamp="k8s.io/component-base/version.gitVersion", staged="k8s.io",
    ),
)  # fmt: skip


def directory() -> str:
    """Where the programs are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.environ.get("OCIRUN_KUBERNETES_CACHE") or f"{base}/ocirun-kubernetes"


def built() -> bool:
    """Decide if all programs are there."""
    return all(os.path.exists(path) for source in SOURCES for path in _paths(source).values())


def ready(*names: str) -> dict[str, str]:
    """The paths of programs, all unless some are named; what is missing is built first.

    Raises NoProgramsError.
    """
    top = directory()
    os.makedirs(top, exist_ok=True)
    found = {}
    for source in SOURCES:
        paths = {name: path for name, path in _paths(source).items() if not names or name in names}
        if not all(map(os.path.exists, paths.values())):
            with open(f"{top}/lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not all(map(os.path.exists, paths.values())):
                    _build(source, top)
        found |= paths
    return found


def shell() -> str:
    """The path of a busybox whose shell looks for programs in files alone, as the one that is in images does.

    Debian has it in a package that cannot be installed beside busybox-static, whose shell has all programs in itself.
    Raises NoProgramsError.
    """
    path = f"{directory()}/busybox/bin/busybox"
    if not os.path.exists(path):
        work = f"{directory()}/busybox.new"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        options = ["-q", "-o", "Acquire::Check-Valid-Until=false"]
        for command in (["apt-get", *options, "update"], ["apt-get", *options, "download", "busybox"]):
            _run(command, work, dict(os.environ))
        (package,) = glob.glob(f"{work}/*.deb")
        _run(["dpkg-deb", "-x", package, work], work, dict(os.environ))
        os.rename(work, f"{directory()}/busybox")
    return path


def _paths(source: Source) -> dict[str, str]:
    home = f"{directory()}/{source.module.split('/')[-1 if source.module[-3:] != '/v2' else -2]}-{source.version}"
    return {name: f"{home}/{name}" for name in source.packages}


def _build(source: Source, top: str) -> None:
    _need_go()
    began = time.monotonic()
    work = f"{top}/work"
    # Modules are unpacked without the right to write, so that even root's rmtree of others would stop; ours is root.
    shutil.rmtree(work, ignore_errors=True)
    os.mkdir(work)
    environment = {
        **os.environ,
        "GOMODCACHE": f"{top}/go/modules",
        "GOCACHE": f"{top}/go/build",
        "GOFLAGS": "-mod=mod -modcacherw -buildvcs=false -trimpath",
        "CGO_ENABLED": "1" if source.c else "0",
    }
    print(f"kubernetes: building {source.module} {source.version} in {top}", file=sys.stderr, flush=True)
    _run(["go", "mod", "init", "programs"], work, environment)
    _run(["go", "mod", "download", f"{source.module}@v{source.version}"], work, environment)
    own = f"{top}/go/modules/cache/download/{source.module}/@v/v{source.version}.mod"
    with open(own, encoding="utf-8") as file:
        text = source.requirements(file.read())
    with open(f"{work}/go.mod", "w", encoding="utf-8") as file:
        file.write(text)
    if source.left_out[1]:
        # The command refuses to leave out files of its cache.
        shutil.copytree(f"{top}/go/modules/{source.module}@v{source.version}", f"{work}/copy")
        os.unlink(f"{work}/copy/{source.left_out[0]}")
        os.mkdir(f"{work}/nothing")
        with open(f"{work}/nothing/go.mod", "w", encoding="utf-8") as file:
            file.write(f"module {source.left_out[1]}\n")
    version = f"-s -w -X {source.stamp}={'v' if source.staged else ''}{source.version}"
    for name, package in source.packages.items():
        command = ["test", "-c"] if name in source.test else ["build"]
        options = ["-tags", source.tags, "-ldflags", version, "-o", f"{work}/{name}"]
        _run(["go", *command, *options, source.module + package], work, environment)
    for name, path in _paths(source).items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(f"{work}/{name}", path)
    shutil.rmtree(work)
    if built():
        shutil.rmtree(f"{top}/go")
    print(
        f"kubernetes: {', '.join(source.packages)} after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
    )


def _need_go() -> None:
    if shutil.which("go") is None:
        raise NoProgramsError("the programs of Kubernetes are built by Go, which is not installed")
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _GO:
        raise NoProgramsError(f"the programs of Kubernetes are built by Go {_GO[0]}.{_GO[1]} or newer; here is {said}")


def _run(command: Sequence[str], work: str, environment: dict[str, str]) -> None:
    if shutil.which(command[0]) is None:
        raise NoProgramsError(f"needs {command[0]}, which is not installed")
    done = subprocess.run(
        command,
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()
        raise NoProgramsError(f"{' '.join(command)} failed: {' | '.join(lines[-5:])}")


if __name__ == "__main__":
    try:
        print("\n".join(f"{name} {path}" for name, path in ready(*sys.argv[1:]).items()))
    except NoProgramsError as error:
        sys.exit(f"kubernetes: {error}")
