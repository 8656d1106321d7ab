"""What the audit finds: one row for each kind of mistake."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from config.samples import docker, full, minimal
from config.test_schema import mutants
from hypothesis import given, settings

from check.rootfs import make
from ocirun.audit import schema
from ocirun.audit.bundle import audit
from ocirun.audit.findings import CONFIG, ERROR, HOST, MOUNTS, NOTE, PEERS, SCHEMA, WARNING
from ocirun.container import CreateOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ocirun.audit.findings import Audit

    Change = Callable[[dict[str, Any]], object]


def base() -> dict[str, Any]:
    """A config without any finding."""
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
        "mounts": [{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "size=1m"]}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]},
    }


def look(config: object, bundle: Path, *, keep: bool = False, **more: Any) -> Audit:
    """The audit of a config, given as a value or as bytes, in a bundle that has a rootfs with /bin/true.

    keep   the rootfs is there already, as the test wants it
    """
    if not keep:
        make(bundle / "rootfs")
    raw = config if isinstance(config, bytes) else json.dumps(config).encode()
    options = CreateOptions(bundle=str(bundle), cgroup_manager="disabled")
    return audit(raw, path="config.json", bundle=str(bundle), root="/run/x", options=options, **more)


def rows(result: Audit) -> set[tuple[str, str, str]]:
    """(severity, source, pointer) of the findings."""
    return {(finding.severity, finding.source, finding.pointer) for finding in result.findings}


def test_nothing_to_say(tmp_path: Path) -> None:
    result = look(base(), tmp_path)
    assert result.findings == []
    assert result.record() == {
        "path": "config.json", "valid": True, "hostAsked": True, "errors": 0, "warnings": 0, "notes": 0, "findings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "severity", "source", "pointer", "words"),
    [
        (lambda c: c["process"].update(args=[]), ERROR, CONFIG, "/process/args", "at least 1"),
        (lambda c: c["process"]["user"].update(uid="0"), ERROR, CONFIG, "/process/user/uid", "the string"),
        (lambda c: c.update(hostname="x"), ERROR, CONFIG, "/hostname", "uts namespace"),
        (lambda c: c["root"].update(readOnly=True), WARNING, CONFIG, "/root/readOnly", "did you mean readonly?"),
        (lambda c: c.update(hostnam="x"), WARNING, CONFIG, "/hostnam", "did you mean hostname?"),
        (lambda c: c.update(rlimits=[]), WARNING, CONFIG, "/rlimits", "the spec has it in /process/rlimits"),
        (lambda c: c.update({"a/b": 1}), WARNING, CONFIG, "/a~1b", "not a key of the spec"),
        (lambda c: c["mounts"][0].update(options=["nosiud"]), WARNING, MOUNTS, "/mounts/0/options/0", "nosuid"),
        (lambda c: c["mounts"][0].update(options=["\n"]), ERROR, MOUNTS, "/mounts/0/options/0", "newline"),
        (lambda c: c["mounts"][0].update(type="bind"), ERROR, MOUNTS, "/mounts/0/type", "no file system bind"),
        (lambda c: c["mounts"][0].update(options=["bind", "sync"]), WARNING, MOUNTS, "/mounts/0/options/1", "no effect"),
        (lambda c: c["mounts"][0].update(destination="/"), ERROR, CONFIG, "/mounts/0/destination", "cannot cover"),
        (lambda c: c["root"].update(path="nowhere"), ERROR, HOST, "/root/path", "no such file"),
        (lambda c: c["root"].update(path="config.txt"), ERROR, HOST, "/root/path", "not a directory"),
        (lambda c: c["process"]["env"].append("HOME="), NOTE, PEERS, "/process/env/1", "crun leaves HOME empty"),
        (lambda c: c.pop("process"), NOTE, CONFIG, "/process", "`start` has nothing to run"),
        (lambda c: c["process"].pop("user"), NOTE, CONFIG, "/process/user", "uid 0 and gid 0"),
        (lambda c: c["process"]["user"].pop("gid"), NOTE, CONFIG, "/process/user/gid", "taken for 0"),
        (lambda c: c["process"].update(user={"uid": None, "gid": 0}), NOTE, CONFIG, "/process/user/uid", "taken for 0"),
        (lambda c: c["process"].update(ioPriority={"class": "IOPRIO_CLASS_IDLE"}), NOTE, CONFIG, "/process/ioPriority/priority", "one level"),
        (lambda c: c["linux"].update(rootfsPropagation=""), NOTE, CONFIG, "/linux/rootfsPropagation", "taken for unset"),
    ],
)  # fmt: skip
def test_findings(tmp_path: Path, change: Change, severity: str, source: str, pointer: str, words: str) -> None:
    (tmp_path / "config.txt").write_text("")
    (tmp_path / "tmpfs").mkdir()
    config = base()
    change(config)
    result = look(config, tmp_path)
    found = [finding for finding in result.findings if finding.source == source and finding.pointer == pointer]
    assert [finding.severity for finding in found] == [severity], result.findings
    assert words in found[0].message
    # Nothing else but what other runtimes make of it.
    assert {row for row in rows(result) if row[1] != PEERS} <= {(severity, source, pointer)}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the document is empty"),
        (b"{", "line 1"),
        (b'{"a": 1, "a": 2}', "given twice"),
        (b"{} x", "text after the end"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[]", "must be an object"),
        (b"1" * 5000, "number"),
        (b"[" * 100000, "nested too deep"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b" " * ((16 << 20) + 1), "16 MiB"),
    ],
)
def test_no_config(tmp_path: Path, raw: bytes, words: str) -> None:
    result = look(raw, tmp_path)
    (error,) = (finding for finding in result.findings if finding.severity == ERROR)
    assert words in error.message
    assert error.pointer == ""


def test_a_root_that_is_thrown_away(tmp_path: Path) -> None:
    config = base()
    config["annotations"] = {"org.ocirun.root.upper": "size=1M"}
    found = rows(look(config, tmp_path))
    assert (NOTE, CONFIG, "/annotations/org.ocirun.root.upper") in found
    config["annotations"] = {"org.ocirun.root.upper": "size=0"}
    assert (ERROR, CONFIG, "/annotations/org.ocirun.root.upper") in rows(look(config, tmp_path))


def test_everything_at_once(tmp_path: Path) -> None:
    config = base()
    config["process"].update(cwd="tmp", noNewPrivileges=1, Args=["x"])
    config["mounts"].append({"destination": "/a", "type": "none", "options": ["bind", "size=1", "mode=7"]})
    result = look(config, tmp_path)
    assert {row for row in rows(result) if row[0] != NOTE} == {
        (ERROR, CONFIG, "/process/cwd"),
        (ERROR, CONFIG, "/process/noNewPrivileges"),
        (WARNING, CONFIG, "/process/Args"),
        (ERROR, MOUNTS, "/mounts/1/options/1"),
        (ERROR, MOUNTS, "/mounts/1/options/2"),
    }
    assert [finding.severity for finding in result.findings] == sorted(
        (finding.severity for finding in result.findings), key=(ERROR, WARNING, NOTE).index
    )


def test_host_is_asked_only_about_what_is_right(tmp_path: Path) -> None:
    config = base()
    config["root"]["path"] = "nowhere"
    config["process"]["cwd"] = "tmp"
    assert not [finding for finding in look(config, tmp_path).findings if finding.source == HOST]


def test_the_config_alone(tmp_path: Path) -> None:
    """No host can do it, or every host can: this one is not asked, whoever asks."""
    config = base()
    config["root"]["path"] = "nowhere"
    config["process"]["args"] = ["/nothing"]
    config["linux"]["cgroupsPath"] = "/somewhere"
    result = look(config, tmp_path, config_only=True)
    assert (result.findings, result.host_asked) == ([], False)
    config["mounts"][0]["destination"] = "/"
    (finding,) = look(config, tmp_path, config_only=True).findings
    assert (finding.severity, finding.source, finding.pointer) == (ERROR, CONFIG, "/mounts/0/destination")


@pytest.mark.parametrize("config", [minimal(), docker(), full()])
def test_a_good_config_is_good_for_everybody(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ocirun.host import facts

    def refuse(*_: object) -> object:
        raise AssertionError("this host is asked")

    for name in ("privileged", "caller", "cgroup_layout", "own_capabilities", "seccomp_flags"):
        monkeypatch.setattr(facts, name, refuse)
    result = look(config, tmp_path, config_only=True)
    assert result.count(ERROR) == 0, result.findings


def test_usual_words_are_not_compared_with_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes longer than all the rest."""
    from ocirun.cli import template
    from ocirun.plan.mounts import words

    def refuse(word: str) -> str:
        raise AssertionError(f"asked about {word}")

    monkeypatch.setattr(words, "closest", refuse)
    config = template.config(cgroup_namespace=False)
    assert look(config, tmp_path, config_only=True).count(ERROR) == 0


def test_strict(tmp_path: Path) -> None:
    config = base()
    config["x"] = 1
    result = look(config, tmp_path)
    assert (result.count(ERROR), result.count(WARNING)) == (0, 1)
    result.strict()
    assert (result.count(ERROR), result.count(WARNING)) == (1, 0)


@pytest.mark.parametrize("config", [minimal(), docker(), full()])
def test_the_two_opinions_agree_on_samples(config: Any) -> None:
    assert schema.opinion(config) == []


@settings(max_examples=150, derandomize=True)
@given(mutants())
def test_the_two_opinions_agree_on_places(config: Any) -> None:
    assert schema.opinion(config) == []


def test_disagreement_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    config = base()
    bad = copy.deepcopy(config)
    bad["process"]["cwd"] = 5
    monkeypatch.setattr(schema, "structure", lambda data: [])
    (finding,) = schema.opinion(bad)
    assert (finding.severity, finding.source, finding.pointer) == (WARNING, SCHEMA, "/process/cwd")
    assert "the schema alone" in finding.message
    monkeypatch.undo()
    monkeypatch.setattr(schema, "_by_schema", lambda data: iter(()))
    (finding,) = schema.opinion(bad)
    assert "the schema finds no fault" in finding.message


def test_without_jsonschema(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "jsonschema", None)
    (finding,) = schema.opinion(base())
    assert finding.severity == NOTE
    assert "not installed" in finding.message


def test_the_schema_is_found() -> None:
    assert json.loads(schema.schema_text())["$id"] == "urn:ocirun:config"
