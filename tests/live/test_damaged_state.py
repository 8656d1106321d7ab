"""State files damaged at random: no command fails otherwise than with an error of its own, `delete --force` removes the
container, and nothing of anybody else's is touched.

The commands are called in this process: a container is damaged, asked for everything, and deleted, some hundred
times.  A round is made again by its number alone.
"""

from __future__ import annotations

import json
import os
import random
import signal

import pytest

from ocirun import Container, CreateOptions, OcirunError, delete
from ocirun.containers import list_states

from . import oracle, process
from .test_owner import removed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .case import Case

FILES = ("state.json", "spare", "config.json", "progress", "resources.json", "usage.json", "start")
ROUNDS = 25
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**63, 2**70, 1.5, 1e300),
    *("", ".", "..", "../victim", "/", "/proc", "/sys/fs/cgroup", "a\0b", "\ud800", "x" * 5000, "v1", "v2", "systemd"),
    *([], [1], [[]], ["/"], {}, {"a": 1}, {"driver": "v1"}, {"driver": "systemd"}),
)


def damaged_json(dice: random.Random, text: bytes) -> bytes:
    """A document with some of its values changed, moved or left out."""
    value = json.loads(text)
    for _ in range(dice.choice((1, 1, 2, 5))):
        places: list[tuple[Any, Any]] = []
        queue = [value]
        while queue:
            node = queue.pop()
            if isinstance(node, dict | list):
                keys = list(node) if isinstance(node, dict) else range(len(node))
                places += [(node, key) for key in keys]
                queue += [node[key] for key in keys]
        if not places:
            break
        node, key = dice.choice(places)
        how = dice.randrange(4)
        if how == 0:
            del node[key]
        elif how == 1:
            other, there = dice.choice(places)
            try:
                node[key] = json.loads(json.dumps(other[there]))
            except (KeyError, IndexError):
                node[key] = None
        else:
            node[key] = dice.choice(ODD)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def damaged_bytes(dice: random.Random, text: bytes) -> bytes:
    """The same bytes, cut, changed or repeated."""
    how, at = dice.randrange(5), dice.randrange(len(text) + 1)
    if how == 0:
        return text[:at]
    if how == 1:
        return text[:at] + dice.randbytes(dice.choice((1, 4, 100))) + text[at + 1 :]
    if how == 2:
        return text[:at] + text
    if how == 3:
        return dice.randbytes(dice.choice((0, 1, 100, 5000)))
    return b"\0" * len(text)


def damage(dice: random.Random, directory: str, name: str, canary: str) -> None:
    """Spoil one file of a container's state."""
    path = f"{directory}/{name}"
    linked = name == "spare"
    content = b""
    if os.path.islink(path):
        content = os.fsencode(os.readlink(path))
    elif os.path.isfile(path):
        with open(path, "rb") as file:
            content = file.read()
    if os.path.lexists(path):
        os.unlink(path)
    how = dice.randrange(10)
    if how == 0:
        return
    if how == 1:
        os.makedirs(f"{path}/a/b/c")
    elif how == 2:
        os.symlink(canary, path)
    elif how == 3:
        os.mkfifo(path)
    else:
        is_json = content[:1] in (b"{", b"[")
        spoilt = (damaged_json if is_json and how > 5 else damaged_bytes)(dice, content)
        if linked and spoilt and b"\0" not in spoilt and len(spoilt) < 4096:
            os.symlink(spoilt, os.fsencode(path))
        else:
            with open(path, "wb") as file:
                file.write(spoilt)


def ask(root: str, name: str) -> None:
    """Everything that commands ask of a container, and what they do to it short of removing it."""
    container = Container.load(name, root=root)
    steps: tuple[Callable[[], Any], ...] = (
        container.state,
        container.status,
        container.pids,
        container.usage,
        container.stats,
        container.base_process,
        lambda: container.update({"pids": {"limit": 100}}),
        container.pause,
        container.resume,
        lambda: container.kill(0, all=True),
        container.start,
        lambda: container.run(["/bin/true"], timeout=5),
        container.kill,
        lambda: container.wait(timeout=0),
    )
    for step in steps:
        try:
            step()
        except (OcirunError, TimeoutError):
            continue


@pytest.mark.parametrize("seed", range(6))
def test_random_damage(live: Case, seed: int) -> None:
    victim = live.bundle(["/bin/sleep", "600"])
    live.launch(victim)
    os.mkdir(f"{live.dir}/victim")
    canary = list(oracle.tree(live.canary))
    for number in range(ROUNDS):
        dice = random.Random(seed * ROUNDS + number)
        bundle = live.bundle(["/bin/sleep", "600"])
        bundle.linux["namespaces"] = [
            one for one in bundle.linux["namespaces"] if dice.random() < 0.8 or one["type"] != "pid"
        ]
        bundle.hook("poststop", "true")
        bundle.save()
        made = Container.create(bundle.id, root=live.root, options=CreateOptions(bundle=bundle.path, stdio=_null()))
        if dice.random() < 0.7:
            made.start()
        if dice.random() < 0.3:
            made.update({"pids": {"limit": 50}})
        if dice.random() < 0.3:
            os.kill(made.pid, signal.SIGKILL)
        pid, groups = made.pid, made.cgroup.directories()
        for name in dice.sample(FILES, dice.choice((1, 1, 2, 3))):
            damage(dice, f"{live.root}/{bundle.id}", name, f"{live.canary}/secret")
        where = f"round {seed * ROUNDS + number}"
        try:
            ask(live.root, bundle.id)
        except OcirunError:
            pass
        list_states(live.root, warn=lambda text: None)
        try:
            delete(bundle.id, root=live.root)
        except OcirunError:
            pass
        delete(bundle.id, root=live.root, force=True)
        assert not os.path.lexists(f"{live.root}/{bundle.id}"), where
        # Where both records are spoilt, nobody knows of these any more.
        _end(pid, groups)
    assert live.status(victim) == "running"
    assert list(oracle.tree(live.canary)) == canary
    assert os.listdir(f"{live.dir}/victim") == []
    live.delete(victim, "--force")
    live.assert_clean()


def _null() -> tuple[int, int, int]:
    fd = os.open("/dev/null", os.O_RDWR)
    _OPEN.append(fd)
    return fd, fd, fd


_OPEN: list[int] = []


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    while _OPEN:
        os.close(_OPEN.pop())


def _end(pid: int, groups: list[tuple[str, str]]) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    for _, path in groups:
        process.eventually(lambda path=path: removed(path), f"{path} is empty")  # type: ignore[misc]
