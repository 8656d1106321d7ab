"""What a test works with: the runtime, bundles, and the commands between them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal

from . import bundles, kernel, oracle, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .bundles import Bundle
    from .process import Result

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_RUNTIME = os.path.join(CHECKOUT, "build", "bin", "ocirun")


class Session:
    """Made once: private namespaces that play the host, the image, the tools.

    top       directory on a tmpfs of its own, shared like the mounts of a host with systemd
    mark      text in every container id and cgroup path of this session
    canary    tree with a decoy for each name that a runtime creates or deletes
    """

    def __init__(self, runtime: str) -> None:
        self.runtime = runtime
        self.mark = f"live{os.getpid()}"
        if os.path.exists(f"/tmp/ocirun-{self.mark}"):  # tests that are collected elsewhere have a session of their own
            self.mark += "b"
        self.parent = f"/ocirun-{self.mark}"
        self.top = f"/tmp/ocirun-{self.mark}"
        self.count = 0
        kernel.become_subreaper()
        # Of our own, so that a runtime which touches "the host's" names, limits or links touches ours.
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWNET)
        kernel.loopback_up()
        kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
        os.mkdir(self.top, 0o755)
        kernel.mount("live", self.top, "tmpfs", data="mode=755")
        self.tools = f"{self.top}/tools"
        self.image = f"{self.top}/image"
        self.canary = f"{self.top}/canary"
        os.mkdir(self.tools)
        bundles.build_tools(self.tools)
        bundles.make_image(self.image, self.tools)
        self._make_canary()

    def _make_canary(self) -> None:
        for name in ("sub", "pts", "shm", "proc", "b"):
            os.makedirs(f"{self.canary}/{name}")
        for name in ("ptmx", "console", "null", "zero", "fd", "stdin", "stdout", "core", "marker", "secret", "sysctl"):
            with open(f"{self.canary}/{name}", "w", encoding="ascii") as file:
                file.write(f"decoy {name}\n")

    def close(self) -> None:
        """Remove what the session made on the host."""
        process.end_all()
        for path in oracle.cgroups(self.mark):
            _rmdir(path)
        kernel.umount(self.top, kernel.MNT_DETACH)
        os.rmdir(self.top)


class Case:
    """One test: a state root, a scratch directory, and the bundles it makes."""

    def __init__(self, session: Session) -> None:
        session.count += 1
        self.session = session
        self.canary = session.canary
        self.dir = f"{session.top}/case{session.count}"
        self.root = f"{self.dir}/state"
        self.scratch = f"{self.dir}/output"
        for path in (self.dir, self.root, self.scratch):
            os.mkdir(path, 0o711)
        self.bundles: list[Bundle] = []
        self.undo = contextlib.ExitStack()
        self.before = self._snapshot()

    def bundle(self, args: Sequence[str] = ("/bin/true",), *, config: bool = True) -> Bundle:
        """A new bundle whose program is `args`; with config=False config.json is left to the test."""
        number = len(self.bundles)
        container = f"{self.session.mark}-{self.session.count}-{number}"
        path = f"{self.dir}/b{number}"
        os.mkdir(path, 0o755)
        bundles.copy_image(self.session.image, f"{path}/rootfs")
        made = bundles.Bundle(path, container, bundles.default_config(args, f"{self.session.parent}/{container}"))
        made.frozen = not config
        self.bundles.append(made)
        return made

    def shell(self, script: str) -> Bundle:
        """A bundle whose program is the shell with a script."""
        return self.bundle(["/bin/sh", "-c", script])

    def argv(self, *args: str) -> list[str]:
        """The runtime with this case's state root, and the rest."""
        return [self.session.runtime, "--root", self.root, *args]

    def command(self, *args: str, **how: Any) -> Result:
        """Any command of the runtime; `how` as in process.run."""
        return process.run(self.argv(*args), scratch=self.scratch, **how)

    def command_in(self, before: Sequence[str], *args: str, **how: Any) -> Result:
        """Any command of the runtime, started by another program that ends with executing it."""
        return process.run([*before, *self.argv(*args)], scratch=self.scratch, **how)

    def make(self, verb: str, bundle: Bundle, *options: str, **how: Any) -> Result:
        """create or run, whatever comes of it."""
        bundle.save()
        return self.command(verb, "--bundle", bundle.path, *options, bundle.id, **how)

    def run(self, bundle: Bundle, *options: str, **how: Any) -> Result:
        """Run in the foreground; gives the result whatever the exit status."""
        return self.make("run", bundle, *options, **how)

    def output(self, bundle: Bundle, *options: str, **how: Any) -> str:
        """Run in the foreground, expect status 0, give stdout."""
        return self.run(bundle, *options, **how).ok().out

    def probe(self, bundle: Bundle, *options: str, **how: Any) -> Any:
        """Run the probe as the program; gives its report."""
        bundle.process["args"] = ["/probe"]
        return self.run(bundle, *options, **how).ok().json()

    def create(self, bundle: Bundle, *options: str, **how: Any) -> Result:
        """Create, expect success."""
        return self.make("create", bundle, *options, **how).ok()

    def start(self, bundle: Bundle, **how: Any) -> Result:
        """Start, expect success."""
        return self.command("start", bundle.id, **how).ok()

    def launch(self, bundle: Bundle, *options: str, **how: Any) -> Result:
        """Create and start; gives the result of create, whose `out` is the container's stdout."""
        result = self.create(bundle, *options, **how)
        self.start(bundle)
        return result

    def state(self, bundle: Bundle) -> Any:
        """The state document, expected to be there."""
        return self.command("state", bundle.id).ok().json()

    def status(self, bundle: Bundle) -> str:
        """The status word."""
        return str(self.state(bundle)["status"])

    def pid(self, bundle: Bundle) -> int:
        """The init process, as the host counts it."""
        return int(self.state(bundle)["pid"])

    def kill(self, bundle: Bundle, *args: str) -> Result:
        """kill, expect success."""
        return self.command("kill", bundle.id, *args).ok()

    def delete(self, bundle: Bundle, *options: str) -> Result:
        """delete, expect success."""
        return self.command("delete", *options, bundle.id).ok()

    def until(self, bundle: Bundle, status: str, limit: float = 5.0) -> None:
        """Wait for a status."""
        process.eventually(lambda: self.status(bundle) == status, f"{bundle.id} {status}", limit)

    def ended(self, bundle: Bundle) -> None:
        """Wait for the program's end, and delete."""
        self.until(bundle, "stopped")
        self.delete(bundle)

    def refused(self, bundle: Bundle, *words: str, verbs: Sequence[str] = ("create", "run"), **how: Any) -> None:
        """Expect create and run to fail cleanly: one line that holds the words, and nothing left behind."""
        for verb in verbs:
            self.make(verb, bundle, **how).failed(*words)
            self.assert_clean()

    def _snapshot(self) -> dict[str, frozenset[str]]:
        session = self.session
        return oracle.snapshot(session.mark, session.parent, self.root, session.canary)

    def assert_clean(self) -> None:
        """The oracle: nothing left, nothing changed.  A dying process gets half a second."""
        found: list[str] = []

        def clean() -> bool:
            found[:] = oracle.differences(self.before, self._snapshot())
            return not found

        try:
            process.eventually(clean, "nothing left behind", 0.5)
        except AssertionError:
            raise AssertionError("\n".join(found)) from None

    def mount(self, source: str, target: str, kind: str = "", flags: int = 0) -> None:
        """Mount something of the test's own, which is taken off again however the test ends."""
        kernel.mount(source, target, kind, flags)
        self.undo.callback(_take_off, target)

    def group(self, path: str) -> str:
        """Make a cgroup of the test's own, which is removed again however the test ends; gives its directory."""
        self.undo.callback(_remove_groups, path)
        os.makedirs(path, exist_ok=True)
        return path

    def remove(self) -> None:
        """delete --force for everything that is still known, through the runtime; then what the test itself has made."""
        with self.undo:
            for name in os.listdir(self.root):
                if "~" not in name:
                    self.command("delete", "--force", name).ok()

    def sweep(self) -> None:
        """Clear away all that is left of the case, so that the next one starts from the same place."""
        self.clear()
        kernel.mount("", "/", flags=kernel.MS_REC | kernel.MS_SHARED)
        shutil.rmtree(self.dir, ignore_errors=True)

    def clear(self) -> None:
        """End processes, remove cgroups, mounts and states, without the runtime's help."""
        for path in oracle.cgroups(self.session.mark):
            state = os.path.join(path, "freezer.state")
            if os.path.exists(state):
                with open(state, "w", encoding="ascii") as file:
                    file.write("THAWED")
        process.end_all()
        for path in oracle.cgroups(self.session.mark):
            if not path.endswith(self.session.parent):
                _rmdir(path)
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            points = [line.split()[4] for line in file]
        for point in reversed(points):
            if point.startswith(self.dir + "/"):
                kernel.umount(point, kernel.MNT_DETACH)
        for name in os.listdir(self.root):
            shutil.rmtree(f"{self.root}/{name}", ignore_errors=True)


def _rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:
        pass


def _remove_groups(path: str) -> None:
    for where, _, _ in os.walk(path, topdown=False):
        _rmdir(where)


def _take_off(target: str) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        count = sum(line.split()[4] == target for line in file)
    if count:  # the test may have done it
        kernel.umount(target, kernel.MNT_DETACH)


def end(pid: int) -> None:
    """SIGKILL for a process that the test started."""
    os.kill(pid, signal.SIGKILL)
