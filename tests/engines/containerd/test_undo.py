"""The section Undo of docs/engines/containerd.md."""

from __future__ import annotations

import os
import shutil

import pytest

from .cri import Client, Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .daemon import Containerd


@pytest.fixture
def undone(ctr: Containerd) -> Iterator[Containerd]:
    """containerd without our sections, and ocirun gone; afterwards all is back."""
    if ctr.runtime.name != "ocirun" or not (ctr.machine.root or shutil.which("runc")):
        pytest.skip("it is about ocirun, and runc which is left")
    lines = ctr.settings.splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if "default_runtime_name" in line)
    places = [f"{ctr.machine.store}/usr/local/bin/{name}" for name in ("ocirun", "runc")]
    away = [place for place in places if os.path.lexists(place)]
    ctr.stop()
    ctr.settings = "".join(lines[:first])
    for place in away:
        os.rename(place, f"{place}.away")
    try:
        ctr.start()
        yield ctr
        ctr.stop()
    finally:
        del ctr.settings
        for place in away:
            os.rename(f"{place}.away", place)
    ctr.start()


def test_pods_are_of_runc(undone: Containerd) -> None:
    with Client(f"/proc/{undone.machine.pid}/root/run/containerd/containerd.sock") as client:
        pod = client.pod()
        container = client.container(pod, ("sleep", "1000"))
        assert client.output(container, "echo", "hi") == "hi\n"
        client.remove(pod)
        with pytest.raises(Failed, match='no runtime for "handler"'):
            client.pod("handler")
        client.clear()
