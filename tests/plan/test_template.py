"""Plans from templates: for any config and any change they are what the builder makes, to the last byte."""

from __future__ import annotations

import copy
import json

import pytest
from commands import hosts
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from ocirun.cgroup import choose
from ocirun.cgroup.systemd.unit import Manager
from ocirun.config import load
from ocirun.errors import OcirunError
from ocirun.plan import encode
from ocirun.plan.build import build
from ocirun.plan.builder import Facts, Request
from ocirun.plan.mounts import upper
from ocirun.plan.template import PARTS, Template

from . import configs, samples
from .decoder import Decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirun.cgroup.driver import Driver
    from ocirun.plan.ops import Plan

HOLE = "hole-0f9a6c1d4be84d0f"
IDS = ("a", "web.1", "x" * 100, "-_+.")


def ids(kind: str) -> tuple[str, ...]:
    """A unit's name has no "+"; `launch.prepare` does not fill templates for such ids."""
    return tuple(one for one in IDS if kind != "systemd" or "+" not in one)


_words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
_resources = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.just({"limit": 1 << 26, "swap": 1 << 26}),
        "pids": st.just({"limit": 9}),
        "cpu": st.just({"quota": 5000, "period": 100000}),
        "devices": st.just([{"allow": False, "access": "rwm"}]),
    },
)


_RLIMITS = [
    {"type": kind, "soft": 7, "hard": hard}
    for hard in (7, 1 << 40)
    for kind in ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE")
]


def places(data: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str]]:
    """Where in a config each of the PARTS is."""
    process, linux = data["process"], data.setdefault("linux", {})
    return {
        "args": (process, "args"),
        "env": (process, "env"),
        "cwd": (process, "cwd"),
        "mounts": (data, "mounts"),
        "resources": (linux, "resources"),
        "annotations": (data, "annotations"),
        "rlimits": (process, "rlimits"),
    }


changes = st.fixed_dictionaries(
    {},
    optional={
        "args": st.lists(_words, min_size=1, max_size=3),
        "env": st.lists(st.sampled_from(("PATH=/q", "HOME=/h", "A=1")), max_size=3),
        "cwd": st.sampled_from(("/", "/data/deep", "/tmp")),
        "mounts": configs.mounts,
        "resources": _resources,
        "annotations": st.sampled_from(({}, {upper.UPPER: "size=1M"}, {upper.UPPER: "size=1,inodes=9,idmap"})),
        "rlimits": st.lists(st.sampled_from(_RLIMITS), unique_by=lambda one: one["type"], max_size=2),
    },
)


KINDS = ("v1", "v2", "systemd")


def group(data: dict[str, Any], container_id: str, kind: str) -> Driver:
    path = (data.get("linux") or {}).get("cgroupsPath") or ""
    if kind == "v1":
        return choose.new_driver(samples.layout(), cgroups_path=path, container_id=container_id)
    layout = hosts.layout(hosts.V2)
    if kind == "v2":
        return choose.new_driver(layout, cgroups_path=path, container_id=container_id)
    return choose.new_driver(layout, cgroups_path="", container_id=container_id, manager=Manager())


def request(container_id: str, *, detach: bool) -> Request:
    directory = f"{samples.ROOT}/{container_id}"
    return Request(container_id=container_id, bundle=samples.BUNDLE, directory=directory, detach=detach)


def facts(**given: Any) -> Facts:
    return Facts(layout=samples.layout(), environ=("HOOK=yes",), **given)


def fresh(data: dict[str, Any], container_id: str, known: Facts, *, detach: bool, kind: str = "v1") -> Plan | str:
    """The builder's plan, or its error."""
    try:
        return build(data, known, request(container_id, detach=detach), group(data, container_id, kind))
    except OcirunError as error:
        return error.line()


def filled(template: Template, data: dict[str, Any], container_id: str, differs: frozenset[str]) -> Plan | str:
    """The template's plan, or its error."""
    try:
        return template.fill(container_id, data, differs)
    except OcirunError as error:
        return error.line()


def hold(
    template: Template, data: dict[str, Any], container_id: str, changed: dict[str, Any], known: Facts, kind: str
) -> None:
    """Plan and bytes of a changed config are those of the builder."""
    where = places(data)
    for part, value in changed.items():
        owner, key = where[part]
        owner[key] = value
    detach = any(op.name == "make_start_fifo" for op in template.plan.ops)
    plan = fresh(data, container_id, known, detach=detach, kind=kind)
    got = filled(template, data, container_id, frozenset(changed))
    assert got == plan
    if not isinstance(got, str):
        assert got.slots == plan.slots  # type: ignore[union-attr]
        shared, whole = (
            Decoded(encode.Shared(template.plan).encode(got, samples.MADE)),
            Decoded(encode.encode(got, samples.MADE)),
        )
        assert shared.ops == whole.ops
        assert (shared.fd_base, shared.inherited, shared.keep_fds) == (whole.fd_base, whole.inherited, whole.keep_fds)


@pytest.mark.parametrize("name", samples.NAMES)
@pytest.mark.parametrize("part", sorted(PARTS))
@pytest.mark.parametrize("kind", KINDS)
def test_samples(name: str, part: str, kind: str) -> None:
    values = {
        "args": ["/bin/else", "x"],
        "env": ["PATH=/elsewhere", "Z=1"],
        "cwd": "/tmp/deep",
        "mounts": [
            {"destination": "/tmp", "type": "tmpfs", "options": ["ro"]},
            {"destination": "/c", "type": "cgroup", "options": ["ro"]},
        ],
        "resources": {"pids": {"limit": 5}, "memory": {"limit": 1 << 25}},
        "annotations": {upper.UPPER: "size=64k,inodes=9"},
        "rlimits": _RLIMITS[:2],
    }
    data = samples.config(name)
    data["process"]["terminal"] = False
    template = Template(data, facts(), request(HOLE, detach=True), group(data, HOLE, kind))
    for container_id in ids(kind):
        hold(template, copy.deepcopy(data), container_id, {}, facts(), kind)
        hold(template, copy.deepcopy(data), container_id, {part: values[part]}, facts(), kind)


def test_a_mapping_is_made_each_time() -> None:
    # The user namespace that maps is an operation of the same stretch, and must not be taken for made already.
    data = samples.config("hello")
    mapping = [{"containerID": 0, "hostID": 5000, "size": 9}]
    data["mounts"].append({"destination": "/m", "type": "tmpfs", "uidMappings": mapping, "gidMappings": mapping})
    template = Template(data, facts(), request(HOLE, detach=True), group(data, HOLE, "v1"))
    hold(template, copy.deepcopy(data), "a", {"cwd": "/tmp/deep"}, facts(), "v1")


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(
    configs.configs(),
    changes,
    st.sampled_from(IDS),
    st.booleans(),
    st.sampled_from(("", "/run/systemd/notify")),
    st.sampled_from(KINDS),
)
def test_any_config(
    data: dict[str, Any], changed: dict[str, Any], container_id: str, detach: bool, notify: str, kind: str
) -> None:
    known = facts(notify_socket=notify)
    data["process"]["terminal"] = False
    try:
        checked: Any = load.from_bytes(json.dumps(data).encode(), bundle=samples.BUNDLE, path="config.json").data
        template = Template(checked, known, request(HOLE, detach=detach), group(checked, HOLE, kind))
    except OcirunError:
        event("refused")
        return
    event("built")
    if container_id not in ids(kind):
        container_id = "other"
    hold(template, copy.deepcopy(checked), container_id, changed, known, kind)


def test_the_template_stays_as_it_is() -> None:
    data = samples.config("hello")
    template = Template(data, facts(), request(HOLE, detach=False), group(data, HOLE, "v1"))
    before = template.plan.record()
    other = copy.deepcopy(data)
    other["mounts"] = [{"destination": "/tmp", "type": "tmpfs", "options": ["ro"]}]
    other["linux"]["resources"] = {"pids": {"limit": 7}}
    template.fill("a", other, frozenset(("mounts", "resources")))
    template.fill("b", data, frozenset()).warnings.append("mine")
    assert template.plan.record() == before
    assert template.fill("a", data, frozenset()) == fresh(data, "a", facts(), detach=False)


@pytest.mark.parametrize("kind", KINDS)
def test_every_hole_is_filled(kind: str) -> None:
    for name in samples.NAMES:
        data = samples.config(name)
        data["process"]["terminal"] = False
        template = Template(data, facts(notify_socket="/n"), request(HOLE, detach=True), group(data, HOLE, kind))
        plan = template.fill("real", data, frozenset())
        assert HOLE not in repr(plan.record())
        assert HOLE not in encode.encode(plan, samples.MADE).decode("utf-8", "replace")
