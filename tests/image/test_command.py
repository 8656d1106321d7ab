"""The command: wholly or not at all, whatever ends it."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import tarfile

import pytest

from ocirun.errors import HostError, ImageError, UsageError
from ocirun.image import place
from ocirun.image.place import Place

from .archives import Layout, archive, directory, entry, layout, make
from .test_layer import with_attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

ROOT = archive(directory("etc"), entry("etc/f", b"f"))
PROGRAM = os.path.join(os.path.dirname(__file__), "..", "..", "build", "bin", "ocirun")
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts, other users")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The archive of a root file system."""
    path = tmp_path / "root.tar"
    path.write_bytes(ROOT)
    return path


def run(*words: object, **more: object) -> subprocess.CompletedProcess[str]:
    command = [PROGRAM, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_nothing_is_overwritten(tmp_path: Path, image: Path, kind: str) -> None:
    target = tmp_path / "bundle"
    if kind == "file":
        target.write_text("canary")
    elif kind == "directory":
        target.mkdir()
    else:
        target.symlink_to("nowhere")
    result = run("bundle", image, target)
    assert result.returncode == 1
    assert f"{target} exists (remove it first, or choose another directory)" in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["bundle", "root.tar"]
    assert kind != "file" or target.read_text() == "canary"


@NEEDS_ROOT
def test_a_directory_that_is_not_mine(open_program: str, open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = layout(open_directory / "image", archive(entry("f")))
    monkeypatch.chdir(open_directory)
    for target in ("bundle", f"{open_directory}/bundle"):
        result = as_nobody(open_program, "bundle", "--platform", "linux/amd64", made, target)
        assert result.returncode == 1
        assert f"make {target}: permission denied (choose a place that you may write to)" in result.stderr


def test_what_came_meanwhile_is_not_overwritten(tmp_path: Path, image: Path) -> None:
    with pytest.raises(HostError, match="exists"):
        make(
            image,
            tmp_path / "bundle",
            platform="",
            progress=lambda done, total: os.makedirs(tmp_path / "bundle", exist_ok=True),
        )
    assert os.listdir(tmp_path / "bundle") == []
    assert sorted(os.listdir(tmp_path)) == ["bundle", "root.tar"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, RuntimeError])
def test_an_exception_leaves_nothing(tmp_path: Path, image: Path, error: type[BaseException]) -> None:
    def fail(done: int, total: int) -> None:
        assert [name for name in os.listdir(tmp_path) if name.startswith(".ocirun-")]
        raise error

    with pytest.raises((error, HostError)):
        make(image, tmp_path / "bundle", platform="", progress=fail)
    assert os.listdir(tmp_path) == ["root.tar"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """It comes when a part is there; a second one does not stop the removal."""
    made = layout(tmp_path / "image", ROOT, archive(entry("second")))
    code = f"""
import os, signal, sys
sys.path[:0] = {[path for path in sys.path if path]!r}
from ocirun.cli.main import main
from ocirun.image import place, tree
from ocirun.image.streams import Part
pieces, remove = Part.pieces, tree.remove
count = []
def slow(self, digest=None, *, told=None):
    count.append(1)
    if len(count) == 6:  # two files of the layout, manifest and config, a layer
        os.write(1, b"here\\n")
        while True:
            signal.pause()
    yield from pieces(self, digest, told=told)
def removed(*words):
    os.kill(os.getpid(), signal.SIGTERM)
    remove(*words)
Part.pieces = slow
place.remove = removed
main(["bundle", "--platform", "linux/amd64", {str(made)!r}, {str(tmp_path / "bundle")!r}])
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        (hidden,) = [name for name in os.listdir(tmp_path) if name.startswith(".ocirun-")]
        assert stat.S_IMODE(os.stat(tmp_path / hidden).st_mode) == 0o700
        assert (tmp_path / hidden / "rootfs" / "etc" / "f").exists()
        process.send_signal(number)
        assert process.wait() == -number
    assert os.listdir(tmp_path) == ["image"]


def stopped_in_the_middle(image: Path, target: Path) -> tuple[subprocess.Popen[str], str]:
    """An `ocirun bundle` that has unpacked a part and waits, and its directory."""
    code = f"""
import os, signal, sys
sys.path[:0] = {[path for path in sys.path if path]!r}
from ocirun.cli.main import main
from ocirun.image import layer
def wait(*words, **more):
    os.write(1, b"here\\n")
    while True:
        signal.pause()
layer.Unpacking.finish = wait
main(["bundle", {str(image)!r}, {str(target)!r}])
"""
    before = set(os.listdir(target.parent))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    (hidden,) = set(os.listdir(target.parent)) - before
    return process, hidden


def test_what_a_killed_one_has_left_is_removed_by_the_next(tmp_path: Path, image: Path) -> None:
    """And neither what another one is making, nor what has such a name and is nobody's work."""
    others = {".ocirun-0123456789abcde", ".ocirun-0123456789abcdeg", "ocirun-0123456789abcdef"}
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".ocirun-0123456789abcdef").write_text("a file")
    (tmp_path / ".ocirun-0123456789abcde0").symlink_to(tmp_path)
    others |= {".ocirun-0123456789abcdef", ".ocirun-0123456789abcde0", "root.tar"}
    killed, left = stopped_in_the_middle(image, tmp_path / "killed")
    other, made = stopped_in_the_middle(image, tmp_path / "other")
    with killed, other:
        killed.kill()
        killed.wait()
        assert (tmp_path / left / "rootfs" / "etc" / "f").exists()
        result = run("bundle", image, tmp_path / "bundle")
        assert (result.returncode, result.stderr) == (0, "")
        assert set(os.listdir(tmp_path)) == {*others, made, "bundle"}
        other.kill()
    assert run("bundle", image, tmp_path / "bundle").returncode == 1  # it exists: nothing is looked at
    assert run("bundle", image, tmp_path / "second").returncode == 0
    assert set(os.listdir(tmp_path)) == {*others, "bundle", "second"}


def test_a_place_that_is_taken_for_a_left_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the making and the lock another one comes: the place is made once more."""
    parent = os.open(tmp_path, os.O_RDONLY)
    made = Place(parent, ".ocirun-")
    locked, count = place._locked, []

    def first_another(fd: int) -> bool:
        count.append(fd)
        if len(count) == 1:
            os.rmdir(tmp_path / made.name)
        return locked(fd)

    monkeypatch.setattr(place, "_locked", first_another)
    made.make()
    assert len(count) == 2
    assert os.listdir(tmp_path) == [made.name]
    place.sweep(parent, ".ocirun-", str(tmp_path), warn=pytest.fail)
    assert os.listdir(tmp_path) == [made.name]
    made.close()
    os.chmod(tmp_path, 0o755)
    place.sweep(parent, ".ocirun-", str(tmp_path), warn=pytest.fail)
    assert os.listdir(tmp_path) == []
    os.close(parent)


def test_what_cannot_be_removed_is_told(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ocirun-0123456789abcdef").mkdir()

    def fail(*_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(place, "remove", fail)
    made = make(image, tmp_path / "bundle", platform="")
    text = (
        ".ocirun-0123456789abcdef is left of a command that was killed: it cannot be removed: operation not permitted"
    )
    assert made.notes == [f"{tmp_path}/{text}"]


@pytest.mark.parametrize("directory", ["", "/", ".", "x/.."])
def test_names_that_are_no_new_directory(image: Path, directory: str) -> None:
    with pytest.raises(UsageError, match="is no name for a new directory"):
        make(image, directory or "/", platform="")  # type: ignore[arg-type]


def test_words(tmp_path: Path, image: Path) -> None:
    assert "takes IMAGE DIR, but got 1 argument" in run("bundle", image).stderr
    assert "no such file or directory" in run("bundle", tmp_path / "nosuch", tmp_path / "b").stderr
    assert "no such file or directory" in run("bundle", image, tmp_path / "no" / "b").stderr
    assert "is not a size" in run("bundle", "--size-limit", "x", image, tmp_path / "b").stderr
    assert "give a larger --size-limit" in run("bundle", "--size-limit", "1k", image, tmp_path / "b").stderr
    assert os.listdir(tmp_path) == ["root.tar"]


def test_json_has_the_places(tmp_path: Path) -> None:
    import json

    made = Layout(tmp_path / "image")
    made.add(made.image(archive(entry("../x"))))
    words = ("--log-format", "json", "bundle", "--platform", "linux/amd64", made.path, tmp_path / "bundle")
    record = json.loads(run(*words).stderr)
    assert record["code"] == "image"
    assert record["image"] == str(made.path)
    assert record["blob"].startswith("layer 1 of 1 (sha256:")
    assert record["entry"] == "../x"


def test_relative_names(tmp_path: Path, image: Path) -> None:
    assert run("bundle", "root.tar", "b/", cwd=tmp_path).returncode == 0
    assert sorted(os.listdir(tmp_path / "b")) == ["config.json", "rootfs"]


def screen(command: list[str], term: str) -> bytes:
    """What a command writes to a terminal that is its standard error."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stderr=slave, env={**os.environ, "TERM": term})
    os.close(slave)
    text = b""
    try:
        while part := os.read(master, 65536):
            text += part
    except OSError:  # EIO: the other side is closed
        pass
    os.close(master)
    assert process.wait() == 0
    return text


def test_a_bar_on_a_terminal_only(tmp_path: Path, image: Path) -> None:
    text = screen([PROGRAM, "bundle", str(image), str(tmp_path / "a")], "xterm")
    assert b"of 0 MiB" in text
    assert text.endswith(b"\r\x1b[K")
    assert screen([PROGRAM, "bundle", str(image), str(tmp_path / "b")], "dumb") == b""
    result = run("bundle", image, tmp_path / "c")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@NEEDS_ROOT
def test_a_full_disk(tmp_path: Path) -> None:
    made = layout(tmp_path / "image", archive(entry("small"), entry("large", os.urandom(3 << 20))))
    place = tmp_path / "place"
    place.mkdir()
    script = (
        'mount -t tmpfs -o size=1m none "$1" && "$2" bundle --platform linux/amd64 "$3" "$1/b"; echo $?; ls -A "$1"'
    )
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", place, PROGRAM, made], capture_output=True, text=True, check=True
    )
    assert result.stdout == "1\n"
    assert "large: file: no space left on device" in result.stderr
    assert "layer 1 of 1" in result.stderr


def as_nobody(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [program, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, user=65534, group=65534, extra_groups=[]
    )


@NEEDS_ROOT
def test_as_an_ordinary_user(open_program: str, open_directory: Path) -> None:
    """Everything is the caller's, what only root can make is left out, and modes do not stand in the way."""
    member, content = with_attributes("etc/x", security__capability=bytes(20), user__a=b"1")
    made = layout(
        open_directory / "image",
        archive(
            directory("etc", mode=0o555, uid=7),
            entry("etc/f", b"f", uid=1000, gid=1000, mode=0o4755),
            (member, content),
            directory("etc/closed", mode=0),
            entry("etc/closed/g", b"g", mode=0),
            entry("dev/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
            directory("./", mode=0o555),
        ),
        archive(entry("etc/new", b"n"), entry("etc/closed/.wh.g"), directory("gone", mode=0), entry("gone/x")),
        archive(entry(".wh.gone")),
    )
    os.chmod(open_directory, 0o777)
    target = open_directory / "bundle"
    result = as_nobody(open_program, "bundle", "--platform", "linux/amd64", made, target)
    assert result.returncode == 0, result.stderr
    assert "device nodes" in result.stderr
    why = "left out: owners other than root, as /etc/subuid gives no ids to nobody (2, the first at etc/)"
    assert why in result.stderr
    asked = as_nobody(open_program, "bundle", "--rootless", "--platform", "linux/amd64", made, open_directory / "one")
    assert (asked.returncode, "owners" in asked.stderr) == (0, False)
    shutil.rmtree(open_directory / "one")
    assert "security.capability (1, the first at etc/x)" in result.stderr
    root = target / "rootfs"
    seen = {str(path.relative_to(root)): os.lstat(path) for path in root.rglob("*")}
    assert set(seen) == {"dev", "etc", "etc/closed", "etc/f", "etc/new", "etc/x"}
    assert {(one.st_uid, one.st_gid) for one in seen.values()} == {(65534, 65534)}
    assert {name: stat.S_IMODE(one.st_mode) for name, one in seen.items() if name not in ("etc/x", "etc/new")} == {
        "dev": 0o755,
        "etc": 0o555,
        "etc/closed": 0,
        "etc/f": 0o4755,
    }
    assert os.getxattr(root / "etc/x", "user.a") == b"1"
    bad = layout(open_directory / "bad", archive(directory("d", mode=0), directory("d/e", mode=0), entry("../x")))
    assert as_nobody(open_program, "bundle", "--platform", "linux/amd64", bad, open_directory / "b").returncode == 1
    assert sorted(os.listdir(open_directory)) == ["bad", "bundle", "image"]
    refused = as_nobody(open_program, "bundle", "--uidmap", "0:1:9", made, open_directory / "b")
    assert "--uidmap: does not map your own uid 65534" in refused.stderr
    maps = ("--uidmap", "0:65534:1", "--uidmap", "1:1:9")
    refused = as_nobody(open_program, "bundle", *maps, made, open_directory / "b")
    assert "newgidmap: gid range [1-10) -> [1-10) not allowed (see /etc/subgid" in refused.stderr
    words = ("bundle", "--rootless", "--uidmap", "0:1:9", made, open_directory / "b")
    assert "--uidmap and --gidmap cannot go with --rootless" in as_nobody(open_program, *words).stderr
    assert sorted(os.listdir(open_directory)) == ["bad", "bundle", "image"]


@NEEDS_ROOT
@pytest.mark.parametrize("options", [(), ("--rootless",)])
def test_groups_of_root_for_an_ordinary_user(open_program: str, open_directory: Path, options: tuple[str, ...]) -> None:
    """As Alpine has them: root is in a dozen groups."""
    groups = "root:x:0:root\n" + "".join(f"g{number}:x:{number}:root\n" for number in range(1, 12))
    passwd = b"root:x:0:0::/:/bin/sh\n"
    made = layout(open_directory / "image", archive(entry("etc/passwd", passwd), entry("etc/group", groups.encode())))
    os.chmod(open_directory, 0o777)
    words = ("bundle", *options, "--platform", "linux/amd64", made, open_directory / "bundle")
    result = as_nobody(open_program, *words)
    assert result.returncode == 0, result.stderr
    assert "the user's further groups (1, 2, 3, 4, 5, 6, 7, 8, 9, ...), as only one group is mapped" in result.stderr
    import json

    config = json.loads((open_directory / "bundle/config.json").read_text())
    assert config["process"]["user"] == {"uid": 0, "gid": 0}
    other = layout(open_directory / "other", config={"User": "7"})
    result = as_nobody(open_program, "bundle", *options, "--platform", "linux/amd64", other, open_directory / "b")
    assert f"{other}: the image's program is for uid 7 and gid 0, and only one id is mapped" in result.stderr
    assert ("see docs/bundles.md" if options else "/etc/subuid gives no ids to nobody") in result.stderr


@NEEDS_ROOT
@pytest.mark.parametrize("how", ["root", "mapped", "user"])
def test_the_bundle_runs(open_program: str, open_directory: Path, how: str) -> None:
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed"
    with open(busybox, "rb") as file:
        program = entry("bin/busybox", file.read(), mode=0o755)
    script = "echo $X; id -u; pwd; busybox stat -c %u:%a /data /etc/passwd; echo y >/data/new"
    user = (
        []
        if how == "user"
        else [entry("etc/passwd", b"web:x:33:44::/:/bin/sh\n"), directory("data", uid=33, mode=0o700)]
    )
    made = layout(
        open_directory / "image",
        archive(program, *(user or [entry("etc/passwd"), directory("data", mode=0o700)])),
        config={
            "Entrypoint": ["/bin/busybox", "sh", "-c"],
            "Cmd": [script],
            "Env": ["X=from the image", "PATH=/bin"],
            "WorkingDir": "/etc",
            "User": "web" if user else "",
            "Volumes": {"/data": {}},
            "Labels": {"a": "b"},
        },
    )
    os.chmod(open_directory, 0o777)
    target = open_directory / "bundle"
    state = open_directory / "state"
    maps = ("--uidmap", "0:100000:65536") if how == "mapped" else ()

    def call(*words: object) -> subprocess.CompletedProcess[str]:
        if how == "user":
            return as_nobody(open_program, "--root", state, *words)
        return run("--root", state, *words)

    result = call("bundle", "--platform", "linux/amd64", *maps, made, target)
    assert result.returncode == 0, result.stderr
    import json

    config = json.loads((target / "config.json").read_text())
    config["process"]["terminal"] = False
    (target / "config.json").write_text(json.dumps(config))
    result = call("run", "--bundle", target, f"image-{os.getpid()}")
    assert result.stderr == ""
    uid = 33 if user else 0
    assert result.stdout.splitlines() == ["from the image", str(uid), "/etc", f"{uid}:700", "0:644"]
    # What is written to a volume is gone with the container.
    assert os.listdir(target / "rootfs" / "data") == []


def test_a_wrong_image_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        make(layout(tmp_path / "i", archive(entry("../x"))), tmp_path / "b")
    assert caught.value.code == "image"
    assert caught.value.reason == "the path '../x' leads upward"
