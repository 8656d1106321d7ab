"""A step of CI: runs a script on a checkout, in a root that is thrown away, and collects what it puts into /artifacts.

    python3 examples/ci_step.py ROOTFS CHECKOUT SCRIPT ARTIFACTS [SECRET=VALUE...]

The checkout is /src, read-only; others must be able to read it, as the script's user owns nothing here.  The directory
ARTIFACTS is made.  Secrets are in /run/secrets.  What the script prints is printed at once, and its exit code is ours.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import ocirun


def show(stream: str, piece: bytes | str) -> None:
    """Print a piece of output to the stream of that name."""
    to = sys.stdout if stream == "stdout" else sys.stderr
    to.write(piece if isinstance(piece, str) else piece.decode(errors="replace"))
    to.flush()


def step(
    rootfs: str, checkout: str, script: str, artifacts: str, secrets: dict[str, bytes], seconds: float = 600.0
) -> ocirun.Outcome:
    """Run the script; the artifacts are there if it has ended well."""
    source = {
        "destination": "/src",
        "source": os.path.abspath(checkout),
        "options": ["rbind", "rro", "nosuid", "nodev"],
    }
    config = ocirun.sandbox(
        rootfs, ["sh", "-eu", "/step.sh"], cwd="/src", env={"CI": "true"}, mounts=[source],
        disk=128 << 20, memory=512 << 20, pids=256, cpus=2.0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=Path(artifacts).absolute().parent) as directory:
        kept = Path(directory, "kept")
        files = {"/step.sh": Path(script).read_bytes()}
        outcome = ocirun.run(
            config=config, files=files, secrets=secrets, keep=str(kept), on_output=show, timeout=seconds, text=True
        )
        if outcome.ok:
            made = kept / "artifacts"
            if made.is_symlink() or not made.is_dir():
                made.unlink(missing_ok=True)  # a link of the script's leads to a place of the host
                made.mkdir()
            made.rename(artifacts)
    return outcome


if __name__ == "__main__":
    hidden = {name: value.encode() for name, value in (given.split("=", 1) for given in sys.argv[5:])}
    done = step(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], hidden)
    if done.limit:
        print(f"ci_step: stopped by the limit of {done.limit}", file=sys.stderr)
    sys.exit(0 if done.ok else done.exit_code or 1)
