"""The features document says what is true: a config with each word of it is accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ocirun import features
from ocirun.cgroup import driver
from ocirun.cli.main import main
from ocirun.config.check import check
from ocirun.plan import constants
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request
from ocirun.plan.mounts import words as mountwords

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DOCUMENT = features.features()
LINUX = DOCUMENT["linux"]
SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "features.schema.json"


def accepted(config: dict[str, Any]) -> Any:
    """The operations of the plan of a config, which is checked first as `create` does it."""
    whole = {
        "ociVersion": "1.0.0",
        "root": {"path": "rootfs"},
        **config,
        "process": {"cwd": "/", "args": ["/a"], "user": {"uid": 0, "gid": 0}, **config.get("process", {})},
    }
    assert [problem.line() for problem in check(whole) if not problem.warning] == []
    return build(whole, Facts(), Request(container_id="a", bundle="/b", directory="/a"), driver.Driver()).ops


def test_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert list(validator.iter_errors(DOCUMENT)) == []
    for wrong in ({**DOCUMENT, "later": 1}, {**DOCUMENT, "linux": {}}, {**DOCUMENT, "ociVersionMax": "2.0.0"}):
        assert not validator.is_valid(wrong)


def test_it_is_plain_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


@pytest.mark.parametrize("version", [DOCUMENT["ociVersionMin"], DOCUMENT["ociVersionMax"]])
def test_versions(version: str) -> None:
    assert accepted({"ociVersion": version, "linux": {"namespaces": [{"type": "mount"}]}})


@pytest.mark.parametrize("kind", DOCUMENT["hooks"])
def test_hooks(kind: str) -> None:
    config = {"hooks": {kind: [{"path": "/hook"}]}, "linux": {"namespaces": [{"type": "mount"}]}}
    operations = [op for op in accepted(config) if op.pointer == f"/hooks/{kind}/0"]
    assert [op.name for op in operations] in (["host_hook"], ["run_hook"])


def test_hooks_are_all() -> None:
    assert len(DOCUMENT["hooks"]) == 6


@pytest.mark.parametrize("word", DOCUMENT["mountOptions"])
def test_mount_options(word: str) -> None:
    base: dict[str, Any] = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": [word]}
    if word in ("bind", "rbind"):
        base = {**base, "type": "bind", "source": "/src"}
    if mountwords.WORDS[word][0] == mountwords.LINK:
        base = {**base, "type": "bind", "source": "/src", "options": ["bind", word]}
    if word in ("idmap", "ridmap"):
        mapping = [{"containerID": 0, "hostID": 5, "size": 1}]
        base |= {"uidMappings": mapping, "gidMappings": mapping}
    operations = accepted({"mounts": [base], "linux": {"namespaces": [{"type": "mount"}]}})
    data = [pair for op in operations for pair in op.args.get("options", ())]
    known = {name for name, row in mountwords.WORDS.items() if row[0] in (mountwords.SB_SET, mountwords.SB_CLEAR)}
    # What reaches the file system by name is a flag that fsconfig(2) knows, never a word taken for data.
    assert all(key in {*known, "source", "mode"} for key, _ in data)


def test_recursive_words_are_announced() -> None:
    # Docker, containerd and CRI-O look for this one.
    assert "rro" in DOCUMENT["mountOptions"]


@pytest.mark.parametrize("kind", LINUX["namespaces"])
def test_namespaces(kind: str) -> None:
    linux: dict[str, Any] = {"namespaces": [{"type": "mount"}]}
    if kind != "mount":
        linux["namespaces"].append({"type": kind})
    if kind == "user":
        mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    flags = 0
    for op in accepted({"linux": linux}):
        flags |= op.args.get("flags", 0) if op.name in ("spawn", "unshare") else 0
    assert flags & constants.NAMESPACE_FLAGS[kind]


@pytest.mark.parametrize("name", LINUX["capabilities"])
def test_capabilities(name: str) -> None:
    sets = {key: [name] for key in ("bounding", "permitted", "effective")}
    config = {"process": {"capabilities": sets}, "linux": {"namespaces": [{"type": "mount"}]}}
    masks = [op.args["effective"] for op in accepted(config) if op.name == "set_capabilities"]
    assert masks == [1 << constants.CAPABILITIES[name]]


# What an engine would try, and the place of the answer.
CLAIMS: list[tuple[bool, dict[str, Any]]] = [
    (LINUX["seccomp"]["enabled"], {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}),
    (LINUX["apparmor"]["enabled"], {"process": {"apparmorProfile": "profile"}}),
    (LINUX["selinux"]["enabled"], {"process": {"selinuxLabel": "u:r:t:s0"}}),
    (LINUX["intelRdt"]["enabled"], {"linux": {"intelRdt": {"closID": "guaranteed"}}}),
    (LINUX["netDevices"]["enabled"], {"linux": {"netDevices": {"eth0": {}}}}),
    ("memoryPolicy" in LINUX, {"linux": {"memoryPolicy": {"mode": "MPOL_DEFAULT"}}}),
]


@pytest.mark.parametrize(("claimed", "config"), CLAIMS, ids=lambda value: str(value)[:40])
def test_claims(claimed: bool, config: dict[str, Any]) -> None:
    assert features.accepts(config) is claimed


def test_idmap() -> None:
    enabled = LINUX["mountExtensions"]["idmap"]["enabled"]
    words = {"idmap", "ridmap"} & set(DOCUMENT["mountOptions"])
    assert words == ({"idmap", "ridmap"} if enabled else set())


def test_cgroups() -> None:
    assert LINUX["cgroup"]["v1"] is True
    assert LINUX["cgroup"]["rdma"] is True
    if not LINUX["cgroup"]["systemd"]:
        assert LINUX["cgroup"]["systemdUser"] is False


def test_the_host_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the document depends on the host")

    for name in ("listdir", "scandir", "stat", "access", "getpid", "geteuid"):
        monkeypatch.setattr(f"os.{name}", refuse)
    monkeypatch.setattr("os.open", refuse)
    assert features.features() == DOCUMENT


def test_unsafe_annotations_are_all() -> None:
    """F04: each annotation that the code reads is announced as unsafe, but for the one that only names a signal."""
    found: set[str] = set()
    package = Path(features.__file__).parent
    for path in package.rglob("*.py"):
        if path.parent == package / "image":
            continue  # reads those of an image's index, which are none of config.json
        found.update(re.findall(r'"(org\.[a-zA-Z.]+)"', path.read_text()))
    others = ("org.freedesktop.DBus", "org.opencontainers.runc.", "org.opencontainers.image.stopSignal")
    assert {name for name in found if not name.startswith(others)} == {
        name for name in features.UNSAFE_ANNOTATIONS if name.startswith("org.")
    }


def test_command(capfd: Any) -> None:
    assert main(["features"]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["ociVersionMin"] == "1.0.0"
    # CRI-O parses both outputs as one document.
    assert captured.err == ""
    assert main(["features", "extra"]) == 1
