"""What a release is made by: the workflows, and the scripts that they call."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tomllib

import pytest
import yaml

from . import pythons

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess
    from typing import Any

    from .conftest import Installed

FOLDER = pythons.ROOT / ".github" / "workflows"
RELEASE = pythons.ROOT / ".ci" / "release.py"
WORKFLOWS = sorted(path.name for path in FOLDER.iterdir())
# Who may do what, and the rest may only read.
RIGHTS = {("release.yml", "publish"): {"contents": "write", "id-token": "write", "attestations": "write"}}


def workflow(name: str) -> dict[str, Any]:
    # GitHub reads "on" as a word, and YAML 1.1 as a truth.
    text = re.sub("^on:", '"on":', (FOLDER / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def steps() -> list[dict[str, Any]]:
    return [step for name in WORKFLOWS for job in workflow(name)["jobs"].values() for step in job["steps"]]


def release(*words: str, **environ: str) -> CompletedProcess[str]:
    return pythons.run([sys.executable, "-I", str(RELEASE), *words], env={**os.environ, **environ}, fails=True)


def renamed(wheel: Path, where: Path, platform: str) -> str:
    """The wheel under the name that it has for other machines."""
    name = re.sub(r"-linux_\w+\.whl$", f"-{platform}.whl", wheel.name)
    shutil.copy(wheel, where / name)
    return str(where / name)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow(name: str) -> None:
    flow = workflow(name)
    assert flow["permissions"] == {"contents": "read"}
    assert flow["name"] == name.removesuffix(".yml")
    for title, job in flow["jobs"].items():
        assert job.get("permissions") == RIGHTS.get((name, title))
        needed = job.get("needs", [])
        assert (
            {needed, *flow["jobs"]} == set(flow["jobs"])
            if isinstance(needed, str)
            else set(needed) <= set(flow["jobs"])
        )
        for step in job["steps"]:
            assert set(step) <= {"uses", "run", "with", "env"}
            assert ("uses" in step) != ("run" in step)
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v1)", step.get("uses", "a/b@v1"))


def test_their_scripts_are_there() -> None:
    """And of those of release.py, each is tried below."""
    lines = [line for step in steps() for line in step.get("run", "").splitlines()]
    named = {word for line in lines for word in re.findall(r"(?<![\w/.])(?:\./|\.ci/)[\w./]+", line)}
    assert named == {"./dev", ".ci/run", ".ci/release.py"}
    for word in named:
        assert (pythons.ROOT / word).exists()
    called = {match for line in lines for match in re.findall(r"release\.py (\w+)", line)}
    assert called == {"version", "check", "sbom"}


def test_pythons() -> None:
    """Tested, built and promised are the same."""
    with open(pythons.ROOT / "pyproject.toml", "rb") as file:
        values = tomllib.load(file)
    promised = [re.fullmatch(r".*:: (3\.\d+)", line) for line in values["project"]["classifiers"]]
    minors = [match[1] for match in promised if match]
    assert workflow("test.yml")["jobs"]["fast"]["strategy"]["matrix"]["python"] == minors
    assert values["tool"]["cibuildwheel"]["build"] == [f"cp{minor.replace('.', '')}-*" for minor in minors]


def test_version() -> None:
    assert release("version").stdout == "0.1.0\n"


def test_check(own: Installed, tmp_path: Path) -> None:
    """A wheel of this machine under the names of others."""
    machine = os.uname().machine
    good = renamed(own.wheel, tmp_path, f"manylinux_2_99_{machine}")
    said = release("check", good)
    assert re.fullmatch(rf"{re.escape(os.path.basename(good))}: needs glibc 2\.\d+\n", said.stdout), said.stderr
    older = release("check", good, renamed(own.wheel, tmp_path, f"manylinux_2_5_{machine}.manylinux_2_99_{machine}"))
    assert older.returncode == 1
    assert re.search(r": ocirun/_(native|start)\.\S+ needs glibc 2\.\d+$", older.stderr)
    other = "aarch64" if machine == "x86_64" else "x86_64"
    assert f" is not for {other}" in release("check", renamed(own.wheel, tmp_path, f"manylinux_2_99_{other}")).stderr
    assert "no wheel of this version for manylinux" in release("check", str(own.wheel)).stderr
    assert release("check").returncode == 2


def test_sbom(own: Installed, tmp_path: Path) -> None:
    archive = tmp_path / "ocirun-0.1.0.tar.gz"
    archive.write_bytes(b"source")
    words = ["sbom", str(own.wheel), str(archive)]
    said = release(*words, SOURCE_DATE_EPOCH="1700000000").stdout
    assert release("sbom", *words[:0:-1], SOURCE_DATE_EPOCH="1700000000").stdout == said
    bill = json.loads(said)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    kinds = {(part["type"], part["name"]) for part in bill["components"]}
    assert kinds == {
        ("file", own.wheel.name),
        ("file", archive.name),
        *(("library", name) for name in ("cffi", "jeepney", "jsonschema", "hatchling")),
    }
    references = [part["bom-ref"] for part in bill["components"]] + [bill["metadata"]["component"]["bom-ref"]]
    assert len(set(references)) == len(references)
    assert {entry["ref"] for entry in bill["dependencies"]} <= set(references)
    digest = pythons.run(["sha256sum", str(own.wheel)]).stdout.split()[0]
    (file,) = (part for part in bill["components"] if part["name"] == own.wheel.name)
    assert file["hashes"] == [{"alg": "SHA-256", "content": digest}]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_container_of_each_python(installed: Installed) -> None:
    """What is tried of each wheel."""
    pythons.run([sys.executable, str(pythons.ROOT / "bundles" / "make"), "hello"])
    said = pythons.run(["sh", str(pythons.ROOT / ".ci" / "try"), str(installed.program)]).stdout
    assert "Hello from inside a container." in said
    asked = "import platform; print(platform.python_version())"
    assert f"python: {pythons.run([installed.python, '-c', asked]).stdout}" in said
