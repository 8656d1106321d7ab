"""What a release asks of its files; .github/workflows/release.yml calls this.

    python3 .ci/release.py version             print the version, which two files must agree on
    python3 .ci/release.py check FILE...       hold wheels against their names
    python3 .ci/release.py sbom FILE...        print what the files are made of, as CycloneDX 1.5 JSON

Needs nothing but Python. The bill of materials has the same bytes for the same files: its number comes from their
hashes, and its time from SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import email.parser
import hashlib
import json
import os
import re
import sys
import time
import tomllib
import uuid
import zipfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ELF = b"\x7fELF"
MACHINES = {"x86_64": 62, "aarch64": 183}  # e_machine, elf(5)
PLATFORM = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
# Symbol versions of glibc, as the dynamic linker compares them.
GLIBC = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?:\.\d+)?(?=\0)")


class BadFileError(Exception):
    """A file that is not to be released."""


def project() -> dict[str, Any]:
    """Return pyproject.toml as values."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        values: dict[str, Any] = tomllib.load(file)
    return values


def version() -> str:
    """Return the version.  Raises BadFileError where the package says another one."""
    wanted = str(project()["project"]["version"])
    said = re.search(r'^VERSION = "(.*)"$', (ROOT / "runtime/ocirun/_base/version.py").read_text(), re.MULTILINE)
    if said is None or said[1] != wanted:
        raise BadFileError(f"pyproject.toml has version {wanted}, runtime/ocirun/_base/version.py another one")
    return wanted


def check(path: Path) -> str:
    """Return a line about a wheel.  Raises BadFileError where its files need more than its name says."""
    name, _, rest = path.name.removesuffix(".whl").partition(f"-{version()}-")
    python, abi, platform = rest.split("-") if rest.count("-") == 2 else ("", "", "")
    tags = [match.groups() for match in map(PLATFORM.fullmatch, platform.split(".")) if match]
    if name != "ocirun" or not tags:
        raise BadFileError(f"{path.name}: is no wheel of this version for manylinux")
    allowed = min((int(major), int(minor)) for major, minor, _ in tags)
    newest = (0, 0)
    with zipfile.ZipFile(path) as wheel:
        programs = {info.filename: wheel.read(info) for info in wheel.infolist()}
    for file, content in programs.items():
        if not content.startswith(ELF):
            continue
        if int.from_bytes(content[18:20], "little") != MACHINES.get(tags[0][2]):
            raise BadFileError(f"{path.name}: {file} is not for {tags[0][2]}")
        needed = max(((int(major), int(minor)) for major, minor in GLIBC.findall(content)), default=(0, 0))
        if needed > allowed:
            raise BadFileError(f"{path.name}: {file} needs glibc {needed[0]}.{needed[1]}")
        newest = max(newest, needed)
    if not any(re.fullmatch(rf"ocirun/_native\.cpython-{abi[2:]}-.*\.so", file) for file in programs):
        raise BadFileError(f"{path.name}: has no module for {python}")
    return f"{path.name}: needs glibc {newest[0]}.{newest[1]}"


def sbom(paths: list[Path]) -> dict[str, Any]:
    """Return the bill of materials of wheels and a source archive: what they need to run, and what built them."""
    values = project()
    about, own = values["project"], version()
    name = f"pkg:pypi/{about['name']}@{own}"
    files: list[dict[str, Any]] = [
        {
            "type": "file",
            "bom-ref": f"file:{path.name}",
            "name": path.name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        }
        for path in sorted(paths, key=lambda path: path.name)
    ]
    needed = [_component(line, "required") for line in _requirements(paths, about["dependencies"])]
    built = [_component(line, "excluded") for line in values["build-system"]["requires"]]
    known = {part["bom-ref"] for part in needed}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}#{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": _time(),
            "component": {
                "type": "application",
                "bom-ref": name,
                "name": about["name"],
                "version": own,
                "description": about["description"],
                "licenses": [{"license": {"id": about["license"]}}],
                "purl": name,
                "externalReferences": [{"type": "vcs", "url": about["urls"]["Homepage"]}],
            },
        },
        "components": [*files, *needed, *(part for part in built if part["bom-ref"] not in known)],
        "dependencies": [
            {"ref": name, "dependsOn": sorted(known)},
            *({"ref": part["bom-ref"]} for part in needed),
        ],
    }


def _requirements(paths: list[Path], otherwise: list[str]) -> list[str]:
    """Return what the wheels say that they need; all must say the same."""
    found = []
    for path in paths:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                text = wheel.read(f"ocirun-{version()}.dist-info/METADATA").decode()
            lines = email.parser.Parser().parsestr(text).get_all("Requires-Dist") or []
            found.append([line for line in lines if "extra ==" not in line])
    if any(lines != found[0] for lines in found):
        raise BadFileError("the wheels need different packages")
    return found[0] if found else otherwise


def _component(requirement: str, scope: str) -> dict[str, Any]:
    """Return the component for a requirement; the version is chosen where it is installed."""
    match = re.match(r"([A-Za-z0-9._-]+?)\s*([<>=!~].*)?$", requirement)
    if match is None:
        raise BadFileError(f"not a requirement: {requirement}")
    reference = f"pkg:pypi/{match[1].lower().replace('_', '-')}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": reference,
        "name": match[1],
        "purl": reference,
        "scope": scope,
    }
    if match[2]:
        made["properties"] = [{"name": "ocirun:versions", "value": match[2].replace(" ", "")}]
    return made


def _time() -> str:
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(seconds) if seconds else None))


def main(words: list[str]) -> int:
    """Do what the command line asks for; the exit status."""
    try:
        match words:
            case ["version"]:
                print(version())
            case ["check", _, *_]:
                for name in words[1:]:
                    print(check(Path(name)))
            case ["sbom", _, *_]:
                print(json.dumps(sbom([Path(name) for name in words[1:]]), indent=1, sort_keys=True))
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except (BadFileError, OSError, zipfile.BadZipFile) as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
