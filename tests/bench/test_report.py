"""The table, the JSON and the chart of made-up numbers."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

from bench import chart, page, report
from bench.measures import Series, _sum

HOST = {"kernel": "6.1", "machine": "x86_64", "cpus": 2, "versions": {"ocirun": "ocirun 1", "crun": "crun <2>"}}


def made() -> list[Series]:
    """One series with rest and one that crun could not do."""
    run = Series("run", rest=0.2)
    run.values = {"ocirun": [2.0, 4.0, 3.0], "crun": [6.0]}
    alone = Series("alone", unit="KiB")
    alone.values = {"ocirun": [512.0]}
    return [run, alone]


def test_table() -> None:
    lines = report.table(HOST, made()).splitlines()
    assert lines[0].split() == ["median", "unit", "ocirun", "crun", "crun/ocirun"]
    assert lines[1].split() == ["run,", "after", "200", "ms", "ms", "3.00", "6.00", "2.00"]
    assert lines[2].split() == ["alone", "KiB", "512", "-", "-"]
    assert lines[-1] == "Linux 6.1 x86_64, 2 CPUs; ocirun 1, crun <2>"


def test_json() -> None:
    run, alone = json.loads(report.json_text(HOST, made()))["results"]
    assert run["runtimes"]["crun"]["times_ocirun"] == 2.0
    assert run["runtimes"]["ocirun"]["values"] == [2.0, 4.0, 3.0]
    assert list(alone["runtimes"]) == ["ocirun"]


def test_chart() -> None:
    root = ET.fromstring(chart.draw(HOST, made()))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "crun <2>" in texts
    assert "6.00 ms (2.00x)" in texts
    assert "- KiB" in texts


def test_sums_are_of_one_round() -> None:
    run, _ = made()
    total = _sum("both", [run, run])
    assert total.values == {"ocirun": [4.0, 8.0, 6.0], "crun": [12.0]}
    assert report.label(total) == "both, after 200 ms"


def test_page() -> None:
    text = page.text(HOST, made(), {"with the one": 3.0, "with the other": 9.5})
    assert report.table(HOST, made()).strip() in text
    assert "takes 3.00 ms with the one, 9.50 ms with the other." in text
    assert "How ocirun starts" not in page.text(HOST, made(), {})
