"""The streams of a run, and what its output may be: as text, in pieces, into one stream or a file, ended when too much."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import time

import pytest

import ocirun
from ocirun import aio

from .conftest import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

    from .conftest import Make

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

WAYS = ("run", "Prepared", "Pool", "aio", "in", "aio_in")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, bundle: str, root: str, make: Make) -> Iterator[Callable[..., Any]]:
    """Each way to run a script to its end."""
    container = make("/bin/sleep", "600")
    container.start()
    with ocirun.Pool(ocirun.Prepared(bundle, root=root), size=1) as pool:
        ways: dict[str, Callable[..., Any]] = {
            "run": lambda args, **own: ocirun.run(bundle, root=root, args=args, **own),
            "Prepared": lambda args, **own: ocirun.Prepared(bundle, root=root).run(args=args, **own),
            "Pool": pool.run,
            "aio": lambda args, **own: asyncio.run(aio.run(bundle, root=root, args=args, **own)),
            "in": container.run,
            "aio_in": lambda args, **own: asyncio.run(aio.run_in(container, args, **own)),
        }
        yield lambda script, **own: ways[request.param](list(shell(script)), **own)


def test_all_of_it(way: Callable[..., Any], tmp_path: Path) -> None:
    # Both into one, in their order.
    one = way("echo a; echo b >&2; echo c", stderr=ocirun.STDOUT)
    assert (one.stdout, one.stderr) == (b"a\nb\nc\n", b"")
    assert way("echo a; echo b >&2", stderr=subprocess.STDOUT, stdout=subprocess.PIPE).stdout == b"a\nb\n"
    # Text: what is no letter is not lost.
    text = way("cat; printf '\\377'; echo e >&2", stdin="häl", text=True)
    assert (text.stdout, text.stderr) == ("häl\ufffd", "e\n")
    assert way("cat", stdin="hä", text="latin-1").stdout == "hä"
    assert way("wc -c", stdin="hä", text="latin-1").stdout.strip() == "2"
    # Files: read and written by the program itself, and the one that is read stays its owner's.
    source = tmp_path / "in"
    source.write_bytes(b"0123456789")
    os.chown(source, 12, 13)
    with source.open("rb", buffering=0) as given, (tmp_path / "out").open("wb") as out:
        given.read(3)
        assert way("cat", stdin=given, stdout=out).ok
        assert not out.closed
    assert (tmp_path / "out").read_bytes() == b"3456789"
    assert (source.stat().st_uid, source.stat().st_gid) == (12, 13)
    nothing = way("cat; echo out; echo err >&2", stdin=ocirun.DEVNULL, stdout=ocirun.DEVNULL)
    assert (nothing.stdout, nothing.stderr) == (b"", b"err\n")
    # To be ok is asked for.
    assert way("true", check=True).ok
    with pytest.raises(ocirun.OutcomeError, match="ended with exit code 3") as failed:
        way("echo out; exit 3", check=True)
    assert (failed.value.code, failed.value.outcome.exit_code, failed.value.outcome.stdout) == ("outcome", 3, b"out\n")
    assert pickle.loads(pickle.dumps(failed.value)).outcome.stdout == b"out\n"


def test_pieces(way: Callable[..., Any]) -> None:
    """They come while the program runs, all of them, whatever is kept; a letter comes whole."""
    got: list[tuple[str, Any]] = []
    read, write = os.pipe()

    def take(stream: str, piece: Any) -> None:
        got.append((stream, piece))
        if len(got) < 3:
            os.write(write, b"go\n")

    outcome = way(
        "echo one; read x; echo two >&2; read x; head -c 100000 /dev/zero; printf '\\303'",
        stdin=read,
        on_output=take,
        output_limit=10,
    )
    os.close(read)
    os.close(write)
    assert got[:2] == [("stdout", b"one\n"), ("stderr", b"two\n")]
    assert sum(len(piece) for stream, piece in got if stream == "stdout") == 4 + 100_000 + 1
    assert (outcome.stdout, outcome.stdout_cut, outcome.stderr_cut) == (b"one\n" + bytes(6), True, False)
    words: list[tuple[str, Any]] = []
    outcome = way(
        "printf 'h\\303'; sleep 0.2; printf '\\244l\\303'", text=True, on_output=lambda *one: words.append(one)
    )
    assert [piece for _, piece in words] in (["h", "äl", "\ufffd"], ["häl", "\ufffd"])
    assert outcome.stdout == "häl\ufffd"


class Mine(Exception):
    """What a function of the caller's raises."""


def fail(stream: str, piece: bytes) -> None:
    """Refuse a piece."""
    raise Mine


def test_what_a_function_raises_ends_the_run(way: Callable[..., Any]) -> None:
    begin = time.monotonic()
    with pytest.raises(Mine):
        way("echo x; sleep 60", on_output=fail)
    assert time.monotonic() - begin < 30


def test_nothing_is_left_of_it(bundle: str, root: str) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(Mine):
        ocirun.run(bundle, root=root, args=shell("echo x; sleep 60"), on_output=fail)
    assert set(os.listdir("/proc/self/fd")) == before
    assert ocirun.list_ids(root) == []


def test_too_much_output(way: Callable[..., Any]) -> None:
    dropped = way("head -c 100000 /dev/zero", output_limit=10)
    assert (dropped.ok, dropped.limit, len(dropped.stdout), dropped.stdout_cut) == (True, "", 10, True)
    killed = way("while :; do echo much; done", output_limit=10, on_output_limit="kill", timeout=60)
    assert (killed.signal, killed.limit, killed.ok, killed.timed_out) == (9, "output", False, False)
    assert (killed.stdout, killed.stdout_cut) == (b"much\nmuch\n", True)
    # One that ends before anybody has looked has not got away with it.
    quick = way("echo 12345678901", output_limit=10, on_output_limit="kill")
    assert (quick.limit, quick.ok) == ("output", False)
    exact = way("printf 1234567890", output_limit=10, on_output_limit="kill")
    assert (exact.limit, exact.ok) == ("", True)


def test_nobody_waits_for_who_holds_a_pipe(way: Callable[..., Any]) -> None:
    """Not for a descendant that goes on writing, and not for a program that reads nothing."""
    begin = time.monotonic()
    outcome = way("while :; do echo x; done & exit 3", stdin=b"x" * 3_000_000, timeout=60, output_limit=10)
    assert (outcome.exit_code, outcome.limit) == (3, "")
    assert time.monotonic() - begin < 30
