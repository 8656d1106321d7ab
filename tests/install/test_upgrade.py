"""What docs/engines/README.md tells to do, in a mount namespace in which /opt and /usr/local can be changed."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from . import pythons

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

PAGE = pythons.ROOT / "docs" / "engines" / "README.md"
OVER = """
mount -t tmpfs tmpfs "$1"
for place in opt usr/local; do
	mkdir -p "$1/$place/upper" "$1/$place/work" "/$place"
	mount -t overlay overlay -o "lowerdir=/$place,upperdir=$1/$place/upper,workdir=$1/$place/work" "/$place"
done
rm -rf /opt/ocirun* /usr/local/bin/ocirun /usr/local/share/man/man1/ocirun*
"""
# Calls of everybody, without an end.
CALLS = """
(while [ ! -e "$1/done" ]; do
	/usr/local/bin/ocirun --version || echo "failed with $?"
	/usr/local/bin/ocirun state nobody || true
	sleep 0.02
done >"$1/calls" 2>&1) &
"""


def blocks(section: str) -> list[str]:
    """The blocks of commands of a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    paragraphs = text.split("\n\n")
    return ["\n".join(line[4:] for line in part.splitlines()) for part in paragraphs if part.startswith("    ")]


def checkout(where: Path, version: str) -> Path:
    """A copy of the checkout that has another version."""
    made = pythons.checkout(where)
    for name in ("pyproject.toml", "runtime/ocirun/_base/version.py"):
        text = (made / name).read_text(encoding="utf-8")
        assert text.count('"0.1.0"') == 1
        (made / name).write_text(text.replace('"0.1.0"', f'"{version}"'), encoding="utf-8")
    return made


def done(where: Path, *scripts: str) -> str:
    """What scripts say, one after the other, in a namespace of their own; none may fail."""
    result = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join([OVER, *scripts]), "sh", str(where)],
        env={
            "PATH": f"/usr/local/bin:{Path(next(iter(pythons.interpreters().values()))).parent}:/usr/sbin:/usr/bin:/bin",
            "HOME": os.path.expanduser("~"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_QUIET": "1",
            "PIP_NO_COMPILE": "1",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_no_call_fails(tmp_path: Path) -> None:
    """From installation to removal; the program and its pages are found, and change together."""
    install, check, undo = blocks("Install")
    upgrade, back, old, _ = blocks("Upgrade")
    versions = [checkout(tmp_path / version, version) for version in ("0.1.1", "0.2.0")]
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    forth = back.replace("-1", "-2")
    said = done(
        mounted,
        f"cd '{versions[0]}'\n{install}\n{{ {check}\n}} >/dev/null\nman -w ocirun ocirun-create",
        CALLS,
        f"cd '{versions[1]}'\n{{ {upgrade}\n}} >/dev/null",
        f"for _ in $(seq 50); do {back}\n{forth}\ndone",
        f"touch $1/done; wait; {old} && exit 1; man -w ocirun-create; cp $1/calls '{tmp_path}'",
        f"cd /; {undo}\n find /opt /usr/local -name '*ocirun*'",
    )
    assert said.splitlines() == [
        "/opt/ocirun-1/share/man/man1/ocirun.1",
        "/opt/ocirun-1/share/man/man1/ocirun-create.1",
        "/opt/ocirun-2/share/man/man1/ocirun-create.1",
    ]
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    kinds = {line for line in calls if not line.startswith(("commit: ", "spec: ", "python: ", "preloaded: ", "time="))}
    assert kinds == {"ocirun version 0.1.1", "ocirun version 0.2.0"}
    errors = {line.partition("level=")[2] for line in calls if line.startswith("time=")}
    assert errors == {'error msg="container does not exist"'}
    switches = [line for line in calls if "version " in line]
    assert sum(a != b for a, b in itertools.pairwise(switches)) > 1


def test_the_link_of_an_older_installation(tmp_path: Path) -> None:
    """Where /opt/ocirun is a directory."""
    _, _, _, over = blocks("Upgrade")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    script = f"""
    for home in /opt/ocirun /opt/ocirun-2; do mkdir -p $home/bin; echo "echo $home" >$home/bin/ocirun; done
    chmod 755 /opt/*/bin/ocirun; ln -s /opt/ocirun/bin/ocirun /usr/local/bin/ocirun
    ocirun
    {over}
    ocirun
    """
    assert done(mounted, script).split() == ["/opt/ocirun", "/opt/ocirun-2"]
