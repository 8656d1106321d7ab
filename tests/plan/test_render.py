"""The plan for readers: every operation of every sample has a line without holes."""

from __future__ import annotations

import json

import pytest

from ocirun.plan import constants as c
from ocirun.plan import render
from ocirun.plan.ops import HOST, HOST_OPS, INIT, INIT_OPS, Op

from .samples import NAMES, sample


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_complete(name: str) -> None:
    made = sample(name)
    for op in made.ops:
        words = render.phrase(op)
        assert "?" not in words, op
        assert "{" not in words
        assert "\n" not in words + render.details(op)
    lines = render.plan_text(made).splitlines()
    assert len([line for line in lines if line[:4].strip().isdigit()]) == len(made.ops)


@pytest.mark.parametrize("name", NAMES)
def test_reasons_are_shown(name: str) -> None:
    made = sample(name)
    shown = render.plan_text(made)
    for op in made.ops:
        assert not op.why or f"because {op.why}" in shown


@pytest.mark.parametrize("name", NAMES)
def test_json_is_the_record(name: str) -> None:
    made = sample(name)
    assert json.loads(render.json(made)) == json.loads(json.dumps(made.record()))


def test_phrases_name_only_arguments_of_their_operation() -> None:
    class Names(dict[str, str]):
        def __missing__(self, key: str) -> str:
            self.setdefault(key, key)
            return key

    for name, phrase in render._PHRASES.items():
        known = {argument for argument, _ in INIT_OPS[name][1]} if name in INIT_OPS else set(HOST_OPS[name])
        asked = Names()
        phrase.format_map(asked)
        assert set(asked) <= known, name
    assert set(render._PHRASES) == {*INIT_OPS, *HOST_OPS}


@pytest.mark.parametrize(
    ("name", "args", "shown"),
    [
        ("set_mount_attr", {"slot": "m", "set": 3, "clear": 0}, "set=ro,nosuid"),
        ("set_mount_attr", {"slot": "m", "propagation": c.MS_SLAVE | c.MS_REC}, "propagation=rslave"),
        ("unshare", {"flags": c.CLONE_NEWUTS | c.CLONE_NEWPID}, "flags="),
        ("drop_bounding", {"keep": 0, "last": 40}, "keep=none"),
        ("drop_bounding", {"keep": 1 << 5, "last": 40}, "keep=kill"),
        ("make_node", {"root": "r", "path": "/x", "mode": 0o20666, "device": (1, 3), "owner": (0, 0)}, "mode=0666"),
        ("set_time", {"root": "r", "path": "/x", "time": 0}, "time=0ns"),
        ("new_filesystem", {"type": "t", "options": [("a", None), ("b", "c")]}, "options=a,b=c"),
    ],
)
def test_details(name: str, args: dict[str, object], shown: str) -> None:
    assert shown in render.details(Op(name, INIT, "", args))


def test_environment_is_counted_not_shown() -> None:
    op = Op("host_hook", HOST, "", {"kind": "prestart", "index": 0, "path": "/h", "env": ["SECRET=x"]})
    assert "SECRET" not in render.phrase(op) + render.details(op)
