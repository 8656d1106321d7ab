"""From what podman and buildah save to a bundle that runs: docs/bundles.md."""

from __future__ import annotations

import pytest

from .engine import IMAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .engine import Podman


def ocirun(podman: Podman, *words: str) -> str:
    if not podman.runtime.ours:
        pytest.skip("of ocirun only")
    result = podman.machine.run(podman.path, "--root", f"{podman.machine.store}/state", *words)
    return str(result.ok().out)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci-dir", "docker-archive-gzip"])
def test_save(podman: Podman, form: str) -> None:
    path = f"{podman.machine.store}/{form}"
    podman("save", "--quiet", f"--format={form.removesuffix('-gzip')}", "-o", path, IMAGE)
    if form.endswith("-gzip"):
        podman.machine.run("gzip", "-1", path).ok()
        path += ".gz"
    words = ("sh", "-c", "id -un; ls -d /home/app")
    assert ocirun(podman, "run", "--image", path, *words) == "root\n/home/app\n"
    ocirun(podman, "bundle", path, f"{path}.bundle")


def test_several(podman: Podman) -> None:
    path = f"{podman.machine.store}/several.tar"
    podman("save", "--quiet", "--multi-image-archive", "-o", path, IMAGE, "localhost/pause:1")
    assert ocirun(podman, "run", "--tag", "bb", "--image", path, "echo", "x") == "x\n"
    refused = podman.machine.run(podman.path, "bundle", path, f"{path}.bundle")
    assert refused.code == 1
    assert "holds several images: localhost/bb:latest; localhost/pause:1" in refused.err


def test_buildah_push(podman: Podman) -> None:
    store = podman.machine.store
    podman.machine.run("buildah", "push", "--quiet", IMAGE, f"oci:{store}/layout:bb").ok()
    assert ocirun(podman, "run", "--image", f"{store}/layout", "echo", "x") == "x\n"
