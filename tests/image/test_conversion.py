"""config.json by the rules of image-spec conversion.md."""

from __future__ import annotations

import os

import pytest

from ocirun.cli import template
from ocirun.cli.main import main
from ocirun.errors import ConfigError, ImageError, UsageError
from ocirun.image.owners import Owners, read_map

from .archives import Layout, archive, directory, entry, layout, make, symlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from .archives import Made

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
web:x:33:44:web:/srv:/bin/sh
1000:x:0:0:a trap:/:/bin/sh
odd line
"""
GROUP = b"root:x:0:\nweb:x:44:\nvideo:x:27:web,other\naudio:x:29:other,web\n"
ROOT = archive(directory("etc"), entry("etc/passwd", PASSWD), entry("etc/group", GROUP))


def converted(tmp_path: Path, config: dict[str, Any], *layers: bytes, args: tuple[str, ...] = (), **more: Any) -> Made:
    return make(layout(tmp_path / "image", *(layers or [ROOT]), config=config, **more), tmp_path / "bundle", args=args)


def test_all_fields(tmp_path: Path) -> None:
    made = converted(
        tmp_path,
        {
            "Entrypoint": ["/start", "--now"],
            "Cmd": ["a", "b"],
            "Env": ["PATH=/bin", "X=1=2"],
            "WorkingDir": "/srv/",
            "User": "web",
            "StopSignal": "SIGINT",
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Volumes": {"/data/": {}},
            "Labels": {"a": "b", "org.opencontainers.image.author": "by the label"},
        },
        author="by the field",
        created="2020-01-02T03:04:05Z",
        variant="v1",
        **{"os.version": "1", "os.features": ["x", "y"]},
    )
    process = made.config["process"]
    assert process["args"] == ["/start", "--now", "a", "b"]
    assert process["env"] == ["PATH=/bin", "X=1=2", "TERM=xterm"]
    assert process["cwd"] == "/srv"
    assert process["user"] == {"uid": 33, "gid": 44, "additionalGids": [27, 29]}
    prefix = "org.opencontainers.image."
    assert made.config["annotations"] == {
        "a": "b",
        f"{prefix}author": "by the label",
        f"{prefix}created": "2020-01-02T03:04:05Z",
        f"{prefix}os": "linux",
        f"{prefix}architecture": "amd64",
        f"{prefix}variant": "v1",
        f"{prefix}os.version": "1",
        f"{prefix}os.features": "x,y",
        f"{prefix}stopSignal": "SIGINT",
        f"{prefix}exposedPorts": "53/udp,80/tcp",
    }
    assert made.config["mounts"][-1]["destination"] == "/data"
    assert made.config["mounts"][-1]["type"] == "tmpfs"
    assert made.config["root"] == {"path": "rootfs", "readonly": False}


def test_an_empty_config(tmp_path: Path) -> None:
    made = converted(tmp_path, {})
    expected = template.config(cgroup_namespace=False)
    for key in ("args", "env", "cwd", "user", "rlimits", "noNewPrivileges"):
        assert made.config["process"][key] == expected["process"][key]
    assert made.config["mounts"] == expected["mounts"]
    assert made.notes == ["the image names no program, so config.json has sh"]


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "args", "wanted"),
    [
        (None, ["c"], (), ["c"]),
        (["e"], None, (), ["e"]),
        (["e"], ["c"], ("x", "y"), ["e", "x", "y"]),
        (None, ["c"], ("x",), ["x"]),
    ],
)
def test_arguments(
    tmp_path: Path, entrypoint: list[str] | None, cmd: list[str] | None, args: tuple[str, ...], wanted: list[str]
) -> None:
    made = converted(tmp_path, {"Entrypoint": entrypoint, "Cmd": cmd}, args=args)
    assert made.config["process"]["args"] == wanted


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        ("", {"uid": 0, "gid": 0}),
        ("root", {"uid": 0, "gid": 0}),
        ("33", {"uid": 33, "gid": 44, "additionalGids": [27, 29]}),
        ("web:root", {"uid": 33, "gid": 0}),
        ("web:27", {"uid": 33, "gid": 27}),
        ("7:video", {"uid": 7, "gid": 27}),
        ("7:8", {"uid": 7, "gid": 8}),
        ("7", {"uid": 7, "gid": 0}),
        (":video", {"uid": 0, "gid": 27}),
        # A number is never a name, which the image could give to its root.
        ("1000", {"uid": 1000, "gid": 0}),
        ("00033", {"uid": 33, "gid": 44, "additionalGids": [27, 29]}),
    ],
)
def test_users(tmp_path: Path, user: str, wanted: dict[str, object]) -> None:
    assert converted(tmp_path, {"User": user}).config["process"]["user"] == wanted


@pytest.mark.parametrize("user", ["nobody", "web:nogroup", "-1", "4294967295", "99999999999", "web:4294967295", "²"])
def test_users_that_are_not_there(tmp_path: Path, user: str) -> None:
    with pytest.raises(ImageError):
        converted(tmp_path, {"User": user})
    assert os.listdir(tmp_path) == ["image"]


@pytest.mark.parametrize("form", ["/etc/passwd", "../../../../etc/passwd", "passwd"])
def test_the_hosts_users_are_never_read(tmp_path: Path, form: str) -> None:
    """Links lead inside the root; a pipe or a directory is no list of users."""
    with pytest.raises(ImageError, match="has no user 'daemon'"):
        converted(tmp_path, {"User": "daemon"}, archive(directory("etc"), symlink("etc/passwd", form)))


def test_a_pipe_in_place_of_the_users(tmp_path: Path) -> None:
    import tarfile

    with pytest.raises(ImageError, match="has no user 'web'"):
        converted(tmp_path, {"User": "web"}, archive(entry("etc/passwd", type=tarfile.FIFOTYPE)))


def test_users_by_a_link_inside(tmp_path: Path) -> None:
    made = converted(tmp_path, {"User": "web"}, archive(entry("usr/p", PASSWD), symlink("etc/passwd", "/usr/p")))
    assert made.config["process"]["user"]["uid"] == 33


def test_labels_with_an_effect_on_the_host_are_left_out(tmp_path: Path) -> None:
    labels = {"org.systemd.property.CPUWeight": "uint64 9", "org.criu.config": "/x", "fine": "1"}
    made = converted(tmp_path, {"Labels": labels, "Cmd": ["x"]})
    assert "fine" in made.config["annotations"]
    assert not {"org.systemd.property.CPUWeight", "org.criu.config"} & set(made.config["annotations"])
    assert len(made.notes) == 2


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/" + "a" * 300, "aaa: file name too long"),
        ("/etc/passwd", "the volume '/etc/passwd' leads through /etc/passwd, which is neither a directory"),
    ],
)
def test_a_volume_that_cannot_be(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(ImageError) as caught:
        converted(tmp_path, {"Volumes": {path: {}}})
    assert caught.value.message.startswith(f"{tmp_path}/image: the volume '/")
    assert words in caught.value.message
    assert os.listdir(tmp_path) == ["image"]


def test_an_error_of_the_config_names_the_image(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        converted(tmp_path, {"Entrypoint": [""]})
    assert caught.value.message.startswith(f"config.json of {tmp_path}/image: /process/args/0: ")


@pytest.mark.parametrize(
    "config",
    [
        {"Cmd": "sh"},
        {"Cmd": [1]},
        {"Env": ["X"]},
        {"Env": ["=x"]},
        {"Env": ["A=\0"]},
        {"WorkingDir": 1},
        {"WorkingDir": "/../x"},
        {"Volumes": {"/": {}}},
        {"Volumes": {"/a/../..": {}}},
        {"Volumes": []},
        {"Volumes": {"/\ud812": {}}},
        {"Volumes": {"/x\udc80": {}}},
        {"WorkingDir": "/\ud800"},
        {"Labels": {"a": 1}},
        {"Labels": {"": "x"}},
        {"User": ["x"]},
    ],
)
def test_what_is_no_config(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises((ImageError, ConfigError)):
        converted(tmp_path, config)
    assert os.listdir(tmp_path) == ["image"]


def test_maps() -> None:
    assert read_map(["0:100000:65536", "65536:1:9"], "uidmap") == [(0, 100000, 65536), (65536, 1, 9)]
    for words in (["x"], ["0:1"], ["0:1:0"], ["1:5:5"], ["0:1:5", "4:90:1"], ["0:1:5", "9:3:1"], ["0:4294967295:1"]):
        with pytest.raises(UsageError, match="uidmap"):
            read_map(words, "uidmap")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: owners")
def test_mapped_owners(tmp_path: Path) -> None:
    member, content = entry("f", b"x", uid=1, gid=2)
    member.pax_headers = {"SCHILY.xattr.security.capability": "\1\0\0\2\0\4" + "\0" * 14}
    made = Layout(tmp_path / "image")
    made.add(made.image(archive((member, content), directory("d/e", uid=9)), config={"Cmd": ["sh"]}))
    assert main(
        ["bundle", "--platform", "linux/amd64", "--uidmap", "0:100000:10", "--gidmap", "0:200000:3", str(made.path),
         str(tmp_path / "bundle")]
    ) == 0  # fmt: skip
    root = tmp_path / "bundle" / "rootfs"
    seen = {name: os.stat(root / name) for name in (".", "d", "d/e", "f")}
    assert {name: (one.st_uid, one.st_gid) for name, one in seen.items()} == {
        ".": (100000, 200000),
        "d": (100000, 200000),
        "d/e": (100009, 200000),
        "f": (100001, 200002),
    }
    # The kernel shows us the form without the id that holds for our own root; so it is there for another one.
    value = os.getxattr(root / "f", "security.capability")
    assert value[20:] == (100000).to_bytes(4, "little")
    owners = Owners(uids=[(0, 100000, 10)], gids=[(0, 200000, 3)])
    with pytest.raises(ImageError, match="belongs to uid 10, which is not mapped"):
        owners.of(10, 0)
