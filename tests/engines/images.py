"""Root file systems as tar archives: busybox, and a Debian one."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BUSYBOX = "/bin/busybox"
APP_UID = 1000
PASSWD = f"root:x:0:0:root:/root:/bin/sh\napp:x:{APP_UID}:{APP_UID}:app:/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = f"root:x:0:\napp:x:{APP_UID}:\nextra:x:2000:app\nnogroup:x:65534:\n"
PROFILE = "PS1='inside> '\n"


def busybox(path: str) -> str:
    """Write the archive of a small system: all of busybox, two users; its path."""
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    with tarfile.open(path, "w") as archive:
        for name, mode in (
            ("bin", 0o755), ("dev", 0o755), ("etc", 0o755), ("home", 0o755), ("home/app", 0o755), ("proc", 0o755),
            ("root", 0o700), ("run", 0o755), ("sys", 0o755), ("tmp", 0o1777), ("var", 0o755), ("var/run", 0o755),
        ):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            if name == "home/app":
                entry.uid = entry.gid = APP_UID
            archive.addfile(entry)
        archive.add(BUSYBOX, "bin/busybox")
        for name in applets:
            if name != "busybox":
                entry = tarfile.TarInfo(f"bin/{name}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
        for name, text in (("etc/passwd", PASSWD), ("etc/group", GROUP), ("etc/profile", PROFILE)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def docker_archive(rootfs: str, path: str, name: str, *, entrypoint: list[str] | None = None) -> str:
    """Write an image in the form of `docker save`, with the archive of a root file system as its only layer."""
    import hashlib

    with open(rootfs, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config: dict[str, Any] = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    if entrypoint:
        config["config"]["Entrypoint"] = entrypoint
        del config["config"]["Cmd"]
    with tarfile.open(path, "w") as archive:
        archive.add(rootfs, "layer.tar")
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
        for file_name, value in (("config.json", config), ("manifest.json", manifest)):
            data = json.dumps(value).encode()
            entry = tarfile.TarInfo(file_name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def debian(path: str, *packages: str) -> str:
    """Write the archive of a minimal Debian with these packages, made by mmdebstrap from the host's package sources;
    its path.
    """
    release = {}
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            release[key] = value.strip('"')
    subprocess.run(
        [
            "mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", "--format=tar",
            *(f"--include={name}" for name in packages),
            "--aptopt=Acquire::Check-Valid-Until \"false\"", release["VERSION_CODENAME"], path,
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )  # fmt: skip
    return path
