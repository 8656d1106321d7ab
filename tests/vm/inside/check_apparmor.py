"""AppArmor, enforced: the profile holds for the container and for exec, from the first instruction, whoever runs there."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RUNTIME = os.path.join(CHECKOUT, "build", "bin", "ocirun")
# The second has a name that a careless comparison takes for no confinement.
PROFILES = {"ocirun-test": "/secret", "unconfined_ocirun": "/other"}
SHOW = "cat /proc/self/attr/current; for f in /secret /other; do cat $f 2>/dev/null || echo denied; done"
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")


@pytest.fixture(scope="module", autouse=True)
def profiles() -> Iterator[None]:
    text = "".join(
        f"profile {name} flags=(attach_disconnected,mediate_deleted) {{\n"
        f"  file,\n  capability,\n  network,\n  signal,\n  unix,\n  ptrace,\n  deny {path} rwklx,\n}}\n"
        for name, path in PROFILES.items()
    )
    subprocess.run(["apparmor_parser", "-a", "-K"], input=text, text=True, check=True)
    yield
    subprocess.run(["apparmor_parser", "-R"], input=text, text=True, check=True)


class Bundle:
    """A bundle with busybox, and the runtime with a state root of its own."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.rootfs = top / "rootfs"
        for name in ("bin", "proc", "dev", "tmp"):
            (self.rootfs / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.rootfs / "bin" / "busybox")
        for name in ("sh", "cat", "echo", "sleep", "true"):
            (self.rootfs / "bin" / name).symlink_to("busybox")
        for name in ("secret", "other"):
            (self.rootfs / name).write_text(f"{name}\n")
        self.config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs"},
            "process": {
                "cwd": "/",
                "args": ["/bin/sh", "-c", SHOW],
                "user": {"uid": 0, "gid": 0},
                "env": ["PATH=/bin"],
            },
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
        }

    def command(self, *words: str, output: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
        (self.top / "config.json").write_text(json.dumps(self.config))
        argv = [RUNTIME, "--root", str(self.top / "state"), "--cgroup-manager", "disabled", *words]
        return subprocess.run(
            argv, stdout=output, stderr=output, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
        )

    def run(self) -> str:
        result = self.command("run", "--bundle", str(self.top), "c")
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture
def bundle() -> Iterator[Bundle]:
    # Not in pytest's directories, which root of a user namespace may not search.
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        made = Bundle(pathlib.Path(top))
        yield made
        made.command("delete", "--force", "c")


def seen(profile: str) -> str:
    """What SHOW prints under a profile."""
    return f"{profile} (enforce)\n" + "".join(
        "denied\n" if PROFILES[profile] == path else f"{path[1:]}\n" for path in ("/secret", "/other")
    )


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_profile_holds(bundle: Bundle, profile: str, no_new_privileges: bool) -> None:
    bundle.config["process"] |= {"apparmorProfile": profile, "noNewPrivileges": no_new_privileges}
    assert bundle.run() == seen(profile)


def test_without_a_profile(bundle: Bundle) -> None:
    assert bundle.run() == "unconfined\nsecret\nother\n"


def test_user_namespace_and_user(bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 200000, "size": 5000}]
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    bundle.config["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    bundle.config["process"] |= {"apparmorProfile": "ocirun-test", "user": {"uid": 1000, "gid": 1000}}
    assert bundle.run() == seen("ocirun-test")


def test_exec(bundle: Bundle) -> None:
    bundle.config["process"] |= {"apparmorProfile": "ocirun-test", "args": ["/bin/sleep", "1000"]}
    # Its own output would keep a pipe of ours open.
    started = bundle.command("run", "--detach", "--bundle", str(bundle.top), "c", output=subprocess.DEVNULL)
    assert started.returncode == 0
    for options, profile in (([], "ocirun-test"), (["--apparmor", "unconfined_ocirun"], "unconfined_ocirun")):
        result = bundle.command("exec", *options, "c", "/bin/sh", "-c", SHOW)
        assert result.stdout == seen(profile), result.stderr
    result = bundle.command("exec", "--apparmor", "ocirun-missing", "c", "/bin/true")
    assert result.returncode == 255
    assert "/process/apparmorProfile" in result.stderr


def test_profile_that_is_not_loaded(bundle: Bundle) -> None:
    bundle.config["process"]["apparmorProfile"] = "ocirun-missing"
    result = bundle.command("create", "--bundle", str(bundle.top), "c")
    assert result.returncode == 1
    assert "/process/apparmorProfile: " in result.stderr
    assert "the profile must be loaded" in result.stderr
    assert os.listdir(bundle.top / "state") == []


def test_start_hook_runs_under_the_profile(bundle: Bundle) -> None:
    # As the program does: what runs inside is confined.
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/attr/current > /tmp/hook"]}
    bundle.config["hooks"] = {"startContainer": [hook]}
    bundle.config["process"]["apparmorProfile"] = "ocirun-test"
    bundle.run()
    assert (bundle.rootfs / "tmp" / "hook").read_text() == "ocirun-test (enforce)\n"


def test_selinux_is_not_there(bundle: Bundle) -> None:
    bundle.config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    result = bundle.command("create", "--bundle", str(bundle.top), "c")
    assert "SELinux is not enabled on this host" in result.stderr
