"""What is masked in a capsule, and what becomes of one that is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocirun import capsule
from ocirun.errors import UsageError

S = 'S3cr\u00e9t"x\\y of 40 letters and more, with blanks'


def left(config: Any, *texts: str) -> str:
    """What can be read of a config and of texts beside it."""
    return json.dumps(capsule.masked([config, *texts], capsule.secrets_of(config)), ensure_ascii=False)


@pytest.mark.parametrize(
    "config",
    [
        {"process": {"env": [f"A={S}", "PATH=/bin"]}},
        {"process": {"env": [f"LC_TOKEN={S}"]}},
        {"process": {"env": f"A={S}"}},
        {"process": {"env": {"A": S}}},
        {"process": {"env": [{"A": S}]}},
        {"process": {"env": [S]}},
        {"process": {"args": ["app", "--pass", S]}},
        {"process": {"args": ["app", f"--api-key:{S}"]}},
        {"process": {"args": ["app", "-H", f"Authorization: Bearer {S}"]}},
        {"process": {"args": ["sh", "-c", f"export A=b PGPASSWORD={S}"]}},
        {"process": {"args": f"--password={S}"}},
        {"process": {"args": f"app --password {S.replace(' ', '_')} more"}},
        {"process": {"args": ["sh", "-c", f"app --password {S.replace(' ', '_')} more"]}},
        {"hooks": {"poststop": {"path": "/x", "args": ["x", f"token={S}"], "env": [f"A={S}"]}}},
        {"hooks": [{"args": ["x", "--secret", S]}]},
        {"mounts": [{"options": [f"user=a,pass={S.replace(',', ';')}"]}]},
        {"linux": {"seccomp": {"listenerMetadata": S}}},
        {"linux": {"sysctl": {"net.ipv4.tcp_fastopen_key": S}}},
        {"annotations": {"org.example.credentials": S}},
        {"annotations": {"org.example.applied": json.dumps({"name": "DB_PASSWORD", "value": S})}},
    ],
    ids=str,
)
def test_secret(config: Any) -> None:
    assert "letters" not in left(config)


def test_secret_in_an_address() -> None:
    config = {"mounts": [{"source": "https://me:S3cret@host/d"}]}
    assert json.loads(left(config))[0] == {"mounts": [{"source": f"https://me:{capsule.MASK}@host/d"}]}


@pytest.mark.parametrize(
    "text",
    [
        ascii(S),
        json.dumps(S),
        f"must be x, not {S[:20]}...",
        f"must be x, not {ascii(S[:20])[:-1]}...'",
        f"...{S[-20:]} z",
    ],
)
def test_secret_in_a_message(text: str) -> None:
    """However it is escaped, and wherever it was cut."""
    shown = left({"process": {"env": [f"A={S}"]}}, text)
    assert "letters" not in shown
    assert "S3cr" not in shown


def test_many_secrets_in_many_cut_texts() -> None:
    """No more is looked at than the texts, once for all secrets: this ends within seconds."""
    config = {
        "process": {"env": [f"V{number}={number:06}" * 50 for number in range(1000)]},
        "annotations": {f"a{number}": "x..." * 200 for number in range(500)},
    }
    assert json.loads(left(config))[0]["annotations"] == config["annotations"]


def test_the_rest_stays() -> None:
    config = {
        "process": {"env": ["PATH=/bin", "LC_ALL=C.UTF-8", "A=ab"], "args": ["/opt/auth/server", "a: b", "c=d"]},
        "mounts": [{"options": ["mode=755,size=64k"]}],
        "annotations": {"org.example.note": "shown"},
    }
    (shown,) = json.loads(left(config))
    assert shown == config | {"process": config["process"] | {"env": ["PATH=/bin", "LC_ALL=C.UTF-8", "A=***"]}}


def test_a_damaged_one(tmp_path: Any) -> None:
    whole = {
        "format": capsule.FORMAT,
        "ocirun": "1",
        "kernel": "Linux",
        "time": "now",
        "command": "run",
        "id": "a",
        "error": {"message": "wrong", "index": -1},
        "problems": [{"pointer": "/a", "message": "b"}, {"pointer": "/c", "message": "d"}],
        "progress": {"init": {"output": "said"}},
        "plan": {"ops": [{"op": "close", "actor": "init", "args": {"slot": "a"}}], "slots": [], "inherited": 0, "keep": [], "warnings": []},
    }  # fmt: skip
    path = tmp_path / "capsule"

    def told(document: Any) -> str:
        path.write_text(json.dumps(document))
        return capsule.told(str(path))

    assert "wrong" in told(whole)
    for key in whole:
        with pytest.raises(UsageError, match=r"capsule"):
            told({name: value for name, value in whole.items() if name != key})
    for key in ("error", "problems", "progress", "plan"):
        for value in (3, "text", [1, 2], {"a": 1}):
            with pytest.raises(UsageError, match=r"capsule"):
                told(whole | {key: value})
