"""The suite can fail: runtimes that break one rule each are caught by the id of that rule.

Each is ocirun behind a program that changes config.json, a command or an answer.
"""

from __future__ import annotations

import os
import sys

import pytest

from .conftest import OCIRUN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any


# argv without the program; config: the dict, or None where the command has no bundle; `answer` is called for the output.
FRONT = """\
#!{python} -I
import json, os, subprocess, sys
argv = sys.argv[1:]
command = next((word for word in argv if word in ("create", "start", "state", "kill", "delete", "run", "exec", "features")), "")
config, path = None, ""
if command in ("create", "run") and "--bundle" in argv:
    path = argv[argv.index("--bundle") + 1] + "/config.json"
    try:
        with open(path) as file:
            before = file.read()
        config = json.loads(before)
    except (OSError, ValueError):
        pass
answer = None
status = None
START = lambda argv: subprocess.run([{program!r}, *argv[:argv.index("create")], "start", argv[-1]]).returncode
{body}
if config is not None:
    with open(path, "w") as file:
        json.dump(config, file)
if status is None:
    if answer is None and config is None:
        os.execv({program!r}, [{program!r}, *argv])
    done = subprocess.run([{program!r}, *argv], stdout=subprocess.PIPE if answer else None)
    if answer:
        sys.stdout.write(answer(done.stdout.decode()))
    status = done.returncode
if config is not None:
    with open(path, "w") as file:
        file.write(before)
raise SystemExit(status)
"""

# What the front does -> the requirements that must be found broken by it
BROKEN: dict[str, tuple[str, list[str]]] = {
    "root never read-only": ("if config: config.get('root', {}).pop('readonly', None)", ["config.root.readonly"]),
    "mounts in reverse order": ("if config: config['mounts'] = config['mounts'][:4] + config['mounts'][:3:-1]", ["config.mounts.order"]),
    "nosuid forgotten": (
        "for one in (config or {}).get('mounts', []): one['options'] = [w for w in one.get('options', []) if w != 'nosuid']",
        ["config.mounts.options.nosuid"],
    ),
    "masks of relative paths made absolute": (
        "if config: config['linux']['maskedPaths'] = ['/' + one.lstrip('/') for one in config['linux'].get('maskedPaths', [])]",
        ["config-linux.maskedPaths.absolute"],
    ),
    "limits left out": ("if config: config['process'].pop('rlimits', None)", ["config.process.rlimits.soft", "config.process.rlimits.hard", "config.process.rlimits.duplicate"]),
    "no network namespace": (
        "if config: config['linux']['namespaces'] = [one for one in config['linux']['namespaces'] if one.get('type') != 'network']",
        ["config-linux.namespaces.network", "config-linux.namespaces.path.join"],
    ),
    "hooks backwards": (
        "for kind in (config or {}).get('hooks', {}): config['hooks'][kind].reverse()",
        ["config.hooks.order"],
    ),
    "poststop hooks forgotten": ("if config: config.get('hooks', {}).pop('poststop', None)", ["runtime.lifecycle.poststop", "config.hooks.poststop.when"]),
    "the umask of its own": ("os.umask(0o22)", ["config.process.user.umask.unset"]),
    "an oom score of its own": ("if config: config['process'].setdefault('oomScoreAdj', 77)", ["config.process.oomScoreAdj.unset"]),
    "device rules backwards": (
        "if config: config['linux'].get('resources', {}).get('devices', []).reverse()",
        ["config-linux.resources.devices.order"],
    ),
    "always TERM": ("if command == 'kill': argv = [*argv[:argv.index('kill') + 2], 'TERM']", ["runtime.operations.kill.signal"]),
    "delete kills": ("if command == 'delete': argv.append('--force')", ["runtime.operations.delete.running"]),
    "delete does nothing": ("if command == 'delete' and '--force' not in argv: status = 0", ["runtime.lifecycle.destroy", "runtime.operations.delete.resources"]),
    "start says it is well": ("if command == 'start': subprocess.run([{program!r}, *argv]); status = 0", ["runtime.operations.start.not-created", "runtime.operations.start.no-id"]),
    "create runs the program": (
        "if command == 'create': status = subprocess.run([{program!r}, *argv]).returncode or START(argv)",
        ["runtime.lifecycle.not-run", "runtime.operations.create.args", "runtime.state.status"],
    ),
    "the status is always running": (
        "if command == 'state': answer = lambda text: text.replace('\"stopped\"', '\"running\"').replace('\"created\"', '\"running\"')",
        ["runtime.state.status"],
    ),
    "a process id of its own": ("if command == 'state': answer = lambda text: text.replace('\"pid\": ', '\"pid\": 1')", ["runtime.state.pid"]),
    "errors are no errors": (
        "if command in ('create', 'start'): subprocess.run([{program!r}, *argv]); status = 0",
        ["runtime.lifecycle.unable", "config.valid-values", "runtime.operations.create.id-taken"],
    ),
    "features of the future": (
        "if command == 'features': answer = lambda text: text.replace('\"hooks\"', '\"teleport\": true, \"hooks\"', 1)",
        ["features.ociVersionMax.properties"],
    ),
}  # fmt: skip


def front(path: Path, body: str) -> str:
    """Write the program; gives its path."""
    text = FRONT.replace("{python}", os.path.realpath(sys.executable)).replace("{body}", body)
    path.write_text(text.replace("{program!r}", repr(OCIRUN)), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_an_honest_front_changes_nothing(tmp_path: Path, suite: Callable[..., dict[str, dict[str, Any]]]) -> None:
    ids = sorted({one for _, ids in BROKEN.values() for one in ids})
    found = suite([front(tmp_path / "front", "pass")], ids)
    wrong = {one: found[one]["reason"] for one in ids if found[one]["result"] != "passed"}
    assert not wrong


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_runtime_is_caught(what: str, tmp_path: Path, suite: Callable[..., dict[str, dict[str, Any]]]) -> None:
    body, ids = BROKEN[what]
    found = suite([front(tmp_path / "front", body)], ids)
    missed = [one for one in ids if found[one]["result"] != "failed"]
    assert not missed
