"""update: what the kernel says afterwards, and what stays."""

from __future__ import annotations

import json
import os

import pytest

from . import device_rules, process
from .test_cgroup import SLEEP, need, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .bundles import Bundle
    from .case import Case
    from .process import Result

MIB = 1 << 20
UNLIMITED = "9223372036854771712"
LIMITS: dict[str, Any] = {
    "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000},
    "pids": {"limit": 50},
}
FILES = (
    "memory.limit_in_bytes",
    "memory.memsw.limit_in_bytes",
    "cpu.shares",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "pids.max",
)


@pytest.fixture
def limited(live: Case) -> Bundle:
    """A running container with limits."""
    for controller in ("memory", "cpu", "pids"):
        need(controller)
    bundle = live.bundle(SLEEP)
    bundle.linux["resources"] = json.loads(json.dumps(LIMITS))
    live.launch(bundle)
    return bundle


def values(live: Case, bundle: Bundle) -> list[str]:
    """What the files of FILES say."""
    return [value(live, bundle, file) for file in FILES]


@pytest.mark.parametrize("turn", [1, 2, 3, 4])
def test_ctrl_c_changes_all_or_nothing(live: Case, limited: Bundle, turn: int) -> None:
    """Between any two of the writes."""
    before = values(live, limited)
    interrupting = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=write:signal=SIGINT:when={turn}"]
    words = ("--pids-limit", "60", "--cpu-share", "600", "--memory", str(32 * MIB), "--memory-swap", str(48 * MIB))
    live.command_in(interrupting, "update", *words, limited.id)
    changed = [old != new for old, new in zip(before, values(live, limited), strict=True)]
    assert changed in ([False] * 6, [True, True, True, False, False, True])


def feed(live: Case, bundle: Bundle, text: str, *form: str) -> Result:
    """update with a document on standard input."""
    reader, writer = os.pipe()
    os.write(writer, text.encode())
    os.close(writer)
    try:
        return live.command("update", *(form or ("--resources", "-")), bundle.id, stdin=reader)
    finally:
        os.close(reader)


def test_options(live: Case, limited: Bundle) -> None:
    options = ("--memory", "128m", "--memory-swap=256M", "--cpu-share", "100", "--pids-limit", "20")
    live.command("update", *options, limited.id).ok()
    assert values(live, limited) == [str(128 * MIB), str(256 * MIB), "100", "50000", "100000", "20"]
    assert live.status(limited) == "running"


def test_document_on_standard_input(live: Case, limited: Bundle) -> None:
    for form in (("--resources", "-"), ("--resources=-",), ("-r", "-")):
        feed(live, limited, '{"pids":{"limit":30}}\n', *form).ok()
    assert value(live, limited, "pids.max") == "30"


def test_document_in_a_file(live: Case, limited: Bundle) -> None:
    path = f"{live.dir}/limits.json"
    with open(path, "w", encoding="ascii") as file:
        json.dump({"memory": {"reservation": 16 * MIB}, "cpu": {"burst": 1000}}, file)
    live.command("update", f"--resources={path}", limited.id).ok()
    assert value(live, limited, "memory.soft_limit_in_bytes") == str(16 * MIB)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"memory":{"limit":0,"swap":0,"kernel":0},"cpu":{"shares":0,"quota":0,"period":0},"blockIO":{"weight":0}}',
        '{"pids":{"limit":0}}',
        '{"devices":[{"allow":false,"access":"rwm"}]}',
    ],
)
def test_what_engines_send_for_unset(live: Case, limited: Bundle, text: str) -> None:
    before = values(live, limited)
    feed(live, limited, text).ok()
    assert values(live, limited) == before


def test_device_rules_stay(live: Case) -> None:
    need("devices")
    bundle = live.shell("while :; do head -c 1 /dev/zero >/dev/null || exit 1; sleep 0.01; done")
    live.launch(bundle)
    listed = value(live, bundle, "devices.list")
    feed(live, bundle, '{"devices":[{"allow":false,"access":"rwm"}],"pids":{"limit":30}}').ok()
    assert value(live, bundle, "devices.list") == listed
    assert live.status(bundle) == "running"


def test_period_and_quota_one_by_one(live: Case, limited: Bundle) -> None:
    live.command("update", "--cpu-period", "50000", limited.id).ok()
    assert values(live, limited)[3:5] == ["50000", "50000"]
    live.command("update", "--cpu-quota", "20000", limited.id).ok()
    assert values(live, limited)[3:5] == ["20000", "50000"]
    live.command("update", "--cpu-period", "100", limited.id).failed("/cpu/period")
    live.command("update", "--cpu-quota", "-1", limited.id).ok()
    assert values(live, limited)[3:5] == ["-1", "50000"]


def test_memory_up_and_down_in_one_call(live: Case, limited: Bundle) -> None:
    # Above the old limit of memory and swap, and below both: the order of the writes differs.
    for size in (256, 32, 128):
        live.command("update", "--memory", f"{size}m", "--memory-swap", f"{size}m", limited.id).ok()
        assert values(live, limited)[:2] == [str(size * MIB)] * 2
    live.command("update", "--memory", "-1", limited.id).ok()
    assert values(live, limited)[:2] == [UNLIMITED] * 2


def test_memory_above_the_limit_with_swap(live: Case, limited: Bundle) -> None:
    live.command("update", "--memory", "128m", limited.id).failed("memory/limit")
    assert values(live, limited)[:2] == [str(64 * MIB)] * 2
    live.command("update", "--memory", "32m", limited.id).ok()
    live.command("update", "--memory-swap", "40m", limited.id).ok()
    assert values(live, limited)[:2] == [str(32 * MIB), str(40 * MIB)]
    live.command("update", "--memory-swap", "-1", limited.id).ok()
    assert values(live, limited)[:2] == [str(32 * MIB), UNLIMITED]


def test_limit_below_what_is_used(live: Case) -> None:
    need("memory")
    # Memory of a tmpfs cannot be reclaimed without swap space.
    bundle = live.shell("head -c 20000000 /dev/zero >/dev/shm/full; touch /ready; sleep 600")
    live.launch(bundle)
    process.eventually(lambda: os.path.exists(f"{bundle.rootfs}/ready"), "20 MB in use")
    document = {"memory": {"limit": 4 * MIB, "swap": 4 * MIB, "checkBeforeUpdate": True}, "pids": {"limit": 9}}
    feed(live, bundle, json.dumps(document)).failed("memory.")
    assert live.status(bundle) == "running"
    assert value(live, bundle, "memory.limit_in_bytes") == UNLIMITED
    assert value(live, bundle, "pids.max") == "max"


def test_all_or_nothing(live: Case, limited: Bundle) -> None:
    need("cpuset")
    before = values(live, limited)
    options = ("--memory=32m", "--memory-swap=32m", "--pids-limit=9", "--cpu-share=9", "--cpuset-cpus", "4000")
    live.command("update", *options, limited.id).failed("cpuset.cpus")
    assert values(live, limited) == before
    # What was not applied is not remembered either.
    live.command("update", "--memory", "64m", limited.id).ok()
    assert values(live, limited) == before


def test_wrong_documents(live: Case, limited: Bundle) -> None:
    before = values(live, limited)
    for text, words in (
        ('{"memory":{"limit":"64m"}}', "/memory/limit"),
        ('{"cpu":{"shares":-1}}', "/cpu/shares"),
        ('{"pids":5}', "/pids"),
        ("[]", "object"),
        ("", "empty"),
        ("{", "line 1"),
    ):
        feed(live, limited, text).failed("standard input", words)
    assert values(live, limited) == before


def test_cpuset(live: Case, limited: Bundle) -> None:
    need("cpuset")
    live.command("update", "--cpuset-cpus", "0", "--cpuset-mems", "0", limited.id).ok()
    assert value(live, limited, "cpuset.cpus") == "0"
    with open(f"/proc/{live.pid(limited)}/status", encoding="ascii") as file:
        assert "Cpus_allowed_list:\t0\n" in file.read()


def test_created_and_paused(live: Case) -> None:
    need("freezer")
    bundle = live.bundle(SLEEP)
    live.create(bundle)
    live.command("update", "--pids-limit", "11", bundle.id).ok()
    live.start(bundle)
    live.command("pause", bundle.id).ok()
    live.command("update", "--pids-limit", "12", bundle.id).ok()
    assert live.status(bundle) == "paused"
    assert value(live, bundle, "pids.max") == "12"
    live.command("resume", bundle.id).ok()


def test_stopped_and_unknown(live: Case) -> None:
    bundle = live.bundle()
    live.launch(bundle)
    live.until(bundle, "stopped")
    live.command("update", "--pids-limit", "5", bundle.id).failed("container not running")
    feed(live, bundle, "{}").failed("container not running")
    live.command("update", "--pids-limit", "5", "unknown").failed("container does not exist")


def test_updates_at_the_same_time(live: Case, limited: Bundle) -> None:
    # Each must keep what the other has set, in the kernel and in the saved state.
    started = []
    for number in range(10, 18):
        words = ("--pids-limit", str(number)) if number % 2 else ("--cpu-share", str(number))
        started.append(process.spawn(live.argv("update", *words, limited.id), scratch=live.scratch)[0])
    assert all(process.wait_end(one, 15) and one.returncode == 0 for one in started)
    with open(f"{live.root}/{limited.id}/resources.json", encoding="ascii") as file:
        saved = json.load(file)
    assert value(live, limited, "pids.max") == str(saved["pids"]["limit"])
    assert value(live, limited, "cpu.shares") == str(saved["cpu"]["shares"])


def test_update_and_delete_leave_nothing(live: Case, limited: Bundle) -> None:
    live.command("update", "--pids-limit", "5", limited.id).ok()
    live.delete(limited, "--force")
    live.assert_clean()


def test_device_rules_change_without_a_gap(live: Case) -> None:
    """The program opens a device all the time, which all rules allow; another device comes and goes."""
    need("devices")
    bundle = device_rules.opening(live.shell)
    live.launch(bundle)
    for _ in range(5):
        for rules, allowed in ((device_rules.ALWAYS, False), (device_rules.BOTH, True)):
            changed = feed(live, bundle, json.dumps({"devices": rules}))
            assert changed.code == 0, f"{changed.report()}\n{device_rules.said(bundle)}"
            looked = live.command("exec", bundle.id, *device_rules.LOOK)
            assert looked.code == 0, f"{looked.report()}\n{device_rules.said(bundle)}"
            assert device_rules.seen(looked.out) is allowed
    assert live.status(bundle) == "running"
    feed(live, bundle, json.dumps({"devices": device_rules.ALL})).failed("/devices", "without a gap")
    assert live.status(bundle) == "running"
