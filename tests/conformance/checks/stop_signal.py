"""Annotations that a runtime acts on."""

from __future__ import annotations

from ..registry import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..bench import Bench


@covers("config.annotations.image.stopSignal.sent")
def stop_signal(bench: Bench) -> None:
    """kill without a signal sends the one that the image names."""
    script = 'for name in TERM USR1 QUIT; do trap "echo $name >/tmp/got; exit" $name; done; echo ready >/tmp/up; while :; do sleep 0.02; done'
    bundle = bench.shell(script)
    bundle.config["annotations"] = {"org.opencontainers.image.stopSignal": "SIGUSR1"}
    bench.launch(bundle)
    bench.eventually_file(bundle, "/tmp/up")
    bench.kill(bundle)
    bench.until(bundle, "stopped")
    assert bundle.read("/tmp/got") == "USR1\n"
