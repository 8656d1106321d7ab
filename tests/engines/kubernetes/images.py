"""The images that the validation suite and the pods ask for, made here under the names that they have in the world.

One layer of busybox serves nearly all of them. What busybox lacks is a script, or a small program in C.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile

from ..images import BUSYBOX
from .registry import MANIFEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

PAUSE = "registry.k8s.io/pause:3.10"
E2E = "registry.k8s.io/e2e-test-images"
BUSY = f"{E2E}/busybox:1.29-2"
CRI = "gcr.io/k8s-staging-cri-tools"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]

#: The suite looks for "master process" among the arguments of the server, and for its pid by the name.
SERVER = """#!/bin/sh
trap 'exit 0' TERM INT QUIT
echo $$ >/var/run/nginx.pid
echo "httpd listens on $2"
httpd -f -p "$2" -h /www &
wait
"""
SCRIPTS = {
    "usr/sbin/nginx": SERVER,
    "bin/ipcs": "#!/bin/sh\nawk '{ print $1, $2 }' /proc/sysvipc/shm\n",
    "bin/pgrep": '#!/bin/sh\nexec pidof "$1"\n',
}
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\ndefault-user:x:1000:1000::/:/bin/sh\n"
    "nobody:x:65534:65534::/:/bin/false\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n",
    "www/index.html": "it works\n",
}
DIRECTORIES = {
    "bin": 0o755, "dev": 0o755, "etc": 0o755, "proc": 0o755, "root": 0o700, "sys": 0o755, "tmp": 0o1777, "usr": 0o755,
    "usr/sbin": 0o755, "var": 0o755, "var/lib": 0o755, "var/run": 0o755, "www": 0o755,
}  # fmt: skip
PROGRAMS = {
    # Reaps whatever a shared pid namespace leaves to it, and ends at once when told to.
    "pause": """#include <signal.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
int main(void) { signal(SIGCHLD, SIG_IGN); signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }
""",
    "nnp": """#include <stdio.h>
#include <unistd.h>
int main(void) { printf("Effective uid: %d\\n", (int)geteuid()); }
""",
    # Touches more memory than it is given.
    "eat": """#include <stdlib.h>
#include <string.h>
int main(void) { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }
""",
}


def publish(directory: str, shell: str) -> None:
    """Write all images as the registry has them.

    shell  of `programs.shell`
    """
    os.makedirs(directory)
    with tempfile.TemporaryDirectory() as work:
        built = {name: _compile(work, name, text) for name, text in PROGRAMS.items()}
    busybox = _blob(directory, _busybox(built, shell))
    pause = _blob(directory, _archive({"pause": (built["pause"], 0o755)}))
    privileged = _blob(directory, _archive({"nnp": (built["nnp"], 0o4755)}))
    for name in (PAUSE, "registry.k8s.io/pause:3.9", "k8s.gcr.io/pause:3.9"):
        # The suite counts the names of its image, which is not to be the node's own.
        _image(directory, name, pause, Entrypoint=["/pause"], Labels={"tag": name.rpartition(":")[2]})
    _image(directory, f"{E2E}/nonewprivs:1.3", privileged, Entrypoint=["/nnp"])
    for name, port in (
        (f"{E2E}/nginx:1.14-2", 80),
        (f"{E2E}/httpd:2.4.39-4", 80),
        (f"{CRI}/hostnet-nginx-{ARCHITECTURE}", 12003),
    ):
        _image(directory, name, busybox, Entrypoint=["/usr/sbin/nginx", "master process", str(port)])
    _image(directory, BUSY, busybox, Cmd=["sh"])
    # A program that ends at once is a race between containerd, which notes the end, and the suite, which removes it.
    for name in ("latest", "tag:test", "tag:all", "1", "2", "3"):
        _image(directory, f"{CRI}/test-image-{name}", busybox, Cmd=["sleep", "1000"], Labels={"name": name})
    for tag in ("1", "2", "3"):
        _image(directory, f"{CRI}/test-image-tags:{tag}", busybox, Cmd=["sh"], Labels={"name": "tags"})
    for name, user in (
        ("user-uid", "1002"),
        ("user-username", "www-data"),
        ("user-uid-group", "1003:1004"),
        ("user-username-group", "www-data:1004"),
        ("predefined-group", "1000"),
    ):
        _image(directory, f"{CRI}/test-image-{name}", busybox, Cmd=["sh"], User=user)


def _compile(work: str, name: str, text: str) -> bytes:
    command = [os.environ.get("CC", "cc"), "-x", "c", "-static", "-O1", "-o", f"{work}/{name}", "-"]
    subprocess.run(command, input=text.encode(), check=True)
    with open(f"{work}/{name}", "rb") as file:
        return file.read()


def _busybox(built: Mapping[str, bytes], shell: str) -> bytes:
    """All applets as names of one file, as in the image of busybox: a mask over one of them hides no other."""
    with open(BUSYBOX, "rb") as file:
        files = {"bin/busybox": (file.read(), 0o755), "bin/eat": (built["eat"], 0o755)}
    files |= {name: (text.encode(), 0o755) for name, text in SCRIPTS.items()}
    files |= _with_libraries("bin/sh", shell)
    files |= {name: (text.encode(), 0o644) for name, text in TEXTS.items()}
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    return _archive(files, {f"bin/{name}": "bin/busybox" for name in applets if f"bin/{name}" not in files})


def _with_libraries(name: str, program: str) -> dict[str, tuple[bytes, int]]:
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    found = {name: program} | {path[1:]: path for path in re.findall(r"/\S+", said)}
    files = {}
    for inside, outside in found.items():
        with open(outside, "rb") as file:
            files[inside] = file.read(), 0o755
    return files


def _archive(files: Mapping[str, tuple[bytes, int]], links: Mapping[str, str] | None = None) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        above = {parent: 0o755 for name in files for parent in _parents(name)}
        for name, mode in sorted((above | DIRECTORIES).items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        for name, (text, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), mode
            archive.addfile(entry, io.BytesIO(text))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = tarfile.LNKTYPE, target, 0o755
            archive.addfile(entry)
    return data.getvalue()


def _parents(name: str) -> list[str]:
    words = name.split("/")[:-1]
    return ["/".join(words[: count + 1]) for count in range(len(words))]


def _blob(directory: str, data: bytes) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with open(f"{directory}/{digest}", "wb") as file:
        file.write(data)
    return {"digest": digest, "size": len(data)}


def _image(
    directory: str, name: str, layer: Mapping[str, Any], **config: str | Sequence[str] | Mapping[str, str]
) -> None:
    """Write an image of one layer; without a tag it is the latest."""
    image = {
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **config},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            **_blob(directory, json.dumps(image).encode()),
        },
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **layer}],
    }
    digest = _blob(directory, json.dumps(manifest).encode())["digest"]
    path, _, tag = name.partition("/")[2].partition(":")
    os.makedirs(f"{directory}/{path}", exist_ok=True)
    link = f"{directory}/{path}/{tag or 'latest'}"
    # The same name in two registries is one here.
    if not os.path.islink(link):
        os.symlink(os.path.relpath(f"{directory}/{digest}", os.path.dirname(link)), link)
