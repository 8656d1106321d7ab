"""What `check` finds on this host: the program, the sources of binds, parameters, file systems, cgroups."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from check.rootfs import ELSEWHERE, elf, make, put
from check.test_audit import base, look
from ocirun._base import procfile
from ocirun.audit import host, program
from ocirun.audit.findings import ERROR, HOST, WARNING
from ocirun.audit.inside import Inside, UnknownPlaceError
from ocirun.host import facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[dict[str, Any], Path], object]


@pytest.fixture(autouse=True)
def no_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interpreters of other machines' programs in the kernel, whatever this host has."""
    names = procfile.names
    monkeypatch.setattr(procfile, "names", lambda path: [] if "binfmt_misc" in path else names(path))


def found(config: dict[str, Any], bundle: Path) -> list[tuple[str, str, str]]:
    """(severity, pointer, message) of the findings on this host."""
    findings = look(config, bundle, keep=True).findings
    return [(one.severity, one.pointer, one.message) for one in findings if one.source == HOST]


def script(content: bytes, mode: int = 0o755) -> Change:
    def change(config: dict[str, Any], rootfs: Path) -> None:
        put(rootfs / "run.sh", content, mode)
        config["process"]["args"] = ["/run.sh"]

    return change


def chain(count: int) -> Change:
    """Scripts of which each interprets the one before; the last has a program."""

    def change(config: dict[str, Any], rootfs: Path) -> None:
        for number in range(count):
            target = "/bin/true" if number == count - 1 else f"/{number + 1}"
            put(rootfs / str(number), f"#!{target}\n".encode())
        config["process"]["args"] = ["/0"]

    return change


def both(*changes: Change) -> Change:
    return lambda config, rootfs: [change(config, rootfs) for change in changes]


def hook(config: dict[str, Any], _: Path) -> None:
    config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}


@pytest.mark.parametrize(
    ("change", "severity", "words"),
    [
        (lambda c, r: c["process"].update(args=["nothing"]), ERROR, "nothing: executable file not found in $PATH"),
        (lambda c, r: c["process"].update(args=["/bin/nothing"]), ERROR, "/bin/nothing: no such file or directory"),
        (both(lambda c, r: c["process"].update(args=["/bin/nothing"]), hook), WARNING, "no such file or directory"),
        (lambda c, r: c["process"].update(args=["/bin/true/x"]), ERROR, "/bin/true/x: not a directory"),
        (lambda c, r: c["process"].update(args=["/bin"]), ERROR, "/bin: is no regular file"),
        (lambda c, r: c["process"].update(env=["PATH=/sbin:/usr/bin"]), ERROR, "not found in $PATH"),
        (script(elf(), 0o644), ERROR, "/run.sh: is not executable"),
        (script(elf(ELSEWHERE)), ERROR, "/run.sh: is for "),
        (script(elf(loader="/lib/ld.so")), ERROR, "is there, but its loader /lib/ld.so is not"),
        (script(elf(3, "/lib/ld32.so", wide=False)), ERROR, "loader /lib/ld32.so" if os.uname().machine == "x86_64" else "is for i386"),
        (script(elf()[:40]), ERROR, "is cut off, with 40 bytes"),
        (script(b"echo x\n"), ERROR, "neither a program in the format ELF nor a script"),
        (script(b"#!\n"), ERROR, "has #! and no interpreter"),
        (script(b"#! /bin/nosh -e\n"), ERROR, "its interpreter /bin/nosh is not"),
        (script(b"#!/run.sh\n"), ERROR, "the kernel follows 5 scripts"),
        (chain(6), ERROR, "the kernel follows 5 scripts"),
        (script(b"#!/bin/true\r\n"), ERROR, "carriage return, which is taken for a part of '/bin/true\\r'"),
    ],
)  # fmt: skip
def test_program(tmp_path: Path, change: Change, severity: str, words: str) -> None:
    rootfs = make(tmp_path / "rootfs")
    config = base()
    change(config, rootfs)
    told = found(config, tmp_path)
    assert [(one[0], one[1]) for one in told] == ([(severity, program.POINTER)] if severity else [])
    assert all(words in one[2] for one in told), told


@pytest.mark.parametrize(
    "change",
    [
        lambda c, r: c["process"].update(args=["bin/true"]),
        lambda c, r: c["process"].update(args=["./true"], cwd="/bin"),
        both(lambda c, r: os.symlink("../../../../bin", r / "usr"), lambda c, r: c["process"].update(args=["/usr/true"])),
        both(lambda c, r: os.symlink("/bin/true", r / "x"), lambda c, r: c["process"].update(args=["/x"])),
        script(b"#!/bin/true\n"),
        script(b"#! \t/bin/true\targument\r\n"),
        chain(5),
        both(lambda c, r: put(r / "lib" / "ld.so", elf()), script(elf(loader="/lib/ld.so"))),
        # What is under a new file system, or comes from a directory of the host.
        lambda c, r: c["process"].update(args=["/tmp/made-later"]),
        both(lambda c, r: put(r.parent / "tools" / "x", elf()), lambda c, r: c["process"].update(args=["/opt/x"]),
             lambda c, r: c["mounts"].append({"destination": "/opt", "source": "tools", "options": ["bind"]})),
    ],
)  # fmt: skip
def test_program_that_is_there(tmp_path: Path, change: Change) -> None:
    rootfs = make(tmp_path / "rootfs")
    config = base()
    change(config, rootfs)
    assert found(config, tmp_path) == []


def test_other_machines_with_an_interpreter_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rootfs = make(tmp_path / "rootfs")
    put(rootfs / "x", elf(ELSEWHERE))
    monkeypatch.setattr(procfile, "names", lambda path: ["qemu", "register", "status"])
    config = base()
    config["process"]["args"] = ["/x"]
    assert [one[0] for one in found(config, tmp_path)] == [WARNING]


def test_noexec_of_a_mount(tmp_path: Path) -> None:
    make(tmp_path / "rootfs")
    put(tmp_path / "tools" / "x", elf())
    config = base()
    config["process"]["args"] = ["/opt/x"]
    config["mounts"].append({"destination": "/opt", "source": "tools", "options": ["bind", "noexec"]})
    assert found(config, tmp_path) == [(ERROR, program.POINTER, "/opt/x: is on a mount with noexec, /mounts/1")]


def test_links_do_not_lead_outside(tmp_path: Path) -> None:
    rootfs = make(tmp_path / "rootfs")
    put(tmp_path / "outside", elf())
    os.symlink("../../outside", rootfs / "bin" / "up")
    os.symlink(tmp_path / "outside", rootfs / "bin" / "absolute")
    os.symlink("loop", rootfs / "bin" / "loop")
    inside = Inside(str(rootfs), (), str(tmp_path))
    for name, number in (("up", 2), ("absolute", 2), ("loop", 40), ("../../outside", 2)):
        with pytest.raises(OSError, match=r"no such file|too many") as error:
            inside.find(f"/bin/{name}")
        assert error.value.errno == number
    found = inside.find("/bin/../../../bin/true")
    assert (found.path, found.mount) == ("/bin/true", -1)
    found.close()


def test_mounts_on_links_and_over_each_other(tmp_path: Path) -> None:
    rootfs = make(tmp_path / "rootfs")
    os.symlink("bin", rootfs / "sbin")
    for name in ("one", "two"):
        put(tmp_path / name / name, elf())
    mounts = [{"destination": "/sbin", "source": name, "options": ["rbind"]} for name in ("one", "two")]
    inside = Inside(str(rootfs), mounts, str(tmp_path))
    found = inside.find("/bin/two")
    assert (found.path, found.mount) == ("/bin/two", 1)
    found.close()
    with pytest.raises(FileNotFoundError):
        inside.find("/bin/one")
    covered = Inside(str(rootfs), [*mounts, {"destination": "/bin", "type": "tmpfs"}], str(tmp_path))
    with pytest.raises(UnknownPlaceError):
        covered.find("/sbin/two")


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    rootfs = make(tmp_path / "rootfs")
    script(b"#!/bin/true\n")(base(), rootfs)
    before = os.listdir("/proc/self/fd")
    for args in (["true"], ["/run.sh"], ["/no"], ["/bin/true/x"], ["/bin"]):
        config = base()
        config["process"]["args"] = args
        found(config, tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_empty_root(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    told = found(base(), tmp_path)
    assert told == [(ERROR, "/root/path", f"{tmp_path}/rootfs: is an empty directory")]
    config = base()
    del config["process"]
    assert [one[0] for one in found(config, tmp_path)] == [WARNING]


def test_sources(tmp_path: Path) -> None:
    make(tmp_path / "rootfs")
    config = base()
    config["mounts"] += [
        {"destination": "/a", "source": "missing", "options": ["bind,ro"]},
        {"destination": "/b", "source": "rootfs", "options": ["rbind"]},
    ]
    assert found(config, tmp_path) == [(ERROR, "/mounts/1/source", f"{tmp_path}/missing: no such file or directory")]
    os.symlink("nowhere", tmp_path / "link")
    config["mounts"][1] |= {"source": "link", "options": ["bind", "copy-symlink"]}
    assert found(config, tmp_path) == []
    config["mounts"][1]["options"] = ["bind"]
    hook(config, tmp_path)
    ((severity, _, message),) = found(config, tmp_path)
    assert severity == WARNING
    assert "a hook may make it" in message


def test_namespaces(tmp_path: Path) -> None:
    make(tmp_path / "rootfs")
    config = base()
    config["linux"]["namespaces"].append({"type": "network", "path": "/proc/self/ns/net"})
    assert found(config, tmp_path) == []
    config["linux"]["namespaces"][-1]["path"] = f"{tmp_path}/gone"
    place = f"/linux/namespaces/{len(config['linux']['namespaces']) - 1}/path"
    assert found(config, tmp_path) == [(ERROR, place, f"{tmp_path}/gone: no such file or directory")]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "poststart", "poststop"])
def test_hooks(tmp_path: Path, kind: str) -> None:
    make(tmp_path / "rootfs")
    put(tmp_path / "plain", b"#!/bin/sh\n", 0o644)
    severity = WARNING if kind == "poststop" else ERROR
    config = base()
    for name, words in (("gone", "no such file or directory"), ("plain", "is not executable"), ("", "no regular file")):
        path = f"{tmp_path}/{name}"
        config["hooks"] = {kind: [{"path": path}]}
        ((told, place, text),) = found(config, tmp_path)
        assert (told, place) == (severity, f"/hooks/{kind}/0/path")
        assert text.startswith(f"{path}: ")
        assert words in text
    config["hooks"] = {kind: [{"path": "/bin/sh"}, {"path": f"{tmp_path}/gone"}], "startContainer": [{"path": "/x"}]}
    ((told, place, text),) = found(config, tmp_path)
    assert (told, place) == (WARNING, f"/hooks/{kind}/1/path")
    assert text.endswith("; a hook before it may make it")


def test_parameters(tmp_path: Path) -> None:
    make(tmp_path / "rootfs")
    config = base()
    config["linux"]["namespaces"] += [{"type": "network"}, {"type": "ipc"}]
    config["linux"]["sysctl"] = {
        "kernel.shmmax": "1", "net.ipv4.no_such": "1", "net.ipv4.conf.eth77.forwarding": "1",
    }  # fmt: skip
    told = {(severity, pointer) for severity, pointer, _ in found(config, tmp_path)}
    assert told == {
        (ERROR, "/linux/sysctl/net.ipv4.no_such"),
        (WARNING, "/linux/sysctl/net.ipv4.conf.eth77.forwarding"),
    }


def test_types(tmp_path: Path) -> None:
    make(tmp_path / "rootfs")
    config = base()
    config["mounts"].append({"destination": "/a", "type": "nosuchfs", "source": "x"})
    ((severity, pointer, message),) = found(config, tmp_path)
    assert (severity, pointer) == (WARNING, "/mounts/1/type")
    assert "no file system 'nosuchfs' now" in message


def test_read_only_cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ocirun.cgroup.drivers.v1 import V1Driver
    from ocirun.cgroup.paths import Group
    from ocirun.host.cgroups import Layout, Mount

    mount = Mount("/cg/memory", controllers=("memory",), readonly=True)
    layout = Layout({"memory": mount}, {"memory": "/"})
    monkeypatch.setattr(facts, "cgroup_layout", lambda: layout)
    driver = V1Driver([Group(("memory",), "/cg/memory", "0:1", "x")])
    (finding,) = host._groups(driver)
    assert (finding.severity, finding.pointer) == (ERROR, "/linux/cgroupsPath")
    assert "/cg/memory, which is mounted read-only" in finding.message
