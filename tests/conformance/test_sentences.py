"""The list of requirements, and that each has a test or a reason. Needs no root."""

from __future__ import annotations

from collections import Counter

from . import report, sentences
from .checks import __all__ as modules
from .conftest import CHECKOUT
from .registry import CHECKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KNOWN = sentences.read()
TRIED = [one for check in CHECKS for one in check.ids]


def test_the_tables_are_read() -> None:
    assert len(KNOWN) > 400
    assert {one.file for one in KNOWN.values()} >= {
        "config.md",
        "config-linux.md",
        "runtime.md",
        "runtime-linux.md",
        "features.md",
    }


def test_an_id_says_where_its_sentence_stands() -> None:
    wrong = [one.id for one in KNOWN.values() if one.id.partition(".")[0] != one.file.removesuffix(".md")]
    assert not wrong


def test_every_sentence_has_a_test_or_a_reason() -> None:
    without = [one.id for one in KNOWN.values() if not one.untested and one.id not in TRIED]
    both = [one.id for one in KNOWN.values() if one.untested and one.id in TRIED]
    assert (without, both) == ([], [])


def test_every_test_is_for_a_sentence_and_for_no_other_tests_sentence() -> None:
    assert [one for one in TRIED if one not in KNOWN] == []
    assert [one for one, count in Counter(TRIED).items() if count > 1] == []


def test_every_module_of_checks_is_imported() -> None:
    import os

    here = os.path.dirname(os.path.abspath(__file__))
    files = {name.removesuffix(".py") for name in os.listdir(f"{here}/checks") if name.endswith(".py")} - {"__init__"}
    assert files == set(modules)
    assert {check.function.__module__.rpartition(".")[2] for check in CHECKS} == files


def test_mount_options_are_those_of_the_table() -> None:
    listed = [one for one in KNOWN.values() if one.heading == "Linux mount options"]
    musts = [one for one in listed if one.level == "MUST" and one.id.count(".") == 3]
    assert len(musts) == 37
    assert sum(one.level == "SHOULD" and one.id.count(".") == 3 for one in listed) == 19 + 2 + 2  # and custom, unknown


def test_the_page_of_docs_has_all_of_them() -> None:
    """Made anew by `./dev conformance ... --page`, as the page says."""
    with open(f"{CHECKOUT}/docs/conformance.md", encoding="utf-8") as file:
        rows = {tuple(line.split(" | ")[:3]) for line in file.read().splitlines()}
    wanted = {(f"| `{one.id}`", one.level, one.text) for one in KNOWN.values() if not one.untested}
    assert wanted <= rows


def found(name: str, **results: str) -> dict[str, Any]:
    """Results as the suite gives them."""
    return {
        "specification": sentences.VERSION,
        "runtime": {"command": [name], "name": name, "version": f"{name} version 1"},
        "machine": "a machine",
        "seconds": 1.0,
        "results": [
            {"id": f"config.root.{name}", "result": result, "reason": f"why {result}", "seconds": 0.1}
            for name, result in results.items()
        ],
    }


def test_table() -> None:
    text = report.table(found("some", required="passed", readonly="failed"))
    assert "config.root.required  REQUIRED    passed\n" in text
    assert "\nFailed:\n  config.root.readonly: why failed\n" in text
    assert "1 passed, 1 failed, 0 skipped" in text


def test_page() -> None:
    text = report.page(
        [found("one", required="passed", readonly="failed"), found("two", required="skipped", readonly="passed")]
    )
    assert "| `config.root.required` | REQUIRED | root is there on all other platforms | yes | - |\n" in text
    assert "| with readonly the root file system cannot be written to | **no** | yes |\n" in text
    assert "### two\n\n- why skipped: `config.root.required`\n" in text
    assert "| one 1 | 1 | 1 | 0 | 0 | 0 | 0 |\n" in text


def test_merged() -> None:
    here = found("one", required="skipped", readonly="failed", path="skipped")
    there = found("one", required="passed", readonly="passed", path="skipped")
    results = {one["id"]: one["result"] for one in report.merged(here, there)["results"]}
    assert results == {
        "config.root.required": "passed",
        "config.root.readonly": "failed",
        "config.root.path": "skipped",
    }
