"""From what docker saves and exports to a bundle that runs: docs/bundles.md."""

from __future__ import annotations

import json
import os

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .daemon import Docker

DOCKERFILE = """FROM bb
RUN rm /etc/profile && mkdir /srv && echo layer > /srv/file && ln /srv/file /srv/hard
USER app
WORKDIR /srv
ENV X=from-the-image
LABEL a=b
ENTRYPOINT ["sh", "-c"]
CMD ["id -u; id -G; cat hard; echo $X; ls -d /etc/p*"]
"""


def ocirun(docker: Docker, *words: str, stdin: bytes = b"") -> str:
    if not docker.runtime.ours:
        pytest.skip("of ocirun only")
    result = docker.machine.run(docker.path, "--root", f"{docker.machine.store}/state", *words, stdin=stdin)
    return str(result.ok().out)


def test_save(docker: Docker) -> None:
    store = docker.machine.store
    docker.machine.write(f"{store}/context/Dockerfile", DOCKERFILE)
    docker("build", "--no-cache", "-t", "saved:1", f"{store}/context", env={"DOCKER_BUILDKIT": "0"})
    try:
        docker("save", "-o", f"{store}/saved.tar", "saved:1")
        said = docker("run", "--rm", "saved:1").ok().out
        assert ocirun(docker, "run", "--image", f"{store}/saved.tar") == said
        ocirun(docker, "bundle", "--tag", "saved:1", f"{store}/saved.tar", f"{store}/saved")
        with open(f"{store}/saved/config.json", encoding="utf-8") as file:
            config = json.load(file)
        assert config["annotations"]["a"] == "b"
        assert config["process"]["cwd"] == "/srv"
        assert not os.path.exists(f"{store}/saved/rootfs/etc/profile")
        assert os.stat(f"{store}/saved/rootfs/srv/file").st_nlink == 2
    finally:
        docker("rmi", "saved:1")


def test_export(docker: Docker) -> None:
    store = docker.machine.store
    docker.keep("--name=exported", "--", "true").ok()
    try:
        docker("export", "-o", f"{store}/exported.tar", "exported")
    finally:
        docker("rm", "exported")
    assert ocirun(docker, "run", "--image", f"{store}/exported.tar", "sh", "-c", "echo $0; id -un") == "sh\nroot\n"


def test_debian(docker: Docker, debian: str) -> None:
    """What mmdebstrap makes."""
    said = ocirun(docker, "run", "--image", debian, "sh", "-c", ". /etc/os-release; echo $ID; perl -e 'print 6*7'")
    assert said == "debian\n42"
