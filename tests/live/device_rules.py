"""Device rules that change under a running container: what its program does meanwhile, and what is seen from inside."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from .bundles import Bundle

    class Maker(Protocol):
        """What makes bundles of a shell's script."""

        def __call__(self, script: str) -> Bundle: ...


# /dev/kmsg, which the program has, and /dev/port, which comes and goes.
_KEPT: dict[str, Any] = {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "rw"}
_MORE: dict[str, Any] = {"allow": True, "type": "c", "major": 1, "minor": 4, "access": "r"}
ALWAYS: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}, _KEPT]
BOTH = [*ALWAYS, _MORE]
ALL: list[dict[str, Any]] = [{"allow": True}]
# Arguments of `exec` behind the id; what they write goes to `seen`.
LOOK = ["/bin/sh", "-c", "while [ ! -e /dev/p ]; do sleep 0.01; done; (: </dev/p) 2>&1; echo end"]


def opening(make: Maker) -> Bundle:
    """A bundle whose program opens the one device all the time, and ends when it may not."""
    bundle = make("[ ! -w / ] || exec 2>/said; mknod /dev/k c 1 11; mknod /dev/p c 1 4; while : >/dev/k; do :; done")
    for kind in bundle.process["capabilities"].values():
        kind += ["CAP_MKNOD", "CAP_SYS_RAWIO"]
    bundle.linux["resources"] = {"devices": ALWAYS}
    return bundle


def said(bundle: Bundle) -> str:
    """What the shell of `opening` has said of its end."""
    with open(f"{bundle.rootfs}/said", encoding="ascii") as file:
        return f"the program has said {file.read()!a}"


def seen(output: str) -> bool:
    """Whether the other device may be opened, of the output of LOOK."""
    assert output.endswith("end\n")
    return "not permitted" not in output
