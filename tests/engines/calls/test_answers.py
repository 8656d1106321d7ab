"""What each command answers in each state of a container: status and words that engines look for, as runc's are.

Where runc is installed the table is held against it as well, so that it says what engines were made for.
"""

from __future__ import annotations

import json
import shlex
import shutil

import pytest

from .bare import SLEEP, Bare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = "container does not exist"
EMPTY = "no list or an empty one"
#: State of the container; call, in which ID is replaced; status; words of the output.
ANSWERS = [
    ("unknown", "state ID", 1, GONE),
    ("unknown", "start ID", 1, GONE),
    ("unknown", "kill ID 9", 1, GONE),
    ("unknown", "kill --all ID 9", 1, GONE),
    ("unknown", "pause ID", 1, GONE),
    ("unknown", "resume ID", 1, GONE),
    ("unknown", "ps --format json ID", 1, GONE),
    ("unknown", "update --resources - ID", 1, GONE),
    ("unknown", "delete ID", 1, GONE),
    ("unknown", "delete --force ID", 0, ""),
    ("unknown", "exec ID true", 255, f"exec failed: {GONE}"),
    ("created", "create --bundle BUNDLE ID", 1, "container with given ID already exists"),
    ("created", "run --bundle BUNDLE ID", 1, "container with given ID already exists"),
    ("created", "exec ID echo hi", 0, "hi"),
    ("created", "ps --format json ID", 0, "["),
    ("created", "pause ID", 0, ""),
    ("created", "kill ID 0", 0, ""),
    ("created", "kill ID TERM", 0, ""),
    ("created", "delete ID", 0, ""),
    ("running", "start ID", 1, "cannot start an already running container"),
    ("running", "delete ID", 1, "cannot delete container {id} that is not stopped: running"),
    ("running", "resume ID", 1, "container not paused"),
    ("running", "kill ID nosuch", 1, "unknown signal"),
    ("running", "kill ID usr1", 0, ""),
    ("running", "kill ID SIGUSR1", 0, ""),
    ("running", "kill ID 0", 0, ""),
    ("running", "kill ID", 0, ""),
    ("running", "ps --format json ID", 0, "["),
    ("running", "exec ID sh -c 'exit 5'", 5, ""),
    ("running", "exec ID nosuchcmd", 255, "executable file not found in $PATH"),
    ("running", "exec ID /no/such", 255, "no such file or directory"),
    ("running", "exec ID /etc/passwd", 255, "permission denied"),
    ("running", "exec --cwd /nosuch ID true", 255, "chdir to cwd"),
    ("running", "exec --tty --detach ID true", 255, "will detach without setting console socket"),
    ("running", "update --resources - ID", 0, ""),
    ("paused", "pause ID", 1, "container not running"),
    ("paused", "start ID", 1, "cannot start a container in the paused state"),
    ("paused", "exec ID true", 255, "cannot exec in a paused container"),
    ("paused", "delete ID", 1, "that is not stopped: paused"),
    ("paused", "kill ID 9", 0, ""),
    ("paused", "delete --force ID", 0, ""),
    ("stopped", "start ID", 1, "cannot start a container that has stopped"),
    ("stopped", "kill ID 9", 1, "container not running"),
    ("stopped", "kill --all ID 9", 0, ""),
    ("stopped", "pause ID", 1, "container not"),
    ("stopped", "resume ID", 1, "container not paused"),
    ("stopped", "exec ID true", 255, "cannot exec in a stopped container"),
    ("stopped", "ps --format json ID", 0, EMPTY),
    ("stopped", "update --resources - ID", 1, "container not running"),
    ("stopped", "state ID", 0, '"status": "stopped"'),
    ("stopped", "delete ID", 0, ""),
    ("none", "create --bundle /nosuch ID", 1, "no such file or directory"),
    ("none", "create --bundle BUNDLE a/b", 1, "invalid container ID format"),
    ("none", "create --bundle BUNDLE ..", 1, "invalid container ID format"),
    ("none", "run --bundle BUNDLE ID", 9, ""),
    ("none", "nosuch", 3, "nosuch"),
    ("none", "--nosuch state ID", 1, "Usage"),
    ("none", "state --nosuch ID", 1, "Usage"),
    ("none", "list --format json", 0, EMPTY),
]  # fmt: skip


@pytest.fixture(params=["tested", "runc"])
def answering(request: pytest.FixtureRequest, bare: Bare) -> Iterator[Bare]:
    """The runtime under test, and runc where it is installed."""
    path = bare.path if request.param == "tested" else shutil.which("runc")
    if path is None:
        pytest.skip("needs runc")
    made = Bare(bare.machine, path, bare.rootfs, f"/run/calls-{request.param}")
    yield made
    made.clear()


@pytest.mark.parametrize("state", ["unknown", "created", "running", "paused", "stopped", "none"])
def test_answers(answering: Bare, state: str) -> None:
    wrong = []
    bundle = answering.bundle()
    for wanted, line, code, words in ANSWERS:
        if wanted != state:
            continue
        answering.call("delete", "--force", bundle.id)
        if state in ("created", "running", "paused", "stopped"):
            bundle.config["process"]["args"] = ["true"] if state == "stopped" else list(SLEEP)
            answering("create", "--bundle", bundle.save().path, bundle.id)
        else:
            bundle.config["process"]["args"] = ["sh", "-c", "exit 9"]
            bundle.save()
        if state in ("running", "paused", "stopped"):
            answering("start", bundle.id)
        if state == "paused":
            answering("pause", bundle.id)
        if state == "stopped":
            answering.until(bundle, "stopped")
        names = {"ID": bundle.id, "BUNDLE": bundle.path}
        call = [names.get(word, word) for word in shlex.split(line)]
        result = answering.call(*call, stdin=b"{}")
        if words == EMPTY:
            right = not json.loads(result.out)
        else:
            right = words.replace("{id}", bundle.id) in result.out + result.err
        if result.code != code or not right:
            wrong.append(f"{line}: should be {code} {words!r}: {result}")
    assert not wrong, "\n".join(wrong)
