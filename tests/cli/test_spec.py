"""The config that `ocirun spec` writes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess

import pytest

from ocirun.cli import template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from cli.conftest import Result

    Caller = Callable[..., Result]

# What is ours on purpose.
DIFFERENT = ("ociVersion", "hostname")


def written(path: Path) -> dict[str, Any]:
    with open(path / "config.json", encoding="ascii") as file:
        config: dict[str, Any] = json.load(file)
    return config


@pytest.mark.parametrize("umask", [0, 0o022, 0o777])
def test_mode_is_independent_of_the_umask(call: Caller, tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        result = call("spec", "--bundle", str(tmp_path))
    finally:
        os.umask(old)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert stat.S_IMODE(os.stat(tmp_path / "config.json").st_mode) == 0o644


def test_current_directory(call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("spec").status == 0
    config = written(tmp_path)
    assert config["ociVersion"] == "1.3.0"
    assert config["process"]["args"] == ["sh"]


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_nothing_is_overwritten(call: Caller, tmp_path: Path, kind: str) -> None:
    canary, path = tmp_path / "canary", tmp_path / "config.json"
    canary.write_text("canary")
    if kind == "file":
        path.write_text("canary")
    elif kind == "link":
        path.symlink_to(canary)
    else:
        path.mkdir()
    result = call("spec", "-b", str(tmp_path))
    assert (result.status, result.out) == (1, "")
    assert "config.json exists (remove it first)" in result.err
    assert canary.read_text() == "canary"
    assert kind != "file" or path.read_text() == "canary"


def test_failures(call: Caller, tmp_path: Path) -> None:
    assert "no such file or directory" in call("spec", "-b", str(tmp_path / "nosuch")).err
    assert "takes no arguments, but got 1 argument" in call("spec", "x").err


@pytest.mark.parametrize("words", [("--leave-out",), ("--disk=1M",), ("--sandbox", "--rootless")])
def test_options_that_do_not_go_together(call: Caller, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = call("spec", *words, "-b", str(tmp_path))
    assert result.status == 1
    assert all(word in result.err for word in ("--sandbox", words[-1].partition("=")[0]))
    assert os.listdir(tmp_path) == []


def test_a_sandbox_needs_a_root(call: Caller, tmp_path: Path) -> None:
    assert f"rootfs: {tmp_path}/rootfs: no such file or directory" in call("spec", "--sandbox", "-b", str(tmp_path)).err
    assert os.listdir(tmp_path) == []


def test_a_partial_file_is_removed(call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ocirun._base.newfile.write_all", full)
    result = call("spec", "-b", str(tmp_path))
    assert result.status == 1
    assert "no space left on device" in result.err
    assert os.listdir(tmp_path) == []


def test_rootless_needs_no_privilege() -> None:
    config = template.config(cgroup_namespace=True)
    template.make_rootless(config, uids=[(0, 1000, 1)], gids=[(0, 1001, 1)])
    linux = config["linux"]
    assert [row["type"] for row in linux["namespaces"]] == ["pid", "ipc", "uts", "mount", "cgroup", "user"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 1001, "size": 1}]
    assert "resources" not in linux
    assert not any(word.startswith("gid=") for row in config["mounts"] for word in row.get("options", []))


def test_cgroup_namespace() -> None:
    kinds = [row["type"] for row in template.config(cgroup_namespace=False)["linux"]["namespaces"]]
    assert kinds == ["pid", "network", "ipc", "uts", "mount"]


@pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")
@pytest.mark.parametrize("words", [(), ("--rootless",)])
def test_same_meaning_as_runc(call: Caller, tmp_path: Path, words: tuple[str, ...]) -> None:
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    subprocess.run(["runc", "spec", *words], cwd=theirs, check=True)
    assert call("spec", *words, "-b", str(ours)).status == 0
    left, right = written(theirs), written(ours)
    # With nothing inheritable the kernel raises none of these, so they are a warning at each start.
    left["process"]["capabilities"].pop("ambient", None)
    for config in (left, right):
        for key in DIFFERENT:
            assert config.pop(key)
    assert right == left
