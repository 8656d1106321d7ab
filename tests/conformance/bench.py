"""What a check works with: the runtime's program, bundles, and results that several checks share."""

from __future__ import annotations

import os
import shutil

from live import kernel, process
from live.case import Case, Session
from live.peers import ConsoleSocket

from . import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from live.bundles import Bundle
    from live.process import Result


# The specification names operations, not command lines. Where `delete` alone is the habit of engines, the operation is:
DELETE = {"ocirun": ["--if-stopped"]}


class Place(Session):
    """Private namespaces, tools and image, for one run of the suite on one runtime.

    words   the runtime's program, and arguments that come before all others
    name    ocirun, runc, crun or another, as `--version` begins
    shown   the first line of `--version`
    machine the machine in a few words
    covered directories where a runtime leaves plain directories for cgroups
    """

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(words[0])
        self.words = list(words)
        self.kept: dict[str, tuple[Any, str]] = {}
        scratch = f"{self.top}/version"
        os.mkdir(scratch)
        self.shown = (process.run([*words, "--version"], scratch=scratch).out.splitlines() or ["unknown"])[0]
        self.name = self.shown.split(" ", 1)[0]
        self.machine = host.describe()
        self.covered = _cover_hybrid() if self.name == "crun" else []


def _cover_hybrid() -> list[str]:
    """Put something empty over the v2 hierarchy of a hybrid host, in our own mount namespace.

    crun 1.8 refuses hybrid hosts. With the hierarchy away it takes the place
    for a controller and makes plain directories there, so they are to be ours.
    Gives the places.
    """
    covered = []
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split(" - ") for line in file]
    kinds = {right.split()[0] for _, right in mounts}
    for left, right in mounts:
        if right.split()[0] == "cgroup2" and "cgroup" in kinds:
            point = left.split()[4]
            kernel.umount(point, kernel.MNT_DETACH)
            kernel.mount("nothing", point, "tmpfs")
            covered.append(point)
    return covered


class Bench(Case):
    """One check's own state root, directory and bundles."""

    session: Place

    def _snapshot(self) -> dict[str, frozenset[str]]:
        return {}  # Looking at the whole machine is slow; `watch` does it for the checks that need it.

    def argv(self, *args: str) -> list[str]:
        """The runtime with this check's state root, and the rest."""
        return [*self.session.words, "--root", self.root, *args]

    def watch(self) -> None:
        """Note how the machine is now."""
        self.before = super()._snapshot()

    def assert_untouched(self) -> None:
        """Fail if anything is other than at the time of `watch`."""
        from live import oracle

        found: list[str] = []

        def same() -> bool:
            all_found = oracle.differences(self.before, super(Bench, self)._snapshot())
            covered = [f" {place}/" for place in self.session.covered]
            found[:] = [one for one in all_found if not any(place in one for place in covered)]
            return not found

        try:
            process.eventually(same, "as before", 1.0)
        except AssertionError:
            raise AssertionError("\n".join(found)) from None

    def remove(self) -> None:
        """delete --force for what is left; what the runtime cannot delete, `sweep` clears away."""
        for bundle in self.bundles:
            if os.path.exists(f"{self.root}/{bundle.id}"):
                self.command("delete", "--force", bundle.id)

    def once(self, key: str, make: Callable[[Bench], Any]) -> Any:
        """What `make` gives; it is called for the first check that asks, and fails for all if it fails."""
        kept = self.session.kept
        if key not in kept:
            try:
                kept[key] = make(self), ""
            except AssertionError as error:
                kept[key] = None, str(error)
        value, failure = kept[key]
        assert not failure, failure
        return value

    def plain(self) -> Any:
        """The probe's report of a container that asks for nothing special."""
        return self.once("plain", lambda bench: bench.probe(bench.bundle()))

    def fails(self, bundle: Bundle, *options: str, **how: Any) -> Result:
        """Expect an error from create, or at the latest from start; gives the result that failed."""
        made = self.make("create", bundle, *options, **how)
        if made.code:
            return made
        started = self.command("start", bundle.id)
        assert started.code, "accepted: " + made.report()
        return started

    def has(self, command: str) -> bool:
        """True if the runtime has a command at all."""
        known: bool = self.once(f"has {command}", lambda bench: bench.command(command, "--help").code == 0)
        return known

    def shell_output(self, script: str, change: Callable[[Bundle], object] | None = None) -> str:
        """What a script prints in a container of its own."""
        bundle = self.shell(script)
        if change:
            change(bundle)
        return self.output(bundle)

    def with_terminal(self, bundle: Bundle) -> tuple[Result, int]:
        """create with a console socket; gives the result and the pty master, -1 if none came."""
        path = f"{self.dir}/console{len(os.listdir(self.dir))}"
        console = ConsoleSocket(path)
        try:
            result = self.make("create", bundle, "--console-socket", path)
            return result, console.master() if result.code == 0 else -1
        finally:
            console.close()

    def eventually_file(self, bundle: Bundle, name: str) -> None:
        """Wait until a file is in the root file system."""
        process.eventually(lambda: os.path.exists(f"{bundle.rootfs}{name}"), f"{name} has come")

    def directory(self, name: str) -> str:
        """A new directory of the check's, that anybody may write to."""
        path = f"{self.dir}/{name}"
        os.mkdir(path)
        os.chmod(path, 0o777)
        return path

    def clear(self) -> None:
        """As in Case, and the directories of the bundles, which may be large."""
        super().clear()
        for bundle in self.bundles:
            shutil.rmtree(bundle.path, ignore_errors=True)


def mountinfo(report: Any) -> dict[str, dict[str, Any]]:
    """The mounts of a probe's report by mount point, the topmost where several are on one.

    options  of the mount          kind     type of the file system
    fields   "shared:1" and such   super    options of the file system
    count    how many are there
    """
    found: dict[str, dict[str, Any]] = {}
    for line in report["mountinfo"].splitlines():
        left, _, right = line.partition(" - ")
        words, rest = left.split(), right.split()
        count = found[words[4]]["count"] + 1 if words[4] in found else 1
        found[words[4]] = {
            "options": words[5].split(","),
            "fields": words[6:],
            "kind": rest[0],
            "source": rest[1],
            "super": rest[2].split(","),
            "count": count,
        }
    return found
