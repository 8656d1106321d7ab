"""Recipes of root file systems, as `bundles/make` reads and follows them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture(scope="module")
def maker() -> Any:
    # The script has no suffix, so its loader must be named.
    loader = importlib.machinery.SourceFileLoader("bundles_make", str(BUNDLES / "make"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def follow(maker: Any, where: Path, text: str) -> Path:
    (where / "rootfs.recipe").write_text(text)
    maker.make(where / "rootfs", maker.read(where / "rootfs.recipe"), maker.static_busybox())
    return where / "rootfs"


def test_all_words(maker: Any, tmp_path: Path) -> None:
    (tmp_path / "other.recipe").write_text("dir 0750 /from/other\n")
    root = follow(
        maker,
        tmp_path,
        "# a comment\n"
        "include other.recipe\n"
        "busybox sh cat\n"
        "dir 1777 /tmp\n"
        "link /target /a/link\n"
        "file 4755 /a/file\n"
        "    first\n"
        "\n"
        "      indented\n"
        "    last\n"
        "\n"
        "dir 0700 /end\n",
    )
    assert stat.S_IMODE((root / "from/other").stat().st_mode) == 0o750
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert stat.S_IMODE((root / "a/file").stat().st_mode) == 0o4755
    assert (root / "a/file").read_text() == "first\n\n  indented\nlast\n"
    assert os.readlink(root / "a/link") == "/target"
    assert os.readlink(root / "bin/sh") == "busybox"
    assert subprocess.run([root / "bin/cat", root / "a/file"], capture_output=True, check=True).stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("what 1\n", "unknown word 'what'"),
        ("dir 0755\n", ":1: "),
        ("dir 0999 /x\n", ":1: "),
        ("dir 0755 /../x\n", "leaves the root file system"),
        ("busybox no-such-applet\n", "has no no-such-applet"),
        ("dir 0755 /x\n    content\n", "content without a file"),
    ],
)
def test_mistakes_are_named(maker: Any, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(maker.RecipeError) as caught:
        follow(maker, tmp_path, text)
    assert words in str(caught.value)
    assert "rootfs.recipe:" in str(caught.value)


def test_busybox_must_be_static(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSYBOX", sys.executable)
    with pytest.raises(maker.RecipeError, match="is not static"):
        maker.static_busybox()


def test_made_only_when_needed(maker: Any) -> None:
    bundle = BUNDLES / "clock"
    maker.make_bundle(bundle, force=False)
    before = (bundle / "rootfs").stat().st_ino
    assert maker.make_bundle(bundle, force=False) is False
    assert (bundle / "rootfs").stat().st_ino == before


@pytest.mark.parametrize("bundle", sorted(path.parent for path in BUNDLES.glob("*/config.json")), ids=lambda p: p.name)
def test_every_bundle_has_a_recipe_and_a_line(maker: Any, bundle: Path) -> None:
    maker.read(bundle / "rootfs.recipe")
    assert f"| `{bundle.name}` |" in (BUNDLES / "README.md").read_text()
