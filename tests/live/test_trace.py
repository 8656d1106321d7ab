"""``--trace``: every operation with its time, as a table and for Chrome's viewer, after success and failure."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .case import Case


def test_table_of_a_run(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    path = f"{live.dir}/trace"
    live.run(bundle, "--trace", path).ok()
    with open(path, encoding="utf-8") as file:
        rows = [line.split(None, 4) for line in file.read().splitlines()[1:]]
    whats = [row[4] for row in rows if len(row) == 5]
    starts = [float(row[0]) for row in rows if len(row) == 5]
    assert starts == sorted(starts)
    for step in ("start the init helper", "mount proc  (/mounts/0)", "execute the program  (/process/args)"):
        assert step in whats


def test_chrome_form_of_create_and_exec(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    paths = [f"{live.dir}/{name}.json" for name in ("create", "exec")]
    live.create(bundle, "--trace", paths[0])
    live.start(bundle)
    live.command("exec", "--trace", paths[1], bundle.id, "/bin/true").ok()
    for path, wanted in zip(paths, ("pivot", "join_namespace"), strict=True):
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        times = [event for event in events if event["ph"] == "X"]
        assert wanted in [event["name"] for event in times]
        assert {event["cat"] for event in times} == {"host", "init"}
        assert all(event["dur"] >= 0 for event in times)


def test_trace_of_a_failure_ends_with_it(live: Case) -> None:
    bundle = live.bundle(["/no/such"])
    path = f"{live.dir}/trace.json"
    live.make("create", bundle, "--trace", path).failed("no such file or directory")
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    last = max((event for event in events if event["ph"] == "X"), key=lambda event: event["ts"])
    assert last["name"] == "find_program"
    live.assert_clean()
