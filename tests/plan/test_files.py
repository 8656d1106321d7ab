"""Files and secrets of a config: what the annotations become, and what is refused."""

from __future__ import annotations

import json

import pytest

from ocirun.cgroup import choose
from ocirun.errors import ConfigError
from ocirun.plan import render
from ocirun.plan.builder import Facts, Request
from ocirun.plan.files_plan import build_put
from ocirun.plan.mounts import files, upper

from . import rules, samples

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op

TMPFS = {"destination": "/tmp", "type": "tmpfs"}


def config(annotations: dict[str, str], *mounts: dict[str, Any]) -> dict[str, Any]:
    process = {"args": ["/bin/true"], "cwd": "/", "user": {"uid": 7, "gid": 8}}
    linux = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    root = {"path": "rootfs"}
    return {
        "ociVersion": "1.2.0",
        "root": root,
        "process": process,
        "linux": linux,
        "mounts": list(mounts),
        "annotations": annotations,
    }


def operations(data: dict[str, Any], name: str) -> list[Op]:
    made = samples.plan(data)
    rules.check(made)
    assert render.plan_text(made)
    return [op for op in made.ops if op.pointer == files.pointer(name)]


def listed(*paths: str, mode: int = 0o644) -> dict[str, str]:
    return {files.FILES: json.dumps([{"path": path, "mode": mode} for path in paths])}


def test_files() -> None:
    (made,) = operations(config(listed("/tmp/a/b"), TMPFS), files.FILES)
    assert (made.name, made.actor) == ("put_file", "init")
    assert made.args == {
        "root": "root",
        "path": "/tmp/a/b",
        "mode": 0o644,
        "owner": (7, 8),
        "content": "file /tmp/a/b",
    }


def test_secrets() -> None:
    made = operations(config({files.SECRETS: '["a", "b"]'}), files.SECRETS)
    assert [op.name for op in made] == [
        *("new_filesystem", "put_file", "put_file", "set_mount_attr", "open_path", "attach", "close"),
    ]
    assert [op.args["path"] for op in made[1:3]] == ["/a", "/b"]
    assert made[1].args["mode"] == 0o400
    assert made[4].args["path"] == "/run/secrets"


BIND = {"destination": "/tmp/share", "type": "bind", "source": "/srv", "options": ["rbind"]}
DISK = {upper.UPPER: "size=1M"}


@pytest.mark.parametrize(
    ("path", "mounts", "more"),
    [
        ("/tmp/x", [TMPFS], {}),
        ("/x", [], DISK),
        ("/tmp/share/deep/x", [TMPFS, BIND, {"destination": "/tmp/share/deep", "type": "tmpfs"}], {}),
        ("/tmpx", [TMPFS], DISK),
        ("/tmp/x", [BIND | {"destination": "/tmp"}, TMPFS], {}),
    ],
)
def test_places(path: str, mounts: list[dict[str, Any]], more: dict[str, str]) -> None:
    assert operations(config({**listed(path), **more}, *mounts), files.FILES)


@pytest.mark.parametrize(
    ("path", "mounts", "more"),
    [
        ("/x", [TMPFS], {}),
        ("/tmp/share/x", [TMPFS, BIND], DISK),
        ("/proc/x", [{"destination": "/proc", "type": "proc"}], DISK),
        ("/tmp", [TMPFS], DISK),
        ("/tmp/x", [TMPFS | {"options": ["bind"], "source": "/srv"}], DISK),
        ("/tmp/x", [TMPFS, BIND | {"destination": "/tmp"}], DISK),
    ],
)
def test_places_that_are_not_the_containers_alone(
    path: str, mounts: list[dict[str, Any]], more: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        samples.plan(config({**listed(path), **more}, *mounts))
    assert caught.value.problems[0].pointer == files.pointer(files.FILES)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((files.FILES, text) for text in ("", "[", "{}", "[]", "[1]", '[{"path": "/x"}]', '["/x"]')),
        *((files.FILES, json.dumps([{"path": path, "mode": 1}])) for path in ("x", "/", "/a/..", "/a/", 3)),
        *((files.FILES, json.dumps([{"path": "/tmp/x", "mode": mode}])) for mode in (-1, 0o10000, "644", None)),
        *((files.SECRETS, json.dumps([secret])) for secret in ("", ".", "..", "a/b", 3, "a\0")),
        (files.SECRETS, '"x"'),
    ],
)
def test_values_that_cannot_be(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        samples.plan(config({name: text, **DISK}, TMPFS))
    assert caught.value.problems[0].pointer == files.pointer(name)


def put(*entries: tuple[str, str | None, int | None]) -> list[tuple[str, str, int | None]]:
    """What is done, to which path, with which time."""
    where = samples.layout()
    group = choose.new_driver(where, cgroups_path="", container_id="c", rootless=False)
    request = Request(container_id="c", bundle="/bundle", directory="", detach=False)
    given = [(path, 0o755, (0, 0), what, time) for path, what, time in entries]
    made = build_put(config({}), Facts(layout=where), request, group, pid=42, foreign=None, entries=given)
    return [(op.name, op.args["path"], op.args["time"]) for op in made.ops if "time" in op.args]


def test_directories_get_their_time_at_the_end() -> None:
    """Those that something is put into, also into one that the archive does not name; the top has no time."""
    entries = [("/w", None, None), ("/w/a", None, 1), ("/w/b", None, 2), ("/w/b/f", "f", 3), ("/w/c/d/f", "f", 4)]
    assert put(*entries, ("/w/c", None, 5), ("/w/b", None, 6)) == [
        ("put_directory", "/w", None),
        ("put_directory", "/w/a", 1),
        ("put_directory", "/w/b", 2),
        ("put_file", "/w/b/f", 3),
        ("put_file", "/w/c/d/f", 4),
        ("put_directory", "/w/c", 5),
        ("put_directory", "/w/b", 6),
        ("set_time", "/w/b", 6),
        ("set_time", "/w/c", 5),
    ]
    assert put(("/x", "f", None)) == [("put_file", "/x", None)]
