"""`ocirun run --image`: what of an image is run, and that nothing is left, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import pytest
from waiting import eventually

from .archives import archive, directory, entry, layout, symlink
from .test_command import NEEDS_ROOT, PROGRAM, as_nobody, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

pytestmark = NEEDS_ROOT


@pytest.fixture
def image(open_directory: Path) -> Path:
    """A small image, with directories for its state and for its bundle."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox-static is needed"
    with open(busybox, "rb") as file:
        program = entry("bin/busybox", file.read(), mode=0o755)
    links = [symlink(f"bin/{name}", "busybox") for name in ("sh", "echo", "sleep", "id")]
    os.chmod(open_directory, 0o777)
    os.mkdir(open_directory / "tmp")
    os.chmod(open_directory / "tmp", 0o1777)
    config = {"Entrypoint": ["/bin/echo", "entry"], "Cmd": ["the", "cmd"]}
    return layout(open_directory / "image", archive(program, *links, directory("closed", mode=0)), config=config)


def words(image: Path, *more: str, options: tuple[str, ...] = ()) -> list[str]:
    where = image.parent
    return ["--root", str(where / "state"), "run", *options, "--platform", "linux/amd64", "--image", str(image), *more]


def left(image: Path) -> list[str]:
    state = image.parent / "state"
    return [*os.listdir(image.parent / "tmp"), *(path.name for path in state.glob("[!.]*"))]


def call(image: Path, *more: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TMPDIR": str(image.parent / "tmp")}
    result = run(*words(image, *more, options=options), env=env, stdin=subprocess.DEVNULL)
    assert left(image) == []
    return result


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "entry the cmd\n"),
        (("other", "--words", "-x"), "entry other --words -x\n"),
        (("--", "-n", "x"), "entry -n x\n"),
    ],
)
def test_arguments(image: Path, more: tuple[str, ...], said: str) -> None:
    result = call(image, *more)
    assert (result.stdout, result.stderr, result.returncode) == (said, "", 0)


def test_the_status_of_the_program(open_directory: Path, image: Path) -> None:
    shutil.rmtree(image)
    with open("/bin/busybox", "rb") as file:
        made = archive(entry("bin/sh", file.read(), mode=0o755))
    layout(image, made, config={"Entrypoint": ["/bin/sh", "-c"]})
    result = call(image, "mkdir -p /a/b && echo x >/a/b/c && chmod 0 /a; exit 7")
    assert (result.returncode, result.stderr) == (7, "")


@pytest.mark.parametrize("name", ["--bundle=/x", "--config=/x", "--detach", "--keep", "--console-socket=/x"])
def test_what_cannot_go_with_it(image: Path, name: str) -> None:
    result = call(image, options=(name,))
    assert result.returncode == 1
    assert f"run: {name.partition('=')[0]} cannot go with --image" in result.stderr


def test_what_goes_with_it_only() -> None:
    assert "run: --tag is for an image, which --image names" in run("run", "--tag", "x", "id").stderr
    assert "run: takes ID, but got 0 arguments" in run("run").stderr
    assert "the path of the image is empty" in run("run", "--image=").stderr
    assert "the path of the image is empty" in run("run", "--image", "", "sh").stderr


def test_a_program_that_is_not_there(image: Path) -> None:
    (image / "index.json").unlink()
    assert "index.json" in call(image).stderr
    shutil.rmtree(image)
    layout(image, archive(entry("f")), config={"Cmd": ["/nosuch"]})
    assert "stat /nosuch: no such file or directory" in call(image).stderr


def test_no_place(image: Path) -> None:
    env = {**os.environ, "TMPDIR": str(image.parent / "nosuch")}
    result = run(*words(image), env=env)
    assert result.returncode == 1
    assert "set TMPDIR to a directory with room for the image" in result.stderr


def test_as_an_ordinary_user(open_program: str, image: Path) -> None:
    result = subprocess.run(
        [open_program, *words(image, "x")],
        capture_output=True,
        text=True,
        check=False,
        user=65534,
        group=65534,
        extra_groups=[],
        env={**os.environ, "TMPDIR": str(image.parent / "tmp")},
    )
    assert (result.stdout, result.stderr) == ("entry x\n", "")
    assert os.listdir(image.parent / "tmp") == []
    assert as_nobody(open_program, "--version").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_program(image: Path, number: signal.Signals) -> None:
    """While the program runs, a signal is the program's; with its end all is removed."""
    shutil.rmtree(image)
    with open("/bin/busybox", "rb") as file:
        made = archive(entry("bin/sh", file.read(), mode=0o755))
    script = "trap 'exit 9' TERM INT; echo here; while :; do read line; done"
    layout(image, made, config={"Cmd": ["/bin/sh", "-c", script]})
    env = {**os.environ, "TMPDIR": str(image.parent / "tmp")}
    reader, writer = os.pipe()
    command = [PROGRAM, *words(image)]
    with subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert len(left(image)) == 2
        process.send_signal(number)
        assert process.wait(60) == 9
    os.close(reader)
    os.close(writer)
    assert left(image) == []


def begun(process: subprocess.Popen[bytes], where: Path) -> None:
    """Wait until a command has made something in a directory."""

    def look() -> list[str]:
        assert process.poll() is None
        return os.listdir(where)

    eventually(look, f"something comes in {where}")


def test_a_signal_while_it_is_unpacked(image: Path) -> None:
    """Standard input is the image, of which a part comes."""
    env = {**os.environ, "TMPDIR": str(image.parent / "tmp")}
    where = image.parent
    command = [PROGRAM, "--root", str(where / "state"), "run", "--image", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=env) as process:
        assert process.stdin is not None
        process.stdin.write(archive(entry("f", b"x"))[:512])
        process.stdin.flush()
        begun(process, where / "tmp")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
    assert left(image) == []


def waiting(image: Path) -> subprocess.Popen[str]:
    """A `run --image` whose program has said something and waits."""
    shutil.rmtree(image)
    with open("/bin/busybox", "rb") as file:
        made = archive(entry("bin/sh", file.read(), mode=0o755))
    layout(image, made, config={"Cmd": ["/bin/sh", "-c", "echo here; while :; do read line || exit 0; done"]})
    env = {**os.environ, "TMPDIR": str(image.parent / "tmp")}
    process = subprocess.Popen(
        [PROGRAM, *words(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    return process


def ended(image: Path, container: str) -> None:
    """Wait until a container's program has ended."""
    eventually(
        lambda: '"status": "running"' not in run("--root", image.parent / "state", "state", container).stdout,
        "the program ends",
    )


def test_what_a_killed_one_has_left_is_removed_by_the_next(image: Path) -> None:
    """With its container, when that has ended; before, its files are in use."""
    with waiting(image) as process:
        place, container = left(image)
        process.kill()
        process.wait()
        env = {**os.environ, "TMPDIR": str(image.parent / "tmp")}

        def other() -> None:
            result = run(*words(image), env=env, stdin=subprocess.DEVNULL)
            assert (result.stdout, result.stderr, result.returncode) == ("here\n", "", 0)

        other()
        assert left(image) == [place, container]
        assert (image.parent / "tmp" / place / "bundle" / "rootfs" / "bin" / "sh").exists()
    # Its standard input is closed.
    ended(image, container)
    other()
    assert left(image) == []


def test_what_was_killed_while_it_was_unpacked(image: Path) -> None:
    """The directory in $TMPDIR goes with the one in it, although there is no container."""
    where = image.parent / "tmp"
    command = [PROGRAM, "--root", str(image.parent / "state"), "run", "--image", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, "TMPDIR": str(where)}) as process:
        begun(process, where)
        process.kill()
        process.wait()
    assert len(left(image)) == 1
    call(image)
