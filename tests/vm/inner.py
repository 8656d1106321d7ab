"""A pytest of the guest's own, run from one here: what its tests came to, file by file."""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ET

import pytest

from . import link, share, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIMIT = 2400.0
REPORT = "/tmp/report.xml"


def run(
    files: Sequence[str],
    scratch: Path,
    *,
    installed: str = "",
    options: Sequence[str] = (),
    carried: Mapping[str, str] | None = None,
) -> dict[str, list[ET.Element]]:
    """File -> its test cases, as pytest in a fresh guest reported them; skips or fails where there is no guest.

    installed   an environment with ocirun to take along, as `share.write` has it
    options     more of pytest's
    carried     more files to take along, as `share.write` has them
    """
    lack = store.missing() or ("the guest needs root" if os.geteuid() else "")
    if lack and os.environ.get("VM_REQUIRED") == "1":
        pytest.fail(lack, pytrace=False)
    if lack:
        pytest.skip(lack)
    disk = str(scratch / "disk")
    share.write(disk, store.carried() | (carried or {}), installed=installed)
    output: list[bytes] = []
    with store.start(store.accelerator(), disk) as running:
        if running.agent.run(share.UNPACK, err=output.append):
            pytest.fail(f"the checkout cannot be unpacked: {_text(output)}", pytrace=False)
        argv = [f"{share.CHECKOUT}/.venv/bin/python", "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
        argv += ["-o", "junit_family=xunit1", f"--junit-xml={REPORT}", *options, *files]
        try:
            how = {"cwd": share.CHECKOUT, "env": share.ENVIRONMENT}
            running.agent.run(argv, timeout=LIMIT, out=output.append, err=output.append, **how)
        except link.MachineEnded as error:
            pytest.fail(f"{error}\n{running.console()}\n{_text(output)}", pytrace=False)
        sys.stdout.write(_text(output))
        lines: list[bytes] = []
        if running.agent.run(["cat", REPORT], out=lines.append):
            pytest.fail(f"no report from the guest: {_text(output)[-8000:]}", pytrace=False)
    found: dict[str, list[ET.Element]] = {}
    for case in ET.fromstring(b"".join(lines)).iter("testcase"):
        found.setdefault(_file(case, files), []).append(case)
    return found


def judge(report: dict[str, list[ET.Element]], name: str, elsewhere: Sequence[str] = ()) -> None:
    """Fail unless tests of this file ran in the guest, and all passed.

    elsewhere   what the reason of a skip says where the test is of use outside only
    """
    cases = report.get(name, [])
    assert cases, f"nothing of {name} ran in the guest"
    wrong = []
    for case in cases:
        for kind in ("failure", "error", "skipped"):
            # What is skipped there, where all is at hand, would be tested nowhere.
            for found in case.iter(kind):
                if kind == "skipped" and any(words in (found.get("message") or "") for words in elsewhere):
                    continue
                wrong.append(f"{kind}: {case.get('name')}: {found.get('message')}\n{found.text or ''}")
    if wrong:
        pytest.fail(f"in the guest, {len(wrong)} of {len(cases)}:\n" + "\n".join(wrong), pytrace=False)


def _file(case: ET.Element, files: Sequence[str]) -> str:
    """The file that a test was collected from; pytest's own attribute is where its function was written."""
    module = case.get("classname") or ""
    names = [name for name in files if f"{module}.".startswith(f"{name.removesuffix('.py').replace('/', '.')}.")]
    return names[0] if names else module


def _text(parts: list[bytes]) -> str:
    return b"".join(parts).decode(errors="replace")
