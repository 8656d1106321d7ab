"""Files and secrets of a run, and files into and out of a running container: also where the container is hostile."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from pathlib import Path

import pytest
from waiting import in_threads

import ocirun
from ocirun.plan import render

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Config = dict[str, Any]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

ROOM = 1 << 20
SECRET = b"7f0c-only-the-program-may-know-4be1\n"


def owned(rootfs: str, *args: str, **more: Any) -> Config:
    """A config with a user namespace."""
    return ocirun.sandbox(rootfs, list(args), missing="leave out", disk=ROOM, **more)


def plain(rootfs: str, *args: str, **more: Any) -> Config:
    """A config without one: root inside is root of the host."""
    config = owned(rootfs, *args, **more)
    config["linux"]["namespaces"] = [one for one in config["linux"]["namespaces"] if one["type"] != "user"]
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]
    config["annotations"]["org.ocirun.root.upper"] = f"size={ROOM}"
    return config


BOTH = pytest.mark.parametrize("config", [owned, plain])


@BOTH
def test_files_of_a_run(rootfs: str, root: str, config: Callable[..., Config]) -> None:
    files = {"/work/in/data": b"one\n", "/tmp/run.sh": (b"#!/bin/sh\necho two\n", 0o755), "/etc/passwd": b""}
    script = "cat /work/in/data; /tmp/run.sh; ls -ln /work/in/data /etc/passwd; echo x >> /work/in/data"
    given = config(rootfs, *shell(script), user=(1000, 1001))
    outcome = ocirun.run(config=given, files=files, root=root, timeout=60)
    assert outcome.ok, outcome.stderr
    lines = outcome.stdout.decode().splitlines()
    assert lines[:2] == ["one", "two"]
    assert [line.split()[:5] for line in lines[2:]] == [
        ["-rw-r--r--", "1", "1000", "1001", "0"],
        ["-rw-r--r--", "1", "1000", "1001", "4"],
    ]
    assert outcome.changes is not None and "/etc/passwd" in outcome.changes.changed
    assert (Path(rootfs) / "etc" / "passwd").stat().st_size and not (Path(rootfs) / "work").exists()


def test_files_of_prepared_runs(rootfs: str, root: str) -> None:
    script = shell("cat /tmp/*; ls /run/secrets; cat /run/secrets/*")
    judge = ocirun.Prepared(config=owned(rootfs, *script), files={"/tmp/a": b"a"}, secrets={"s": b"t"}, root=root)
    assert judge.run().stdout == b"as\nt"
    assert judge.run(files={"/tmp/b": b"b"}, secrets={"u": b"v"}).stdout == b"abs\nu\ntv"
    assert judge.run(files={"/tmp/a": b"c"}).stdout == b"cs\nt"
    assert judge.run(args=list(script)).stdout == b"as\nt"
    with ocirun.Pool(judge, size=1) as pool:
        assert pool.run().stdout == b"as\nt"


@pytest.mark.parametrize("place", ["/data", "/share/x"])
def test_files_that_would_stay_are_refused(rootfs: str, root: str, tmp_path: Path, place: str) -> None:
    mounts = [{"destination": "/share", "type": "bind", "source": str(tmp_path), "options": ["rbind"]}]
    config = ocirun.sandbox(rootfs, ["/bin/true"], missing="leave out", mounts=mounts)
    with pytest.raises(ocirun.ConfigError) as caught:
        ocirun.run(config=config, files={place: b"x"}, root=root)
    assert caught.value.problems[0].pointer == "/annotations/org.ocirun.files"
    assert not (Path(rootfs) / "data").exists() and not list(tmp_path.iterdir())[1:]


def test_a_link_of_the_image_leads_nowhere_else(rootfs: str, root: str) -> None:
    outside = Path(rootfs).parent / "outside"
    outside.mkdir()
    (Path(rootfs) / "link").symlink_to(outside)
    outcome = ocirun.run(config=owned(rootfs, "/bin/true"), files={"/link/x": b"x"}, root=root, timeout=60)
    assert outcome.changes is not None and f"{outside}/x" in outcome.changes.added
    assert not list(outside.iterdir())


@BOTH
def test_secrets(rootfs: str, root: str, config: Callable[..., Config]) -> None:
    script = "cat /run/secrets/key; ls -ln /run/secrets/key; echo x > /run/secrets/key; cat /proc/mounts; env"
    given = config(rootfs, *shell(script), user=(1000, 1000))
    outcome = ocirun.run(config=given, secrets={"key": SECRET}, root=root, timeout=60)
    first, second, *rest = outcome.stdout.splitlines(keepends=True)
    assert first == SECRET and second.split()[:4] == [b"-r--------", b"1", b"1000", b"1000"]
    assert b"Read-only file system" in outcome.stderr
    assert SECRET.strip() not in b"".join(rest)
    assert any(line.split()[1:3] == [b"/run/secrets", b"ramfs"] for line in rest if len(line.split()) == 6)


def every_byte(folder: str) -> bytes:
    found = b""
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            found += os.readlink(path).encode() if os.path.islink(path) else b""
            if stat.S_ISREG(os.lstat(path).st_mode):
                found += Path(path).read_bytes()
    return found


def test_secrets_are_told_nowhere(rootfs: str, root: str, tmp_path: Path) -> None:
    given = owned(rootfs, "/bin/sleep", "60")
    trace, said = str(tmp_path / "trace"), []
    options = ocirun.CreateOptions(trace=trace, debug=lambda text, parts: said.append(f"{text} {parts}"))
    secret = SECRET.strip()
    with ocirun.Container.create("s", config=given, secrets={"key": SECRET}, options=options, root=root) as container:
        before = (
            Path(f"/proc/{container.pid}/cmdline").read_bytes() + Path(f"/proc/{container.pid}/environ").read_bytes()
        )
        container.start()
        assert container.run(["/bin/cat", "/run/secrets/key"]).stdout == SECRET
        told = [
            before,
            every_byte(root),
            every_byte(str(tmp_path)),
            repr(container.state()).encode(),
            repr(said).encode(),
        ]
        told.append(Path(f"/proc/{container.pid}/environ").read_bytes())
    with pytest.raises(ocirun.OcirunError) as caught:
        ocirun.run(config=owned(rootfs, "/no/such"), secrets={"key": SECRET}, root=root)
    told += [repr(vars(caught.value)).encode(), str(caught.value).encode()]
    with pytest.raises(ocirun.OcirunError) as caught:
        ocirun.run(config=owned(rootfs, "/bin/true"), secrets={"key": SECRET.decode()}, root=root)  # type: ignore[dict-item]
    with pytest.raises(ocirun.OcirunError) as other:
        ocirun.run(config=owned(rootfs, "/bin/true"), secrets={"key": SECRET, "x" * 300: SECRET}, root=root)
    told += [str(other.value).encode(), repr(vars(other.value)).encode()]
    prepared = ocirun.Prepared(config=given, secrets={"key": SECRET}, root=root)
    told += [render.json(prepared.plan()).encode(), render.plan_text(prepared.plan()).encode(), repr(prepared).encode()]
    assert b"key" in told[-2], "that there is one is no secret"
    assert secret not in b"".join(told)


def test_a_saved_config_has_no_contents(rootfs: str, root: str) -> None:
    given = owned(rootfs, "/bin/true")
    given["annotations"]["org.ocirun.secrets"] = '["key"]'
    with pytest.raises(ocirun.ConfigError, match="the content of /key is not there"):
        ocirun.run(config=given, root=root)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"files": ["/x"]}, "files"),
        ({"files": {"/x": "text"}}, r"files\['/x'\]"),
        ({"files": {"/x": (b"", -1)}}, r"files\['/x'\]"),
        ({"files": {3: b""}}, "files: a name"),
        ({"secrets": {"x": "text"}}, r"secrets\['x'\]"),
        ({"secrets": b"x"}, "secrets"),
        *(({"files": {path: b""}}, rf"files\[{re.escape(repr(path))}\]") for path in ("x", "/", "/a/../b", "/a/")),
        *(({"secrets": {name: b""}}, rf"secrets\[{re.escape(repr(name))}\]") for name in ("", ".", "..", "a/b")),
    ],
)
def test_wrong_parameters(rootfs: str, root: str, given: dict[str, Any], name: str) -> None:
    with pytest.raises(ocirun.UsageError, match=f"^{name}: "):
        ocirun.run(config=owned(rootfs, "/bin/true"), root=root, **given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("files", [{"path": path, "mode": 0}]) for path in ("x", "/", "/a/../b", "/a/", "/tmp")),
        *(("secrets", [name]) for name in ("", ".", "..", "a/b")),
    ],
)
def test_wrong_places(rootfs: str, root: str, name: str, value: list[Any]) -> None:
    config = owned(rootfs, "/bin/true")
    config.setdefault("annotations", {})[f"org.ocirun.{name}"] = json.dumps(value)
    with pytest.raises(ocirun.ConfigError) as caught:
        ocirun.run(config=config, root=root)
    assert caught.value.problems[0].pointer.startswith("/annotations/org.ocirun.")


@contextlib.contextmanager
def running(config: Config, root: str) -> Iterator[ocirun.Container]:
    with ocirun.Container.create(f"files-{os.getpid()}", config=config, root=root) as container:
        container.start()
        yield container


@BOTH
def test_put_and_get(rootfs: str, root: str, config: Callable[..., Config]) -> None:
    with running(config(rootfs, "/bin/sleep", "60", user=(1000, 1000)), root) as container:
        assert container.get("/etc/passwd") == (Path(rootfs) / "etc" / "passwd").read_bytes()
        container.put("/new/deep/file", b"content", mode=0o640)
        container.put("/etc/passwd", b"", user=(5, 6))
        container.put("/tmp/x", bytes(range(256)) * 1000)
        assert container.get("/tmp/x") == bytes(range(256)) * 1000
        assert container.get("/new/deep/file") == b"content"
        listed = container.run(["/bin/ls", "-ln", "/new/deep/file", "/etc/passwd"]).stdout.decode().splitlines()
        assert sorted(" ".join(line.split()[:5]) for line in listed) == [
            "-rw-r----- 1 1000 1000 7",
            "-rw-r--r-- 1 5 6 0",
        ]
        assert container.get("/tmp/x", limit=256_000)
        with pytest.raises(ocirun.UsageError, match=r"^limit: "):
            container.get("/tmp/x", limit=255_999)
        assert container.get("/etc/passwd", limit=0) == b""
        container.pause()
        container.put("/tmp/y", b"while it is paused")
        assert container.get("/tmp/y") == b"while it is paused"
        container.resume()
    assert (Path(rootfs) / "etc" / "passwd").stat().st_size, "the image is what it was"


def test_what_is_no_file(rootfs: str, root: str) -> None:
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        assert container.run(list(shell("mkfifo /tmp/fifo; ln -s /nowhere /tmp/dangling; mkdir /tmp/d"))).ok
        for path in ("/tmp/fifo", "/tmp/d", "/dev/zero", "/tmp/dangling", "/proc/self/exe", "/proc/1/root/etc/passwd"):
            with pytest.raises(ocirun.StepError):
                container.get(path)
        for path in ("/tmp/d", "/proc/sys/kernel/hostname", "/proc/made", "/sys/made", "/dev/null"):
            with pytest.raises(ocirun.StepError):
                container.put(path, b"x")
        container.put("/tmp/fifo", b"in its place")
        container.put("/tmp/dangling", b"in its place")
        assert container.get("/tmp/fifo") == container.get("/tmp/dangling") == b"in its place"
        assert container.run(["/bin/ls", "-A", "/tmp"]).stdout == b"d\ndangling\nfifo\n", "nothing else is left"
        for wrong in ("tmp", "/tmp/", "", 3, "/a\0b"):
            with pytest.raises(ocirun.UsageError, match=r"^path: "):
                container.get(wrong)  # type: ignore[arg-type]


def test_no_room(rootfs: str, root: str) -> None:
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        with pytest.raises(ocirun.StepError, match="no space left"):
            container.put("/large", bytes(2 * ROOM))
        assert b".ocirun" not in container.run(["/bin/ls", "-A", "/"]).stdout
        container.put("/small", bytes(ROOM // 2))


@BOTH
def test_hostile_links(rootfs: str, root: str, tmp_path: Path, config: Callable[..., Config]) -> None:
    """The directory of the file is a link to a directory of the host, and changes all the time."""
    tmp_path.chmod(0o777)
    canary = tmp_path / "file"
    canary.write_bytes(b"of the host")
    script = (
        f"mkdir -p /tmp/real {tmp_path}; echo inside > /tmp/real/file;"
        f"while true; do ln -sfn {tmp_path} /tmp/d; ln -sfn /tmp/real /tmp/d; ln -sfn /proc/1/root{tmp_path} /tmp/d; done"
    )
    given = config(rootfs, *shell(script))
    got = set()
    with running(given, root) as container:
        for _ in range(60):
            with contextlib.suppress(ocirun.StepError):
                got.add(container.get("/tmp/d/file"))
            with contextlib.suppress(ocirun.StepError):
                container.put("/tmp/d/put", b"mine")
    assert b"of the host" not in got
    assert sorted(path.name for path in tmp_path.iterdir() if path.name in ("put", "file")) == ["file"]
    assert canary.read_bytes() == b"of the host"


def test_many_threads(rootfs: str, root: str) -> None:
    with running(owned(rootfs, "/bin/sleep", "60"), root) as container:
        failed: list[BaseException] = []

        def work(number: int) -> None:
            try:
                for turn in range(5):
                    container.put(f"/tmp/{number}", b"%d %d" % (number, turn))
                    assert container.get(f"/tmp/{number}") == b"%d %d" % (number, turn)
            except BaseException as error:
                failed.append(error)

        in_threads(work, 4)
        assert not failed


def test_a_stopped_one(rootfs: str, root: str) -> None:
    with running(owned(rootfs, "/bin/true"), root) as container:
        container.wait()
        for call in (lambda: container.get("/etc/passwd"), lambda: container.put("/x", b"")):
            with pytest.raises(ocirun.StateError):
                call()
