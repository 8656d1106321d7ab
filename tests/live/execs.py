"""exec in the tests: a container that runs until it is deleted, and the command."""

from __future__ import annotations

import json
import time

import waiting

from . import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

IDLE = ["/bin/sleep", "70000"]


def idle(live: Case, *options: str) -> Bundle:
    """A started container that does nothing."""
    bundle = live.bundle(IDLE)
    live.launch(bundle, *options)
    return bundle


def run(live: Case, bundle: Bundle, *words: str, **how: Any) -> Result:
    """`exec ID WORDS`; options have to be given to `with_options`."""
    return live.command("exec", bundle.id, *words, **how)


def with_options(live: Case, bundle: Bundle, options: list[str], *words: str, **how: Any) -> Result:
    """`exec OPTIONS ID WORDS`."""
    return live.command("exec", *options, bundle.id, *words, **how)


def shell(live: Case, bundle: Bundle, script: str, *options: str, **how: Any) -> str:
    """What a script prints that is to succeed."""
    return with_options(live, bundle, list(options), "/bin/sh", "-c", script, **how).ok().out


def probe(live: Case, bundle: Bundle, *options: str, **how: Any) -> Any:
    """The probe's report."""
    return with_options(live, bundle, list(options), "/probe", **how).ok().json()


def write(live: Case, value: Any, name: str = "process.json") -> str:
    """A process description in a file; gives its path.  Bytes are written as they are."""
    path = f"{live.dir}/{name}"
    with open(path, "wb") as file:
        file.write(value if isinstance(value, bytes) else json.dumps(value).encode())
    return path


def described(live: Case, bundle: Bundle, value: Any, *options: str, **how: Any) -> Result:
    """`exec --process FILE ID`."""
    return with_options(live, bundle, ["--process", write(live, value), *options], **how)


def read(path: str) -> str:
    """A file of this machine."""
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def ends_within(proc: subprocess.Popen[bytes], limit: float) -> bool:
    """Whether a command ends by itself within a time; it is not killed if not."""
    end = time.monotonic() + limit * waiting.PATIENCE
    while proc.poll() is None and time.monotonic() < end:
        process.reap()
        time.sleep(0.005)
    return proc.returncode is not None


def no_helper(live: Case) -> None:
    """Fail when a process of the runtime is left."""
    left = [pid for pid in process.descendants() if not process.is_zombie(pid) and live.root in process.describe(pid)]
    assert not left, [process.describe(pid) for pid in left]
