"""Every sample bundle is valid, and says what its recipe promises when it is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ocirun.config.check import check

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.parent for path in (ROOT / "bundles").glob("*/config.json"))

SOMEBODY = 4242

# Lines, or parts of them, of each sample's output; none begins with the word of a failed attempt.
SAYS = {
    "clock": ["Up for 3"],
    "devices": [
        "write to /dev/null: works",
        "read from /dev/urandom: works",
        "open /dev/kmsg for writing (no rule): refused",
        "read from it: refused",
        "/dev/pipes/one is a fifo of ada, mode 660",
    ],
    "hello": [
        "Hello from inside a container.",
        "I am process 1;",
        "hello, which the host does not know",
        "with capabilities 0000000000000420 instead of all",
        "it is read-only, but /tmp (tmpfs) is mine",
        "interfaces: lo, and nothing behind them",
        "256 at most",
    ],
    "hooks": [
        """\
prestart on the host (deprecated by the specification)
createRuntime on the host, with an environment of its own
createContainer in the container's namespaces, before its root
startContainer inside, just before the program
poststart on the host
the program runs
"""
    ],
    "join": [f"My host name is the host's: {os.uname().nodename}", "My processes are my own: I am 1 of "],
    "limits": [
        "a program that took 48 MiB was killed",
        "starting the next one was refused",
        "16 open files at most, none longer than 64 KiB",
        "a file of 128 KiB became one of 64 KiB",
        "kernel.msgmax is 4096",
    ],
    "mounts": [
        "A relative source is below the bundle.",
        "/mnt/usr is the host's /usr, and cannot be written to",
        "/run/small is full after 64 KiB",
    ],
    "readonly": [
        "write to /etc/passwd: refused",
        "make /etc/new: refused",
        "write to /proc/sys/kernel/msgmax: refused",
        "write to /old/letter: refused",
        "write to /data/file, a tmpfs: done",
        "run a program from /data (noexec): refused",
        "/etc/secret holds 0 bytes, /secrets holds 0 files",
        "/old/letter: copied from the image",
    ],
    "rootless": [
        "Hello from inside a container of an ordinary user.",
        "root, with capabilities 0000000000000420 here, and user 1000 without any outside",
        "1 is all there are; the host's root, who owns /proc/sys, is nobody here",
        "I am process 1;",
        "it is read-only, but /tmp (tmpfs) is mine",
        "interfaces: lo, and nothing behind them",
        "256 at most",
    ],
    "rootless-mounts": [
        "I am root, and outside user 1000.",
        "belongs to root (0); the host sees 1000.",
        "The letter is a file beside config.json.",
        "/host/usr has 2 of bin and lib, and belongs to nobody (65534).",
        "I cannot write to it",
        "Nor can I have it writable.",
        "/tmp is mine (tmpfs)",
    ],
    "seccomp": [
        "mode 2",
        "can't create directory '/new': Disk quota exceeded",
        "permission denied (are you root?), though I have CAP_SYS_ADMIN",
        "exit status 159",
        "Address family not supported by protocol",
        "all the rest is allowed: Linux, root",
    ],
    "unprivileged": [
        "uid=1000(ada) gid=1000(ada) groups=4,2000",
        "called with 2 arguments: 'an argument' and ''; in /home/ada",
        "effective 0000000000000000, bounding 0000000000000000",
        "no new privileges: 1",
        "umask 0077: a new file has mode 600",
        "I may not mount",
        "the set-user-id program says I am 1000",
    ],
    "thrown-away": [
        "/data/letter: from the image",
        "/data/letter: from the container",
        "4 MiB: no space, 1 MiB is all there is",
    ],
    "userns": [
        "Inside I am uid=0(root) gid=0(root) groups=1000(ada).",
        " 0 100000 65536",
        "belongs to root (0); the host sees 100000.",
        "I may give it to ada",
        "/sys belongs to nobody (65534)",
    ],
}


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_config_is_valid(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    assert [problem.line() for problem in check(config, unknown=True)] == []


@pytest.mark.parametrize("name", sorted(SAYS))
def test_what_it_says(name: str, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    bundle = ROOT / "bundles" / name
    subprocess.run([sys.executable, ROOT / "bundles" / "make", name], check=True, capture_output=True)
    command = [ROOT / "build" / "bin" / "ocirun", "--root", tmp_path / "state", "run", "--bundle", bundle]
    result = subprocess.run(
        [*command, f"sample-{name}-{os.getpid()}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    missing = [part for part in SAYS[name] if part not in result.stdout]
    assert not missing, result.stdout


@pytest.mark.parametrize("name", [name for name in SAYS if name.startswith("rootless")])
def test_what_it_says_to_an_ordinary_user(name: str, open_program: str, open_directory: Path) -> None:
    """As `./dev run` does it for one: in a copy with the user's own ids."""
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    shutil.copytree(ROOT / "bundles", open_directory / "bundles", ignore=shutil.ignore_patterns("rootfs", ".rootfs.*"))
    (open_directory / "build").mkdir()
    os.chown(open_directory / "build", SOMEBODY, SOMEBODY)

    def by_somebody(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=open_directory,
            user=SOMEBODY,
            group=SOMEBODY,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    made = by_somebody(python, "bundles/make", "--own", name)
    assert made.returncode == 0, made.stderr
    result = by_somebody(open_program, "--root", "build/state", "run", "--bundle", f"build/bundles/{name}", "sample")
    assert (result.returncode, result.stderr) == (0, "")
    wanted = [part.replace("1000", str(SOMEBODY)) for part in SAYS[name]]
    assert not [part for part in wanted if part not in result.stdout], result.stdout
    refused = by_somebody(python, "bundles/make", "--own", "hello")
    assert refused.stderr == "bundles/make: hello needs root; for everybody there are: rootless, rootless-mounts\n"


def test_all_samples_are_run() -> None:
    # `shell` waits for somebody who types.
    assert {path.name for path in BUNDLES} == {*SAYS, "shell"}


def test_poststop_hook_ran(tmp_path: Path) -> None:
    test_what_it_says("hooks", tmp_path)
    log = (ROOT / "bundles" / "hooks" / "rootfs" / "hooks.log").read_text()
    assert log.endswith("the program runs\npoststop on the host, after delete\n")
