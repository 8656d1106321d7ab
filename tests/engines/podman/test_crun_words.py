"""What podman asks of crun, its default runtime: each with crun beside it, on the same machine."""

from __future__ import annotations

import json

import pytest

from .. import images
from .engine import ADA, IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..machine import Result
    from .engine import Podman

# crun refuses a hybrid host; in a mount namespace without the hierarchy of v2 it takes it for one of v1.
WITHOUT_V2 = ("unshare", "-m", "--propagation", "private", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh")
RUNTIMES = ((), ("--runtime", "crun"))
TEAM = 2500  # a group of ada's that owns a directory
AS_ADA = (
    *("setpriv", f"--reuid={ADA}", f"--regid={ADA}", f"--groups={ADA},{TEAM}", "--inh-caps=-all"),
    *("env", "HOME=/home/ada", f"XDG_RUNTIME_DIR=/run/user/{ADA}", "USER=ada"),
)
UNIT = """[Service]
Type=oneshot
ExecStart=sh -c "cat /proc/self/cgroup > /run/seen"
"""
STAGES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")


@pytest.fixture(autouse=True)
def _ours(podman: Podman) -> None:
    if not podman.runtime.ours:
        pytest.skip("runc has none of these words of crun")


def run(podman: Podman, runtime: tuple[str, ...], *words: str, before: tuple[str, ...] = ()) -> Result:
    """podman with the runtime under test, or with crun."""
    around = WITHOUT_V2 if runtime else ()
    return podman.machine.run(*around, *before, "podman", *runtime, *words, cwd="/home/ada" if before else "/")


def both(podman: Podman, *words: str, before: tuple[str, ...] = ()) -> Result:
    """`podman run --rm` with either runtime, which have to come to the same; the first result."""
    first, second = (run(podman, runtime, "run", "--rm", *words, before=before) for runtime in RUNTIMES)
    assert (first.code, first.out) == (second.code, second.out), f"{first}\n{second}"
    return first


def test_groups_of_root_are_kept(podman: Podman) -> None:
    groups = ("setpriv", "--groups", f"11,{TEAM}")
    seen = ("grep", "Groups", "/proc/self/status")
    assert both(podman, "--group-add=keep-groups", IMAGE, *seen, before=groups).words == ["Groups:", "11", str(TEAM)]
    assert both(podman, IMAGE, *seen, before=groups).words == ["Groups:"]


@pytest.fixture
def team(podman: Podman, busybox: str) -> Iterator[str]:
    """A directory that ada reaches by a supplementary group only."""
    with open(busybox, "rb") as file:
        podman.machine.run(*AS_ADA, "podman", "import", "-", IMAGE, stdin=file.read(), cwd="/home/ada").ok()
    store = podman.machine.store
    podman.machine.write(f"{store}/team/file", "ours\n")
    podman.machine.run("chgrp", "-R", str(TEAM), f"{store}/team").ok()
    podman.machine.run("chmod", "-R", "u=rwX,g=rX,o=", f"{store}/team").ok()
    yield f"{store}/team"
    run(podman, (), "rm", "-a", "-f", "-t", "0", before=AS_ADA)
    run(podman, (), "system", "migrate", before=AS_ADA)


def test_groups_of_a_user_are_kept(podman: Podman, team: str) -> None:
    """They cannot be named in the user namespace, and let the program in all the same; `exec` too."""
    words = ("run", "--rm", "--network=none", "-v", f"{team}:/t", "--group-add=keep-groups", IMAGE, "cat", "/t/file")
    for runtime in RUNTIMES:
        # Its process that keeps the user namespace keeps the mounts too.
        run(podman, (), "system", "migrate", before=AS_ADA)
        run(podman, runtime, *words, before=AS_ADA).says("ours")
        plain = [word for word in words if not word.startswith("--group-add")]
        run(podman, runtime, *plain, before=AS_ADA).ends(1, "Permission denied")
    run(podman, (), "system", "migrate", before=AS_ADA)
    stays = ["run", "-d", "--name=c1", *words[2:-2], "sleep", "1000"]
    run(podman, (), *stays, before=AS_ADA).ok()
    run(podman, (), "exec", "c1", "cat", "/t/file", before=AS_ADA).says("ours")


def test_what_hooks_write_is_in_files(podman: Podman) -> None:
    """Hooks of the administrator, and files that the user's annotations name."""
    machine, store = podman.machine, podman.machine.store
    hook = machine.write(f"{store}/said", "#!/bin/sh\ncat >/dev/null\necho said $1\necho wrong $1 >&2\n", 0o755)
    for stage in STAGES:
        entry = {
            "version": "1.0.0",
            "hook": {"path": hook, "args": ["said", stage]},
            "when": {"always": True},
            "stages": [stage],
        }
        machine.write(f"{store}/said.d/{stage}.json", json.dumps(entry))
    for name, runtime in zip(("ours", "crun"), RUNTIMES, strict=True):
        files = [f"--annotation=run.oci.hooks.{stream}={store}/{name}.{stream}" for stream in ("stdout", "stderr")]
        words = ("--hooks-dir", f"{store}/said.d", "run", "--rm", *files, "-v", f"{store}:{store}", IMAGE, "true")
        run(podman, runtime, *words).ok()
        for stream, what in (("stdout", "said"), ("stderr", "wrong")):
            lines = machine.run("cat", f"{store}/{name}.{stream}").ok().out.splitlines()
            # crun's poststart may overtake startContainer.
            assert sorted(lines) == sorted(f"{what} {stage}" for stage in STAGES)
    refused = run(podman, (), "run", "--rm", "--annotation=run.oci.hooks.stdout=out", IMAGE, "true")
    refused.ends(126, "/annotations/run.oci.hooks.stdout", "must be an absolute path, not 'out'")


@pytest.mark.parametrize("handler", ["krun", "wasm"])
def test_handlers_are_refused(podman: Podman, handler: str) -> None:
    result = run(podman, (), "run", "--rm", f"--annotation=run.oci.handler={handler}", IMAGE, "true")
    result.ends(126, "/annotations/run.oci.handler", "not supported")


@pytest.mark.parametrize(
    ("option", "owner"),
    [("idmap", "0"), ("idmap=uids=0-100000-1;gids=0-100000-1", "0"), ("idmap=uids=0-0-1;gids=0-0-1", "65534")],
)
def test_volume_with_mapped_owners(podman: Podman, option: str, owner: str) -> None:
    """The map of the container, and one of the mount's own."""
    podman.machine.write(f"{podman.machine.store}/owned/file", "kept\n")
    volume = f"{podman.machine.store}/owned:/m:{option}"
    both(podman, "--uidmap=0:100000:65536", "-v", volume, IMAGE, "stat", "-c", "%u", "/m/file").says(owner)


@pytest.mark.parametrize("option", ["copy", "nocopy"])
def test_volume_with_or_without_a_copy(podman: Podman, option: str) -> None:
    """podman copies what the image has there, and leaves the word in the config."""
    try:
        seen = both(podman, "-v", f"v-{option}:/etc:{option}", IMAGE, "sh", "-c", "test -e /etc/passwd; echo $?")
        assert seen.out == ("0\n" if option == "copy" else "1\n")
        both(podman, "-v", f"{podman.machine.store}:/m:{option}", IMAGE, "test", "-d", "/m/etc").ok()
    finally:
        podman("volume", "rm", "-f", f"v-{option}")


def test_device_and_rule(podman: Podman) -> None:
    """A device by another name, read only; a rule for one that is not there; and one without a rule."""
    options = ("--device=/dev/fuse:/dev/odd:r", "--device-cgroup-rule=c 1:11 rw", "--cap-add=MKNOD")
    script = (
        "stat -c %t,%T /dev/odd; (: < /dev/odd) && echo read; (: >> /dev/odd) || echo not written;"
        "mknod /n c 1 12; (: < /n) || echo no rule; (: < /dev/null) && echo there"
    )
    seen = both(podman, *options, IMAGE, "sh", "-c", f"({script}) 2>/dev/null")
    assert seen.out.splitlines() == ["a,e5", "read", "not written", "no rule", "there"]


@pytest.mark.parametrize(
    ("option", "masked"),
    [
        ((), ["/proc/acpi", "/proc/bus", "/proc/keys", "/proc/sys"]),
        (("unmask=ALL",), []),
        (("unmask=/proc/keys:/proc/sys",), ["/proc/acpi", "/proc/bus"]),
        (("unmask=/proc/*",), []),
        (("mask=/etc/group:/home",), ["/etc/group", "/home", "/proc/acpi", "/proc/bus", "/proc/keys", "/proc/sys"]),
    ],
)
def test_masks(podman: Podman, option: tuple[str, ...], masked: list[str]) -> None:
    looked_at = ["/etc/group", "/home", "/proc/acpi", "/proc/bus", "/proc/keys", "/proc/sys"]
    script = "cut -d' ' -f5 /proc/self/mountinfo; wc -c < /etc/group; ls /home | wc -l"
    options = [f"--security-opt={one}" for one in option]
    results = [run(podman, runtime, "run", "--rm", *options, IMAGE, "sh", "-c", script) for runtime in RUNTIMES]
    for result in results:
        lines = result.ok().out.splitlines()
        assert [path for path in looked_at if path in lines] == masked
        assert (lines[-2] == "0", lines[-1] == "0") == ("/etc/group" in masked, "/home" in masked)


@pytest.fixture(scope="module")
def systemd(engine: Podman, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image of Debian whose init is systemd."""
    archive: Path = tmp_path_factory.mktemp("systemd") / "debian.tar"
    with open(images.debian(str(archive), "systemd-sysv"), "rb") as file:
        engine("import", "-", "localhost/systemd:latest", stdin=file.read())
    archive.unlink()
    return "localhost/systemd:latest"


@pytest.mark.parametrize("chosen", RUNTIMES, ids=["ours", "crun"])
@pytest.mark.parametrize("namespace", ["host", "private"])
def test_systemd_inside(podman: Podman, systemd: str, chosen: tuple[str, ...], namespace: str) -> None:
    """On cgroup v1 it has the hierarchy without controllers for its units; limits are for podman to set."""
    words = ("run", "-d", "--name=c1", "--network=none", "--systemd=always", f"--cgroupns={namespace}")
    run(podman, chosen, *words, systemd, "/sbin/init").ok()
    state = lambda: run(podman, chosen, "exec", "c1", "systemctl", "is-system-running")  # noqa: E731
    podman.until(lambda: state().out == "running\n", "it has come up")
    script = f"echo '{UNIT}' > /run/systemd/system/one.service; systemctl start one; cat /run/seen"
    seen = run(podman, chosen, "exec", "c1", "sh", "-c", script).words
    assert [line for line in seen if line.endswith("/system.slice/one.service")], seen
    run(podman, chosen, "stop", "-t", "60", "c1").ok()
    assert podman.inspect("c1", ".State.ExitCode") in ("0", "130")
    run(podman, chosen, "rm", "c1").ok()
    # podman gives it this hierarchy from its root; with a cgroup namespace its units are not in its own group.
    left = "cd /sys/fs/cgroup/systemd && find init.scope *.slice -depth -type d -exec rmdir {} +"
    podman.machine.run("sh", "-c", left)
