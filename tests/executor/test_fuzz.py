"""Plans damaged at random, under the address and undefined-behaviour sanitizers: errors, never a crash."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from plan.samples import NAMES, sample

from ocirun.plan import encode
from ocirun.plan.ops import Plan

from .host_recorder import SLOTS
from .recorder import EXECUTED, MADE, REFUSED, op, run_bytes, sources
from .test_host_failures import STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 8
ROUNDS = 1500
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> str:
    from .recorder import compile_c

    probe = tmp_path_factory.mktemp("sanitizer")
    (probe / "empty.c").write_text("int main(void) { return 0; }\n", encoding="ascii")
    try:
        compile_c(str(probe / "empty"), *SANITIZE, str(probe / "empty.c"))
    except AssertionError:
        pytest.skip("this compiler has no sanitizers")
    target = str(probe / "fuzz")
    compile_c(target, "-O1", *SANITIZE, str(Path(__file__).with_name("fuzz_main.c")), *sources())
    return target


def every_operation() -> Plan:
    """Operations that no sample has, so that the fuzzer meets all of them."""
    ops = [
        op("move_root", root="root", top="root"),
        op("hide_mount", slot="root", path="a", cover=1),
        op("unmount", slot="root", proc="other"),
        op("change_root", root="root"),
        op("mount_classic", slot="root", source="s", type="t", flags=0, data="d"),
        op("reconfigure", slot="root", options=[("size", "1"), ("ro", None)]),
        op("join_namespace", slot="other", flag=1),
        op("privatize_parent", slot="root"),
        op("set_scheduler", attr=list(range(48))),
        op("set_io_priority", which=1, priority=1),
        op("set_personality", persona=8),
        op("set_rlimit", resource=1, soft=2, hard=3),
        op("set_domainname", name="d"),
        op("set_groups", gids=[1, 2, 3]),
        op("copy_up", slot="root", source="root"),
        op("prepare_upper", slot="root", like="root", mark="user.x"),
        op("add_layer", overlay="o", slot="root", proc="root"),
        op("new_overlay", slot="root", lower="root", upper="root", proc="root", options=[("a", None)], layers="o"),
        op("put_directory", root="root", path="/a/b", mode=7, owner=(1, 2), time=-1),
        op("set_time", root="root", path="/a/b", time=1 << 62),
        op("put_link", root="root", path="/a/b", text="t", owner=(1, 2), time=None),
        op("get_file", slot="root", root="root", path="/a/b", proc="root", limit=9),
        op("find_home", uid=0),
        op("load_seccomp", filter="filter", flags=8),
        op("hold_seccomp", filter="filter", flags=0),
        op("find_program", args=["a", "b"], env=["c"], search="/x:/y"),
        op("execute"),
    ]
    first = op("open_root", slot="root", path="/r")
    return Plan([first, *ops], ["plan", "progress", "sync", "other", "root", "o"], 4, [], [])


def of_helper() -> list[bytes]:
    """Plans of the helper: each operation is in one."""
    return [encode.encode(plan, MADE) for plan in (every_operation(), *map(sample, NAMES))]


def of_host() -> list[bytes]:
    """The host's side of the same samples, and one with all that it has."""
    every = [(number, name, args) for number, (name, args) in enumerate(STEPS)]
    steps = encode.host_steps(Plan([], SLOTS, 3, [], []), every, {"state": b"text\0", "filter": bytes(16)})
    return [steps, *(encode.host(sample(name), Anything()) for name in NAMES)]


class Anything(dict[str, bytes]):
    """What other operations would have made."""

    def __missing__(self, _name: str) -> bytes:
        return MADE["filter"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("plans", [of_helper, of_host], ids=["helper", "host"])
def test_damaged_plans(fuzzer: str, tmp_path: Path, plans: Callable[[], list[bytes]], seed: int) -> None:
    files = []
    for number, content in enumerate(plans()):
        path = tmp_path / f"plan{number}"
        path.write_bytes(content)
        files.append(str(path))
    side = plans.__name__.removeprefix("of_")
    result = subprocess.run(
        [fuzzer, side, str(SECONDS), str(ROUNDS), str(seed), *files],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-6000:]
    assert int(result.stdout) > 2000


def test_every_cut_is_refused() -> None:
    raw = encode.encode(sample("clock"))
    for size in range(0, len(raw), 7):
        assert run_bytes(raw[:size]).outcome == REFUSED
    assert run_bytes(raw).outcome == EXECUTED


@pytest.mark.parametrize(
    ("word", "value"),
    [
        (0, 0),  # magic
        (1, 1),  # format
        (2, 1 << 31),  # size
        (3, 1 << 20),  # op_count
        (4, 0),  # ops_offset
        (4, 33),
        (4, 0xFFFFFFF8),
        (5, 2),  # fd_base
        (5, 65537),
        (6, 2),  # inherited
        (6, 97),
    ],
)
def test_wrong_header(word: int, value: int) -> None:
    raw = bytearray(encode.encode(sample("clock")))
    raw[4 * word : 4 * word + 4] = value.to_bytes(4, "little")
    assert run_bytes(bytes(raw)).outcome == REFUSED


def test_last_byte_ends_every_string() -> None:
    raw = bytearray(encode.encode(sample("clock")))
    raw[-1] = 65
    assert run_bytes(bytes(raw)).outcome == REFUSED
