"""The measure of an engine: what people feel of the runtime below it."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack

from engines.kubernetes import images, programs
from engines.kubernetes.nerdctl import Nerdctl
from engines.kubernetes.node import COVERED, Node
from engines.machine import Machine
from engines.runtime import Runtime

from . import runtimes
from .changes import MORE
from .measures import MILLISECONDS, Series, turns, without_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .runtimes import Place

NERDCTL = "nerdctl run --rm"


def nerdctl(place: Place, runs: int) -> list[Series]:
    """`nerdctl run --rm` of a program that ends at once, by one containerd with each runtime in turn."""
    try:
        built = programs.ready("containerd", "containerd-shim-runc-v2", "crictl", "ctr", "nerdctl")
    except programs.NoProgramsError as error:
        place.note(f"{NERDCTL} is left out: {error}")
        return []
    series = Series(NERDCTL, group=MORE)
    own = place.runtimes[0]
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory(prefix="ocirun-engines-", dir="/var/tmp"))
        images.publish(f"{home}/images", programs.shell())
        machine = stack.enter_context(Machine(name="bench", runtime=Runtime(own.name, own.program), covered=COVERED))
        node = Node(machine, Runtime(own.name, own.program), built, f"{home}/images")
        node.start()
        client = Nerdctl(node)

        def once(runtime: runtimes.Runtime) -> None:
            # A name in /usr/local/bin: containerd takes one without a slash for the shim's.
            client.path = f"/usr/local/bin/{runtime.name}"
            done = client.run("true")
            if done.code:
                raise runtimes.Failed(f"{NERDCTL} ends with {done.code}: {done.err.strip()[-150:]}")
            series.add(runtime, done.seconds * MILLISECONDS)

        for runtime in place.runtimes[1:]:
            os.symlink(runtime.program, f"{machine.store}/usr/local/bin/{runtime.name}")
        turns(place, place.runtimes, max(5, runs // 2), 0.0, once)
    place.note(f"nerdctl is {programs.NERDCTL}, its containerd {programs.CONTAINERD}")
    return [without_first(series)]
