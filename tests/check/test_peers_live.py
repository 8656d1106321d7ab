"""The notes on runc and crun, held against the two: each config is run, and each must do what the note says.

Skipped without root, busybox, or these versions of the two.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from ocirun._base.jsonio import JsonError, loads
from ocirun.audit import peers
from ocirun.config.check import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Change = Callable[[dict[str, Any]], object]
    Run = Callable[[str, str], str]


REFUSED = "refused"
# crun does not run where the v2 hierarchy is mounted beside v1; in a mount namespace of its own it need not see that.
HIDE = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
MOUNT = "grep ' /mnt ' /proc/self/mountinfo"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a config with one of the two; gives what the program wrote, or REFUSED."""
    if os.geteuid() != 0 or not os.path.exists("/bin/busybox"):
        pytest.skip("needs root and /bin/busybox")
    for name in ("runc", "crun"):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")
        version = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
        if f"{name} {version.partition('+')[0]}" not in peers.SEEN_WITH:
            pytest.skip(f"the notes are not about {name} {version}")
    top = tmp_path_factory.mktemp("peers")
    _image(top / "rootfs")
    (top / "data").mkdir()

    def do(name: str, raw: str) -> str:
        (top / "config.json").write_text(raw)
        tool = [name, "--root", str(top / name)]
        command = [*tool, "run", "--bundle", str(top), f"note{os.getpid()}"]
        done = subprocess.run(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", HIDE, "sh", *command],
            input="",  # crun gives its standard input to the container's user, and would do so with /dev/null
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            cwd=top,
        )
        subprocess.run([*tool, "delete", "--force", f"note{os.getpid()}"], capture_output=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else REFUSED

    yield do
    _remove_cgroups()


def _image(rootfs: Path) -> None:
    for name in ("bin", "proc", "dev", "tmp", "etc", "mnt"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    for name in ("sh", "grep", "id", "env", "umask", "cat", "ls", "echo"):
        (rootfs / "bin" / name).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")


def _remove_cgroups() -> None:
    for where, names, _ in os.walk("/sys/fs/cgroup"):
        if f"ocirun-peers{os.getpid()}" in names:
            for inner in (f"{where}/ocirun-peers{os.getpid()}/x", f"{where}/ocirun-peers{os.getpid()}"):
                try:
                    os.rmdir(inner)
                except OSError:
                    pass


def config(script: str) -> dict[str, Any]:
    sets = ("bounding", "effective", "permitted")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/",
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": True,
            "capabilities": {name: ["CAP_SYS_ADMIN"] for name in sets},
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")],
            "cgroupsPath": f"/ocirun-peers{os.getpid()}/x",
        },
    }


def _mount(*options: str, kind: str = "tmpfs") -> Change:
    entry = {"destination": "/mnt", "type": kind, "source": "data", "options": list(options)}
    return lambda c: c["mounts"].append(entry)


def _rlimits(c: dict[str, Any]) -> None:
    c["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": size, "hard": size} for size in (100, 50)]


# Pointer of the note, words in it, script, change, and what runc and crun give.
ROWS: list[tuple[str, str, str, Change, str, str]] = [
    ("/process/user/uid", "for 0, runc", "id -u", lambda c: c["process"]["user"].update(uid="7"), REFUSED, "0"),
    ("/process/user/uid", "for 0, runc", "id -u", lambda c: c["process"]["user"].update(uid=True), REFUSED, "0"),
    ("/process/consoleSize/width", "runc and crun", "id -u",
     lambda c: c["process"].update(consoleSize={"height": 9, "width": None}), "0", "0"),
    ("/process/noNewPrivileges", "for false", "grep NoNew /proc/self/status",
     lambda c: c["process"].update(noNewPrivileges="true"), REFUSED, "NoNewPrivs:\t0"),
    ("/mounts/1/options", "not there", MOUNT + "|grep -c ' rw'",
     lambda c: c["mounts"].append({"destination": "/mnt", "type": "tmpfs", "source": "x", "options": "ro"}), REFUSED, "1"),
    ("/process/Env", "runc reads it as env", "env | grep -c ^X=; true",
     lambda c: c["process"].update(Env=["X=1"]), "1", "0"),
    ("/process/rlimits/1/type", "comes last", "ulimit -n", _rlimits, "50", "50"),
    ("/process/env/1", "leaves HOME", "echo $HOME", lambda c: c["process"]["env"].append("HOME="), "/root", ""),
    ("/process/env/1", "crun accepts", "echo x", lambda c: c["process"]["env"].append("X"), REFUSED, "x"),
    ("/process/args/3", "at the NUL", "echo $0", lambda c: c["process"]["args"].append("a\0b"), REFUSED, "a"),
    ("/process/cwd", "relative to /", "pwd", lambda c: c["process"].update(cwd="tmp"), REFUSED, "/tmp"),
    ("/process/user/umask", "nine bits", "umask", lambda c: c["process"]["user"].update(umask=0o1777), "0777", "0777"),
    ("/process/capabilities/bounding/0", "CAP_CHOWN", "grep CapBnd /proc/self/status",
     lambda c: c["process"]["capabilities"].update(bounding=["cap_chown"]), "CapBnd:\t" + "0" * 16, "CapBnd:\t" + "0" * 15 + "1"),
    ("/linux/maskedPaths/0", "relative to /", "cat /etc/passwd", lambda c: c["linux"].update(maskedPaths=["etc/passwd"]), "", ""),
    ("/linux/namespaces/4/path", "the empty path", "echo x",
     lambda c: c["linux"]["namespaces"].append({"type": "network", "path": ""}), "x", REFUSED),
    ("/linux/namespaces/4/type", "crun accepts", "echo x",
     lambda c: c["linux"]["namespaces"].append({"type": "pid"}), REFUSED, "x"),
    ("/linux/resources/pids/limit", "no limit", "cat /proc/self/stat | grep -c .",
     lambda c: c["linux"].update(resources={"pids": {"limit": 0}}), "1", "1"),
    ("/linux/rootfsPropagation", "any word", "echo x", lambda c: c["linux"].update(rootfsPropagation="x"), REFUSED, "x"),
    ("/linux/seccomp/defaultErrnoRet", "runc ignores", "echo x",
     lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5}), "x", REFUSED),
    ("/linux/seccomp/listenerMetadata", "accept", "echo x",
     lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"}), "x", "x"),
    ("/linux", "crun refuses", "echo x", lambda c: c.pop("linux"), "x", REFUSED),
    ("/mounts", "crun refuses", "echo x", lambda c: c.pop("mounts"), REFUSED, REFUSED),
    ("/domainname", "runc ignores", "cat /proc/sys/kernel/domainname", lambda c: c.update(domainname="d"), "(none)", "d"),
    ("/ociVersion", "not look at it", "echo x", lambda c: c.update(ociVersion="x"), "x", REFUSED),
    ("/mounts/1/options/0", "does not know", "echo x", _mount("nosymfollow"), "x", REFUSED),
    ("/mounts/1/options/0", "does not know", "echo x", _mount("silent"), "x", REFUSED),
    ("/mounts/1/options/0", "does not know", "echo x", _mount("iversion"), "x", REFUSED),
    ("/mounts/1/options/1", "crun ignores it", MOUNT + "|grep -c nosymfollow; true", _mount("rbind", "rnosymfollow"), "1", "0"),
    ("/mounts/1/options/0", "private", MOUNT + "|grep -c shared; true", _mount("shared"), "1", "0"),
    ("/mounts/1/options/1", "the ro before", MOUNT + "|grep -c 'mnt ro'; true", _mount("ro", "rw"), "0", "1"),
    ("/mounts/1/options/1", "the noexec before", MOUNT + "|grep -c noexec; true", _mount("noexec", "exec"), "0", "1"),
    ("/mounts/1/options", "ignore file system data", "echo x", _mount("bind", "size=1m"), "x", "x"),
    ("/hooks/createRuntime/0/timeout", "at once", "echo x",
     lambda c: c.update(hooks={"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "0.3"], "timeout": 0}]}), REFUSED, "x"),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "words", "script", "change", "runc", "crun"), ROWS)
def test_note(run: Run, pointer: str, words: str, script: str, change: Change, runc: str, crun: str) -> None:
    data = config(script)
    change(data)
    found = [note for place, note in peers.notes(data, check(copy.deepcopy(data), unknown=True)) if place == pointer]
    assert any(words in note for note in found), found
    raw = json.dumps(data)
    assert (run("runc", raw), run("crun", raw)) == (runc, crun)


@pytest.mark.parametrize(
    ("change", "words", "runc", "crun"),
    [
        (lambda text: text.replace('"uid": 0', '"uid": 0, "uid": 7'), "comes last, crun the one that comes first", "7", "0"),
        (lambda text: text + " x", "crun refuses", "0", REFUSED),
        (lambda text: text + " /* x */", "unless it is a comment", "0", "0"),
    ],
)  # fmt: skip
def test_note_on_text(run: Run, change: Callable[[str], str], words: str, runc: str, crun: str) -> None:
    raw = change(json.dumps(config("id -u")))
    with pytest.raises(JsonError) as error:
        loads(raw.encode())
    ((_, note),) = peers.on_text(error.value.reason)
    assert words in note
    assert (run("runc", raw), run("crun", raw)) == (runc, crun)


def test_a_good_config_has_no_notes() -> None:
    data = config("true")
    assert list(peers.notes(data, check(data, unknown=True))) == []


@pytest.mark.parametrize("data", [None, [], {"process": 5, "linux": [], "mounts": {}, "hooks": {"prestart": [3]}}])
def test_any_value_can_be_asked_about(data: object) -> None:
    assert all(place for place, _ in peers.notes(data, check(data, unknown=True)))
