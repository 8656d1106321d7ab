"""What the harness does without a guest."""

from __future__ import annotations

import os
import struct
import tarfile

import pytest

from . import arch, foreign, guest, initrd, machine, share, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def modules(tmp_path: Path) -> str:
    """A module tree: `top` needs `mid`, which needs `low`; `fixed` is part of the kernel."""
    (tmp_path / "modules.dep").write_text("a/top.ko: a/mid-x.ko a/low.ko\na/mid-x.ko: a/low.ko\na/low.ko:\n")
    (tmp_path / "modules.builtin").write_text("kernel/a/fixed.ko\n")
    (tmp_path / "a").mkdir()
    for name in ("top", "mid-x", "low"):
        (tmp_path / "a" / f"{name}.ko").write_bytes(name.encode())
    return str(tmp_path)


def test_modules_come_after_those_they_need(modules: str) -> None:
    assert initrd.load_order(modules, ["fixed", "mid_x", "top"]) == ["a/low.ko", "a/mid-x.ko", "a/top.ko"]


def test_a_missing_module_is_an_error(modules: str) -> None:
    with pytest.raises(KeyError, match="gone"):
        initrd.load_order(modules, ["gone"])


def test_ram_disk_is_an_archive_that_cpio_reads(modules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "EARLY_MODULES", ("top",))
    initrd.write(f"{modules}/initrd", __file__, modules)
    with open(f"{modules}/initrd", "rb") as file:
        data = file.read()
    found = {}
    at = 0
    while data[at : at + 6] == b"070701":
        fields = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        start = at + 110
        name = data[start : start + fields[11] - 1].decode()
        body = at + (110 + fields[11] + 3) // 4 * 4
        found[name] = (fields[1], data[body : body + fields[6]])
        at = body + (fields[6] + 3) // 4 * 4
    assert at == len(data)
    assert found["order"][1] == b"low.ko\nmid-x.ko\ntop.ko"
    assert found["mods/mid-x.ko"] == (0o100755, b"mid-x")
    assert list(found)[-1] == "TRAILER!!!"


def test_share_holds_the_checkout_without_what_stays_here(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("more")
    share.write(str(tmp_path / "disk"), {"/opt/more": str(tmp_path / "more")})
    assert os.path.getsize(tmp_path / "disk") == machine.SHARE_SIZE
    with tarfile.open(tmp_path / "disk") as archive:
        names = {"/" + entry.name.lstrip("/"): entry for entry in archive}
    assert f"{share.CHECKOUT}/runtime/ocirun/__init__.py" in names
    assert f"{share.CHECKOUT}/bundles/hello/rootfs.recipe" in names
    assert names[f"{share.CHECKOUT}/.venv/pyvenv.cfg"].size > 0
    assert "/opt/more" in names
    assert not [name for name in names if "/.git/" in name or "/mypy/" in name]
    assert {entry.uid for name, entry in names.items() if name.startswith(share.CHECKOUT)} == {0}


@pytest.mark.parametrize(("ours", "theirs"), [("amd64", "arm64"), ("arm64", "amd64")])
def test_share_leaves_out_what_is_compiled_for_another_machine(ours: str, theirs: str) -> None:
    marks = share.others(arch.ALL[ours])
    for name, kind in (
        ("_native.cpython-311-{}.so", "tuple"), ("cpython-311-{}", "tuple"), ("{}-packages", "debian"),
    ):  # fmt: skip
        assert not any(mark in name.format(getattr(arch.ALL[ours], kind)) for mark in marks)
        assert any(mark in name.format(getattr(arch.ALL[theirs], kind)) for mark in marks)


def test_a_foreign_root_is_set_up_without_its_packages_scripts(tmp_path: Path) -> None:
    for name in (
        "usr/bin",
        "usr/sbin",
        "usr/share/libc-bin",
        "usr/share/base-files",
        "usr/share/base-passwd",
        "etc/pam.d",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "var" / "run").mkdir(parents=True)
    for name in foreign.COPIES.values():
        (tmp_path / name).write_text("root:*:0:\n")
    foreign.set_up(str(tmp_path))
    assert os.readlink(tmp_path / "var" / "run") == "/run"
    users = (tmp_path / "etc" / "passwd").read_text().splitlines()
    assert users[0] == "root:*:0:"
    assert users[1].split(":")[:4] == ["messagebus", "x", "101", "101"]
    assert "messagebus:x:101:" in (tmp_path / "etc" / "group").read_text().splitlines()


def test_share_holds_an_installation_with_the_interpreter_of_the_guest(tmp_path: Path) -> None:
    for name in (
        "bin/ocirun",
        "bin/python3.11",
        "pyvenv.cfg",
        "lib/ocirun/_pack.x",
        "lib/ocirun/_preload.x",
        "lib/pip/x.py",
    ):
        (tmp_path / "env" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "env" / name).write_text("from here")
    share.write(str(tmp_path / "disk"), installed=str(tmp_path / "env"))
    with tarfile.open(tmp_path / "disk") as archive:
        names = {"/" + entry.name.lstrip("/"): entry for entry in archive}
    assert names[share.PROGRAM].linkname == f"{share.INSTALLED}/bin/ocirun"
    assert names[f"{share.INSTALLED}/bin/python3.11"].linkname == share.INTERPRETER
    below = {
        name.removeprefix(f"{share.INSTALLED}/lib/") for name in names if name.startswith(f"{share.INSTALLED}/lib/")
    }
    assert below == {"ocirun", "ocirun/_pack.x"}


def test_every_frame_of_the_agent_says_its_length() -> None:
    from . import agent

    near, far = os.pipe()
    agent.send(far, b"o", b"text")
    assert os.read(near, 100) == b"o" + struct.pack(">I", 4) + b"text"
    os.close(near)
    os.close(far)


def test_key_follows_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    if store.missing():
        pytest.skip(store.missing())
    before = store.key(machine.TCG)
    assert before == store.key(machine.TCG)
    assert before != store.key(machine.KVM)
    monkeypatch.setattr(machine, "MEMORY", 2048)
    assert before != store.key(machine.TCG)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.shutil, "which", lambda *_, **__: None)
    assert "install" in store.missing()
    assert "qemu-system-x86" in store.missing()
