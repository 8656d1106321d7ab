"""The tables, the goals, the JSON and the chart of made-up numbers, and who takes turns."""

from __future__ import annotations

import json
import sys
from xml.etree import ElementTree as ET

import pytest

from bench import api, chart, goals, images, page, report, runtimes
from bench.measures import PYTHON, Series, _sum, turns, without_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

HOST = {
    "kernel": "6.1",
    "machine": "x86_64",
    "cpus": 2,
    "versions": {"ocirun": "ocirun 1", "crun": "crun <2>"},
    "notes": ["youki is missing"],
}


def made() -> list[Series]:
    """One series with rest and one that crun could not do."""
    run = Series("run", rest=0.2)
    run.values = {"ocirun": [2.0, 4.0, 3.0], "crun": [6.0]}
    alone = Series("alone", unit="KiB")
    alone.values = {"ocirun": [512.0]}
    python = Series("run", rest=0.2, group=PYTHON)
    python.values = {"Prepared.run": [2.0], "bwrap": [4.0]}
    return [run, alone, python]


def test_tables() -> None:
    lines = report.commands(made()).splitlines()
    assert lines[0].split() == ["median", "unit", "ocirun", "crun", "crun/ocirun"]
    assert lines[1].split() == ["run,", "after", "200", "ms", "ms", "3.00", "6.00", "2.00"]
    assert lines[2].split() == ["alone", "KiB", "512", "-", "-"]
    assert len(lines) == 3
    lines = report.python(made()).splitlines()
    assert lines[0].split() == ["median,", "from", "Python", "unit", "Prepared.run", "bwrap"]
    assert lines[1].split() == ["run,", "after", "200", "ms", "ms", "2.00", "4.00"]
    lines = report.about(HOST).splitlines()
    assert lines == ["Linux 6.1 x86_64, 2 CPUs; ocirun: ocirun 1, crun: crun <2>", "youki is missing"]


def test_goals() -> None:
    """One is reached, one is not, what was not measured is neither."""
    results = made()
    told = [" ".join(line.split()) for line in report.wanted(results).splitlines()[1:]]
    assert len(told) == sum(goal.ours.series == "run" for goal in goals.ALL)
    assert "run, after 200 ms ocirun / crun 3.00 / 6.00 0.50 0.60 yes" in told
    assert "run, after 200 ms Prepared.run / bwrap 2.00 / 4.00 0.50 0.60 yes" in told
    assert "run ocirun / crun - / - - 1.00 -" in told
    assert sum(line.endswith(" -") for line in told) == len(told) - 2
    results[0].values["crun"] = [4.0]
    assert "run, after 200 ms ocirun / crun 3.00 / 4.00 0.75 0.60 no" in " ".join(report.wanted(results).split())


def test_goals_name_what_is_measured_once() -> None:
    assert len({(goal.ours, goal.theirs) for goal in goals.ALL}) == len(goals.ALL)
    assert all(goal.ours != goal.theirs for goal in goals.ALL)


class Peer:
    """One that fails at its third call, if it is to."""

    def __init__(self, name: str, fails: bool = False) -> None:
        self.name = name
        self.calls = 0
        self.cleared = 0
        self._fails = fails

    def call(self) -> float:
        self.calls += 1
        if self._fails and self.calls == 3:
            raise runtimes.Failed("no\nmore")
        return float(self.calls)

    def clear(self) -> None:
        self.cleared += 1


def _place() -> runtimes.Place:
    return runtimes.Place("ocirun", "", {"crun": "/crun", "youki": ""}, ["python"])


def test_a_peer_that_fails_is_left_out() -> None:
    place, series = _place(), Series("run")
    own, good, bad = Peer("ocirun"), Peer("crun"), Peer("runc", fails=True)
    place.runtimes = [own, good, bad]  # type: ignore[list-item]
    turns(place, [own, good, bad], 5, 0.0, lambda peer: series.add(peer, peer.call()))
    assert (own.calls, good.calls, bad.calls) == (6, 6, 3)
    assert (own.cleared, good.cleared, bad.cleared) == (0, 0, 1)
    assert place.notes == ["youki is missing", "runc left out from round 2 of 5 on: no more"]
    assert without_first(series).values == {
        "ocirun": [2.0, 3.0, 4.0, 5.0, 6.0],
        "crun": [2.0, 3.0, 4.0, 5.0, 6.0],
        "runc": [2.0],
    }


@pytest.mark.parametrize("name", runtimes.OWN)
def test_ours_may_not_fail(name: str) -> None:
    with pytest.raises(runtimes.Failed):
        turns(_place(), [Peer("crun"), Peer(name, fails=True)], 5, 0.0, lambda peer: peer.call())


def test_an_agent_is_asked_run_by_run() -> None:
    """By way of a real one: what works, what fails, and what is still there after that."""
    place = _place()
    place.group = "none"
    told = {"true": {"how": "plain", "words": ["true"]}, "false": {"how": "captured", "words": ["false"]}}
    with api.Agent(place, told, python=sys.executable) as agent:
        assert agent.ways == ["true", "false"]
        assert agent.seconds("true") > 0
        with pytest.raises(runtimes.Failed, match=r"CalledProcessError: .*'false', 'api-1-0-0'.* status 1"):
            agent.seconds("false")
        assert agent.seconds("true", times=4, threads=2) > 0
        ended = agent
    with pytest.raises(runtimes.Failed, match="ended"):
        ended.seconds("true")


def test_peers() -> None:
    there = runtimes.found(dict(map(runtimes.pair, ("crun-1.8=/x=y", "youki="))))
    assert list(there)[:2] == ["crun-1.8", "youki"]
    assert there["crun-1.8"] == "/x=y"
    assert there["youki"] == ""
    assert {"crun", "runc", "bwrap", "sandlock"} <= there.keys()


def test_json() -> None:
    run, alone, python = json.loads(report.json_text(HOST, made()))["results"]
    assert run["runtimes"]["crun"]["times_ocirun"] == 2.0
    assert run["runtimes"]["ocirun"]["values"] == [2.0, 4.0, 3.0]
    assert list(alone["runtimes"]) == ["ocirun"]
    assert (run["group"], python["group"]) == ("commands", "from Python")


def test_chart() -> None:
    root = ET.fromstring(chart.draw(HOST, made()))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "crun <2>" in texts
    assert not any("bwrap" in text for text in texts if text)
    assert "6.00 ms (2.00x)" in texts
    assert "- KiB" in texts


def test_sums_are_of_one_round() -> None:
    run, *_ = made()
    total = _sum("both", [run, run])
    assert total.values == {"ocirun": [4.0, 8.0, 6.0], "crun": [12.0]}
    assert report.label(total) == "both, after 200 ms"


def test_page() -> None:
    text = page.text(HOST, made(), {"with the one": 3.0, "with the other": 9.5})
    for table in (report.commands, report.python, report.wanted):
        assert f"```\n{table(made())}\n```" in text
    assert "\n- youki is missing\n" in text
    assert "takes 3.00 ms with the one, 9.50 ms with the other." in text
    assert "umoci" not in text
    assert "How ocirun starts" not in page.text(HOST, made(), {})


def test_images_have_a_table_of_their_own() -> None:
    """Beside umoci, where that is there; in other tables it has no column."""
    results = made()
    bundle = Series(images.BUNDLE, group=images.IMAGES)
    bundle.values = {"ocirun": [200.0], "umoci": [500.0]}
    results.append(bundle)
    lines = report.images(results).splitlines()
    assert lines[0].split() == ["median,", "from", "an", "image", "unit", "ocirun", "umoci", "umoci/ocirun"]
    assert lines[1].split() == ["a", "bundle", "of", "an", "image", "ms", "200", "500", "2.50"]
    assert "umoci" not in report.commands(results)
    assert f"```\n{report.images(results)}\n```" in page.text(HOST, results, {})
    assert report.images(results) in report.text(HOST, results)


def test_umoci_is_left_out_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By way of real commands, that make a directory."""
    place = _place()
    place.top = str(tmp_path)
    asked: list[str] = []

    def timed(words: list[str]) -> float:
        asked.append(words[0])
        assert (tmp_path / "layout" / "index.json").exists()
        return 1.0

    ocirun = Peer("ocirun")
    ocirun.words = lambda *words: ["/ocirun", *words]  # type: ignore[attr-defined]
    place.runtimes = [ocirun, Peer("crun")]  # type: ignore[list-item]
    monkeypatch.setattr(images, "_layer", lambda top: (b"\0" * 1024, "nothing"))
    monkeypatch.setattr(runtimes, "timed", timed)
    for program in (None, "/umoci"):
        monkeypatch.setattr(images.shutil, "which", lambda name, program=program: program)
        (series,) = images.unpacking(place, 12)
        assert list(series.values) == (["ocirun", "umoci"] if program else ["ocirun"])
        assert series.values["ocirun"] == [1000.0] * 3
        assert any(note.startswith("umoci is missing (Debian's package umoci)") for note in place.notes)
    assert set(asked) == {"/ocirun", "/umoci"}
    assert place.notes[1] == "the image has one layer: nothing"
    assert list(tmp_path.iterdir()) == []
