"""An image for an ordinary user with subordinate ids: files keep their owners, and the bundle runs as that user."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from image.archives import archive, directory, entry, layout, symlink

from .users import COUNT, FIRST, GID, NAME, UID, User

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .case import Case

SCRIPT = "id -u; stat -c %u:%g:%a /bin/busybox /data /data/f /closed; cat /data/f && echo new >/data/new"
SEEN = ["33", "0:0:755", "33:44:700", "33:44:600", "7:8:0", "kept"]


@pytest.fixture
def user(live: Case) -> Iterator[User]:
    made = User(live)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def place(user: User, open_directory: Path) -> Path:
    """A directory of the user, with an image."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed"
    with open(busybox, "rb") as file:
        program = entry("bin/busybox", file.read(), mode=0o755)
    layout(
        open_directory / "image",
        archive(
            program,
            *(symlink(f"bin/{name}", "busybox") for name in ("sh", "id", "stat", "cat")),
            directory("data", uid=33, gid=44, mode=0o700),
            entry("data/f", b"kept\n", uid=33, gid=44, mode=0o600),
            directory("closed", uid=7, gid=8, mode=0),
            entry("closed/g", uid=7, gid=8),
        ),
        config={"Entrypoint": ["/bin/sh", "-c"], "Cmd": [SCRIPT], "User": "33:44"},
    )
    for where in (open_directory, open_directory / "image"):
        os.chown(where, UID, GID)
    os.chmod(open_directory, 0o755)
    return open_directory


def words(place: Path, *more: object) -> list[str]:
    return [str(word) for word in ("--platform", "linux/amd64", *more)]


def test_files_keep_their_owners(user: User, place: Path) -> None:
    target = place / "bundle"
    result = user.command("bundle", *words(place, place / "image", target))
    assert (result.ok().out, result.err) == ("", "")
    root = target / "rootfs"
    seen = {
        name: (os.lstat(root / name).st_uid, os.lstat(root / name).st_gid) for name in ("", "bin/busybox", "data/f")
    }
    assert seen == {"": (UID, GID), "bin/busybox": (UID, GID), "data/f": (FIRST + 32, FIRST + 43)}
    assert (os.stat(target).st_uid, os.stat(target).st_mode & 0o777) == (UID, 0o700)
    with open(target / "config.json", encoding="ascii") as file:
        config = json.load(file)
    expected = [{"containerID": 0, "hostID": UID, "size": 1}, {"containerID": 1, "hostID": FIRST, "size": COUNT}]
    assert config["linux"]["uidMappings"] == config["linux"]["gidMappings"] == expected
    config["process"]["terminal"] = False
    (target / "config.json").write_text(json.dumps(config))
    assert user.command("run", "--bundle", str(target), "image-ids").ok().out.split() == SEEN
    assert os.lstat(root / "data" / "new").st_uid == FIRST + 32
    # As docs/bundles.md tells.
    user.run("unshare", "--map-auto", "--map-root-user", "rm", "-r", str(target)).ok()
    assert os.listdir(place) == ["image"]


def test_the_maps_may_be_chosen(user: User, place: Path) -> None:
    """With the own id at another place; one that has less ids than the image needs is an error, and leaves nothing."""
    maps = [f"0:{FIRST}:9", f"9:{UID}:1", f"10:{FIRST + 9}:100"]
    options = [word for line in maps for word in ("--uidmap", line, "--gidmap", line.replace(f"{UID}", f"{GID}"))]
    user.command("bundle", *words(place, *options, place / "image", place / "bundle")).ok()
    root = place / "bundle" / "rootfs"
    assert (os.lstat(root).st_uid, os.lstat(root / "data/f").st_uid) == (FIRST, FIRST + 32)
    assert os.stat(place / "bundle").st_uid == UID
    own = ("--uidmap", f"0:{UID}:1", "--gidmap", f"0:{GID}:1")
    result = user.command("bundle", *words(place, *own, "--uidmap", f"1:{FIRST}:99", place / "image", place / "second"))
    result.failed("data/: belongs to gid 44, which is not mapped", "--gidmap")
    result = user.command("bundle", *words(place, "--uidmap", f"0:{FIRST}:100", place / "image", place / "second"))
    result.failed(f"--uidmap: does not map your own uid {UID}", f"0:{UID}:1")
    assert sorted(os.listdir(place)) == ["bundle", "image"]


def test_run_leaves_nothing(user: User, place: Path) -> None:
    """Neither when the program has ended, nor when the image is damaged behind files of others."""
    temporary = str(place / "tmp")
    os.mkdir(place / "tmp")
    os.chown(place / "tmp", UID, GID)
    env = {"TMPDIR": temporary}
    result = user.command("run", *words(place, "--image", place / "image"), env=env)
    assert result.ok().out.split() == SEEN
    bad = layout(place / "bad", archive(directory("d", uid=9, mode=0), entry("d/f", uid=9), entry("../x")))
    user.command("run", *words(place, "--image", bad), env=env).failed("leads upward")
    assert os.listdir(place / "tmp") == []
    assert os.listdir(user.live.root) == []


def test_without_ids(user: User, place: Path) -> None:
    """All is the user's, which is told with the reason; a program of another user is refused."""
    user.entry("subgid", "")
    image = place / "image"
    result = user.command("bundle", *words(place, image, place / "bundle"))
    assert result.code == 1
    assert "the image's program is for uid 33 and gid 44, and only one id is mapped" in result.err
    why = f"further ids are needed, and /etc/subgid gives no ids to {NAME}"
    assert why in result.err
    shutil.rmtree(image)
    layout(image, archive(entry("f", uid=33)))
    assert "owners other than root" in user.command("bundle", *words(place, image, place / "bundle")).ok().err
    assert os.lstat(place / "bundle" / "rootfs" / "f").st_uid == UID
    config = json.loads((place / "bundle" / "config.json").read_text())
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": UID, "size": 1}]
