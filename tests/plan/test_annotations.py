"""Annotations ``run.oci.*`` of crun: what each makes of the plan, and which are refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ocirun.errors import ConfigError, UnsupportedError
from ocirun.plan import crun_annotations

from . import rules
from .samples import config, plan
from .test_joining import build as build_exec
from .test_joining import config as joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.plan.ops import Op, Plan


KNOWN = {*crun_annotations.HONOURED, *crun_annotations.REFUSED}


def build(name: str, value: str, sample: str = "clock", **changes: Any) -> Plan:
    data = config(sample)
    data["annotations"] = {"org.example": "x", f"run.oci.{name}": value}
    data.update(changes)
    made = plan(data)
    rules.check(made)
    return made


def named(made: Plan, name: str) -> list[Op]:
    return [op for op in made.ops if op.name == name]


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("true", True), ("0", False), ("false", False)])
@pytest.mark.parametrize("sample", ["clock", "userns"])
def test_groups_are_kept(sample: str, value: str, kept: bool) -> None:
    made = build("keep_original_groups", value, sample)
    assert bool(named(made, "set_groups")) is not kept
    assert [op.args["drop_groups"] for op in named(made, "become_root")] == [0 if kept else 1] * (sample == "userns")
    told = [problem.pointer for problem in made.warnings]
    assert told == ["/process/user/additionalGids"] * (kept and sample == "userns")


def test_groups_are_kept_for_exec_too() -> None:
    data = joined("mount", "pid")
    assert named(build_exec(data), "set_groups")
    data["annotations"] = {"run.oci.keep_original_groups": "1"}
    assert not named(build_exec(data), "set_groups")
    data["process"]["user"] = {"uid": 0, "gid": 0, "additionalGids": [5]}
    assert [problem.pointer for problem in build_exec(data).warnings] == ["/process/user/additionalGids"]


def test_groups_that_are_not_set_are_told() -> None:
    process = {**config("clock")["process"], "user": {"uid": 0, "gid": 0, "additionalGids": [5]}}
    (warning,) = build("keep_original_groups", "1", process=process).warnings
    assert (warning.pointer, warning.warning) == ("/process/user/additionalGids", True)


def test_pidfd_receiver() -> None:
    (passed,) = named(build("pidfd_receiver", "/run/s"), "pass_pidfd")
    assert (passed.pointer, passed.args) == ("/annotations/run.oci.pidfd_receiver", {"socket": "/run/s"})
    assert not named(build("keep_original_groups", "1"), "pass_pidfd")


def test_receiver_of_the_seccomp_listener() -> None:
    asking = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    block = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [asking], "listenerMetadata": "m"}
    linux = {**config("clock")["linux"], "seccomp": block}
    (passed,) = named(build("seccomp.receiver", "/run/s", linux=linux), "pass_listener")
    assert passed.pointer == "/annotations/run.oci.seccomp.receiver"
    assert (passed.args["socket"], passed.args["metadata"]) == ("/run/s", "m")
    linux["seccomp"] = {**block, "listenerPath": "/run/other"}
    (passed,) = named(build("seccomp.receiver", "/run/s", linux=linux), "pass_listener")
    assert (passed.pointer, passed.args["socket"]) == ("/linux/seccomp/listenerPath", "/run/other")
    linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}
    assert not named(build("seccomp.receiver", "/run/s", linux=linux), "pass_listener")
    assert build("seccomp.receiver", "/run/s").warnings == []


@pytest.mark.parametrize("kind", ["context", "fscontext", "defcontext", "rootcontext"])
def test_mount_context_type(kind: str) -> None:
    data = config("clock")
    made = build("mount_context_type", kind, linux={**data["linux"], "mountLabel": "u:r:t:s0"})
    keys = {key for op in named(made, "new_filesystem") for key, value in op.args["options"] if value == "u:r:t:s0"}
    assert keys == {kind}
    long = [{"destination": "/c", "type": "tmpfs", "options": ["silent"]}]
    made = build("mount_context_type", kind, linux={**data["linux"], "mountLabel": "u:r:t:s0"}, mounts=long)
    assert [op.args["data"] for op in named(made, "mount_classic")] == [f'{kind}="u:r:t:s0"']


def test_files_for_the_output_of_hooks() -> None:
    """Opened before there is a process; for both sides' hooks; closed when the helper has run its last."""
    made = build("hooks.stdout", "/log/out", "hooks")
    (opened,) = named(made, "open_hook_log")
    assert (opened.pointer, opened.args["path"]) == ("/annotations/run.oci.hooks.stdout", "/log/out")
    (kept,) = named(made, "log_hooks")
    assert kept.args == {"stdout": "hook_stdout", "stderr": None}
    assert {tuple(op.args["logs"]) for op in named(made, "host_hook")} == {("/log/out", "")}
    order = [(op.name, op.args.get("slot")) for op in made.ops]
    assert order.index(("open_hook_log", "hook_stdout")) < order.index(("spawn", None))
    names = [name for name, _ in order]
    last = len(names) - 1 - names[::-1].index("run_hook")
    assert names.index("log_hooks") < names.index("run_hook")
    assert last < order.index(("close", "hook_stdout")) < names.index("execute")
    both = {"run.oci.hooks.stdout": "/log", "run.oci.hooks.stderr": "/log"}
    assert len(named(build("hooks.stdout", "/log", "hooks", annotations=both), "open_hook_log")) == 2


def test_without_hooks_no_file_is_made() -> None:
    assert not named(build("hooks.stdout", "/log/out"), "open_hook_log")


def test_unknown_system_calls() -> None:
    data = config("clock")
    linux = {**data["linux"], "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}
    for value, unknown in (("1", "error"), ("0", "")):
        (compiled,) = named(build("seccomp_fail_unknown_syscall", value, linux=linux), "compile_seccomp")
        assert compiled.args["unknown"] == unknown


def test_subgroup_of_the_unit() -> None:
    assert build("systemd.subgroup", "").warnings == []
    with pytest.raises(UnsupportedError, match="leave it empty"):
        build("systemd.subgroup", "container")


@pytest.mark.parametrize("name", crun_annotations.REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        build(name.removeprefix("run.oci."), "krun")
    assert caught.value.pointer == f"/annotations/{name}"
    assert caught.value.remedy == crun_annotations.REFUSED[name]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keep_original_groups", ""),
        ("keep_original_groups", "yes"),
        ("seccomp_fail_unknown_syscall", "no"),
        ("mount_context_type", "seclabel"),
        ("pidfd_receiver", "relative"),
        ("pidfd_receiver", ""),
        ("seccomp.receiver", "relative"),
        ("hooks.stdout", "relative"),
        ("hooks.stderr", ""),
    ],
)
def test_values_that_cannot_be(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, value)
    assert caught.value.pointer == f"/annotations/run.oci.{name}"
    assert "must be" in caught.value.message


@pytest.mark.parametrize("name", ["unheard.of", ""])
def test_without_effect(name: str) -> None:
    (warning,) = build(name, "/x").warnings
    assert (warning.pointer, warning.warning) == (f"/annotations/run.oci.{name}", True)
    assert "has no effect" in warning.message


def test_pointers_are_escaped() -> None:
    (warning,) = build("a/b~c", "x").warnings
    assert warning.pointer == "/annotations/run.oci.a~1b~0c"


def test_the_page_has_all() -> None:
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \| [^|]*\| (.*) \|$", page.split("## Annotations of crun")[1], re.MULTILINE)
    told = {f"run.oci.{name}": "refused:" in text for names, text in rows for name in re.findall(r"`([^`]+)`", names)}
    told = {name: refused for name, refused in told.items() if name in KNOWN}
    assert told == {name: name in crun_annotations.REFUSED for name in KNOWN}


def test_each_is_in_one_table() -> None:
    assert not crun_annotations.HONOURED.keys() & crun_annotations.REFUSED.keys()
    assert all(
        name.startswith(crun_annotations.PREFIX) for name in (*crun_annotations.HONOURED, *crun_annotations.REFUSED)
    )
    data = {"annotations": dict.fromkeys((*crun_annotations.HONOURED, *crun_annotations.REFUSED, "org.x"), "")}
    assert dict(crun_annotations.notes(data)) == {
        f"/annotations/{name}": text for name, text in crun_annotations.HONOURED.items()
    }
