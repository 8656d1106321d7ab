"""``--trace``: every operation with its time, as a table and for Chrome's viewer, after success and failure."""

from __future__ import annotations

import json
import os
import socket

import pytest

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


TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def spans(text: str) -> list[dict[str, object]]:
    """The spans of one line, the command's first."""
    (resource,) = json.loads(text)["resourceSpans"]
    names = {entry["key"]: entry["value"] for entry in resource["resource"]["attributes"]}
    assert names["service.name"] == {"stringValue": "ocirun"}
    found: list[dict[str, object]] = resource["scopeSpans"][0]["spans"]
    return found


def test_opentelemetry_of_create_and_exec(live: Case) -> None:
    bundle = live.bundle(["/bin/sleep", "600"])
    path = f"{live.dir}/spans.otlp.json"
    env = {**os.environ, "TRACEPARENT": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    live.create(bundle, "--trace", path, env=env)
    live.start(bundle)
    live.command("exec", "--trace", path, bundle.id, "/bin/true", env=env).ok()
    with open(path, encoding="utf-8") as file:
        create, execute = file.read().splitlines()
    for line, name, step in ((create, "ocirun create", "pivot"), (execute, "ocirun exec", "join_namespace")):
        command, *steps = spans(line)
        assert (command["name"], command["traceId"], command["parentSpanId"]) == (name, TRACE_ID, SPAN_ID)
        assert {one["parentSpanId"] for one in steps} == {command["spanId"]}
        assert {one["traceId"] for one in steps} == {TRACE_ID}
        assert step in [one["name"] for one in steps]
        begin, end = int(str(command["startTimeUnixNano"])), int(str(command["endTimeUnixNano"]))
        assert all(
            begin <= int(str(one["startTimeUnixNano"])) <= int(str(one["endTimeUnixNano"])) <= end for one in steps
        )
        assert len({str(one["spanId"]) for one in steps}) == len(steps)


@pytest.mark.parametrize("parent", ["", "00-0-0-01", f"00-{'0' * 32}-{SPAN_ID}-01", f"ff-{TRACE_ID}-{SPAN_ID}-01"])
def test_opentelemetry_without_a_parent(live: Case, parent: str) -> None:
    path = f"{live.dir}/spans.otlp.json"
    result = live.run(live.bundle(["/bin/true"]), "--trace", path, env={**os.environ, "TRACEPARENT": parent}).ok()
    assert ("TRACEPARENT" in result.err) is bool(parent)
    with open(path, encoding="utf-8") as file:
        command = spans(file.read())[0]
    assert "parentSpanId" not in command
    assert command["traceId"] not in (TRACE_ID, "0" * 32)


def test_opentelemetry_tells_what_failed(live: Case) -> None:
    path = f"{live.dir}/spans.otlp.json"
    live.make("create", live.bundle(["/no/such"]), "--trace", path).failed("no such file or directory")
    with open(path, encoding="utf-8") as file:
        command, *steps = spans(file.read())
    wrong = [one["name"] for one in steps if "status" in one]
    assert wrong == ["find_program"]
    assert command["status"] == steps[[one["name"] for one in steps].index("find_program")]["status"]


def test_opentelemetry_to_a_socket(live: Case) -> None:
    path = f"{live.dir}/collector"
    bundle = live.bundle(["/bin/true"])
    live.make("run", bundle, "--trace", f"unix:{path}").failed("trace unix:", "collector: no such file")
    live.assert_clean()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        live.run(bundle, "--trace", f"unix:{path}").ok()
        connection, _ = server.accept()
        with connection, connection.makefile("r", encoding="utf-8") as file:
            assert spans(file.read())[0]["name"] == "ocirun create"


def test_sockets_that_are_far_away_or_busy(live: Case) -> None:
    bundle = live.bundle(["/bin/true"])
    far = f"{live.dir}/{'d' * 120}"
    os.mkdir(far)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{live.dir}/collector")
        server.listen(0)
        os.rename(f"{live.dir}/collector", f"{far}/collector")
        live.run(bundle, "--trace", f"unix:{far}/collector").ok()
        busy = live.run(bundle, "--trace", f"unix:{far}/collector").failed("trace unix:", "does not accept")
        assert "temporarily" not in busy.err
    live.make("run", bundle, "--trace", f"unix:/tmp/{'n' * 120}").failed("120 bytes")
    live.assert_clean()
