"""What each command asks of the container layer, and what it prints."""

from __future__ import annotations

import json
import sys

import pytest

from cli.fake import STATE
from ocirun.errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Result
    from cli.fake import Fake

    Caller = Callable[..., Result]

ROOT = ("--root", "/r")
PLAIN = {
    "bundle": "",
    "config": "",
    "console_socket": "",
    "pidfd_socket": "",
    "pid_file": "",
    "no_pivot": False,
    "no_new_keyring": False,
    "preserve_fds": 0,
    "systemd_cgroup": False,
    "rootless": "auto",
    "foreground": False,
    "cgroup_manager": "cgroupfs",
    "trace": "",
    "init": False,
    "learn": "",
}


def test_create_passes_its_options(call: Caller, fake: Fake) -> None:
    # containerd's and conmon's options together
    words = (
        "--bundle",
        "/b",
        "--config",
        "/c.json",
        "--pid-file",
        "/p",
        "--no-pivot",
        "--no-new-keyring",
        "--console-socket",
        "/s",
    )
    result = call(*ROOT, "--rootless=true", "create", *words, "--preserve-fds", "2", "--pidfd-socket=/f", "c1")
    assert (result.status, result.out, result.err) == (0, "", "")
    options = {
        **PLAIN,
        "bundle": "/b",
        "config": "/c.json",
        "pid_file": "/p",
        "no_pivot": True,
        "no_new_keyring": True,
        "preserve_fds": 2,
        "console_socket": "/s",
        "pidfd_socket": "/f",
        "rootless": "true",
    }
    assert fake.calls == [("create", "c1", {"root": "/r", "options": options})]


def test_create_defaults(call: Caller, fake: Fake) -> None:
    call(*ROOT, "create", "c1")
    assert fake.calls[0][2]["options"] == PLAIN


@pytest.mark.parametrize(
    ("words", "manager"),
    [
        (("--systemd-cgroup",), "systemd"),
        (("--cgroup-manager", "systemd"), "systemd"),
        (("--cgroup-manager=cgroupfs",), "cgroupfs"),
        (("--systemd-cgroup", "--cgroup-manager=cgroupfs"), "cgroupfs"),
        (("--systemd-cgroup=false",), "cgroupfs"),
        (("--systemd-cgroup", "--cgroup-manager=disabled"), "disabled"),
    ],
)
def test_cgroup_manager(call: Caller, fake: Fake, words: tuple[str, ...], manager: str) -> None:
    assert call(*ROOT, *words, "create", "c1").status == 0
    options = fake.calls[0][2]["options"]
    assert options == {**PLAIN, "systemd_cgroup": manager == "systemd", "cgroup_manager": manager}


def test_old_containers_can_be_ended_without_cgroups(call: Caller) -> None:
    assert call(*ROOT, "--cgroup-manager", "disabled", "delete", "--force", "c1").status == 0


@pytest.mark.parametrize("verb", ["start", "pause", "resume"])
def test_plain_verbs(call: Caller, fake: Fake, verb: str) -> None:
    result = call(*ROOT, verb, "c1")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert fake.calls == [("load", "c1", {"root": "/r"}), (verb, "c1", {})]


def test_state_prints_json(call: Caller, fake: Fake) -> None:
    fake.states = [{**STATE, "bundle": "/b\udcff\u00e9\n"}]
    result = call(*ROOT, "state", "c1")
    assert result.status == 0
    assert result.out.isascii()
    assert json.loads(result.out) == fake.states[0]


@pytest.mark.parametrize(
    ("words", "signal", "everyone"),
    [
        (("c1",), None, False),
        (("c1", "KILL"), 9, False),
        (("c1", "SIGKILL"), 9, False),
        (("c1", "sigusr1"), 10, False),
        (("c1", "9"), 9, False),
        (("c1", "0"), 0, False),
        (("c1", "RTMIN+2"), 36, False),
        (("--all", "c1", "9"), 9, True),
        (("-a", "c1", "9"), 9, True),
        (("c1", "9", "--all"), 9, True),
        (("c1", "--signal", "HUP"), 1, False),
        (("--signal=HUP", "c1"), 1, False),
    ],
)
def test_kill(call: Caller, fake: Fake, words: tuple[str, ...], signal: int | None, everyone: bool) -> None:
    result = call(*ROOT, "kill", *words)
    assert (result.status, result.out, result.err) == (0, "", "")
    assert fake.calls[-1] == ("kill", "c1", {"signal": signal, "all": everyone})


def test_kill_refuses(call: Caller, fake: Fake) -> None:
    result = call(*ROOT, "--log-format", "json", "kill", "c1", "bogus")
    assert result.status == 1
    assert json.loads(result.err)["msg"] == 'unknown signal "bogus"'
    assert call(*ROOT, "kill", "c1", "9", "--signal", "9").status == 1
    assert "container does not exist" in call(*ROOT, "kill", "unknown", "bogus").err
    assert all(name == "load" for name, _, _ in fake.calls)


@pytest.mark.parametrize(
    ("words", "force", "if_stopped"),
    [
        ((), False, False),
        (("--force",), True, False),
        (("-f",), True, False),
        (("--force=false",), False, False),
        (("--if-stopped",), False, True),
    ],
)
def test_delete(call: Caller, fake: Fake, words: tuple[str, ...], force: bool, if_stopped: bool) -> None:
    assert call(*ROOT, "delete", *words, "c1").status == 0
    assert call(*ROOT, "delete", "c1", *words).status == 0
    assert fake.calls == [("delete", "c1", {"root": "/r", "force": force, "if_stopped": if_stopped})] * 2


def test_delete_refuses(call: Caller, fake: Fake) -> None:
    result = call(*ROOT, "delete", "--force", "--if-stopped", "c1")
    assert result.status == 1
    assert "contradict" in result.err
    assert not fake.calls


@pytest.fixture
def several(fake: Fake) -> Fake:
    names = ["api-1", "web-1", "web-2"]
    fake.known = set(names)
    fake.states = [{**STATE, "id": name} for name in names]
    return fake


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("^web-", ["web-1", "web-2"]), ("1", ["api-1", "web-1"]), ("^(api|web)-1$", ["api-1", "web-1"]), ("nothing", [])],
)
def test_regex(call: Caller, several: Fake, pattern: str, names: list[str]) -> None:
    assert call(*ROOT, "kill", "--regex", "--all", pattern, "KILL").status == 0
    killed = [(name, more) for verb, name, more in several.calls if verb == "kill"]
    assert killed == [(name, {"signal": 9, "all": True}) for name in names]
    assert call(*ROOT, "delete", "-r", "-f", pattern).status == 0
    deleted = [(name, more["force"]) for verb, name, more in several.calls if verb == "delete"]
    assert deleted == [(name, True) for name in names]


def test_regex_goes_on_after_a_failure(call: Caller, several: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(name: str, **more: object) -> None:
        several.note("delete", name, **more)
        raise StateError("container is running")

    monkeypatch.setattr(sys.modules["ocirun.containers"], "delete", delete)
    result = call(*ROOT, "delete", "--regex", "^web-|gone")
    assert result.status == 1
    assert [name for verb, name, _ in several.calls if verb == "delete"] == ["web-1", "web-2"]
    assert 'level=warning msg="web-2: container is running"' in result.err
    assert 'level=error msg="web-1: container is running"' in result.err


def test_regex_passes_over_what_is_gone(call: Caller, several: Fake) -> None:
    several.known.remove("web-1")
    assert call(*ROOT, "kill", "-r", "web", "9").status == 0
    assert [name for verb, name, _ in several.calls if verb == "kill"] == ["web-2"]


@pytest.mark.parametrize(
    "words", [("kill", "(", "9"), ("delete", "[z-a]"), ("kill", "web", "bogus"), ("kill", "(" * 500)]
)
def test_regex_refuses(call: Caller, several: Fake, words: tuple[str, ...]) -> None:
    verb, *rest = words
    refused = call(*ROOT, verb, "--regex", *rest)
    assert refused.status == 1
    assert "internal error" not in refused.err
    assert not [name for name, _, _ in several.calls if name in ("kill", "delete")]
    assert call(*ROOT, "delete", "--orphans", "--regex").status == 1


def test_run(call: Caller, fake: Fake) -> None:
    fake.status = 137
    assert call(*ROOT, "run", "-b", "/b", "c1").status == 137
    kept = {"detach": False, "keep": False, "no_subreaper": False}
    assert fake.calls == [
        ("run", "c1", {"root": "/r", "options": {**PLAIN, "bundle": "/b", "foreground": True}, **kept})
    ]


def test_run_detached(call: Caller, fake: Fake) -> None:
    assert call(*ROOT, "run", "-d", "--keep", "-no-subreaper", "c1").status == 0
    asked = {"detach": True, "keep": True, "no_subreaper": True}
    assert fake.calls == [("run", "c1", {"root": "/r", "options": PLAIN, **asked})]


def test_list_table_has_runcs_widths(call: Caller, fake: Fake) -> None:
    fake.states = [STATE, {**STATE, "id": "a-rather-long-id", "pid": 0, "status": "stopped"}]
    result = call(*ROOT, "list")
    assert result.out == (
        "ID                 PID         STATUS      BUNDLE      CREATED                          OWNER\n"
        "c1                 4242        running     /b          2026-01-02T03:04:05.678901234Z   root\n"
        "a-rather-long-id   0           stopped     /b          2026-01-02T03:04:05.678901234Z   root\n"
    )


def test_list_empty(call: Caller, fake: Fake) -> None:
    fake.states = []
    assert call(*ROOT, "list").out == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
    assert call(*ROOT, "list", "-q").out == ""
    assert call(*ROOT, "list", "-f", "json").out == "[]\n"


def test_list_forms(call: Caller, fake: Fake) -> None:
    fake.states = [{**STATE, "bundle": "/a\n\x1b[31m\udcff\u2028"}]
    assert call(*ROOT, "list", "--quiet").out == "c1\n"
    assert json.loads(call(*ROOT, "list", "--format=json").out) == fake.states
    assert r"/a\n\x1b[31m\xff\u2028" in call(*ROOT, "list").out
    assert call(*ROOT, "list", "-f", "yaml").status == 1


def test_list_warns(call: Caller, fake: Fake) -> None:
    fake.warnings = ["c2: the state is damaged"]
    result = call(*ROOT, "list", "-f", "json")
    assert (result.status, json.loads(result.out)) == (0, fake.states)
    assert 'level=warning msg="c2: the state is damaged"' in result.err
    assert call("--log-format", "json", *ROOT, "list").err == ""
    assert '"level":"warning"' in call("--debug", "--log-format", "json", *ROOT, "list").err


def test_explain(call: Caller, fake: Fake) -> None:
    assert call(*ROOT, "explain", "-b", "/b").out == "text of the plan\n"
    assert call(*ROOT, "explain", "--short", "-b", "/b").out == "parts of the plan\n"
    fake.calls.pop()
    assert call(*ROOT, "explain", "--json", "--foreground", "--no-pivot", "c7").out == '{"plan":"the plan"}\n'
    assert fake.calls == [
        ("explain", "<id>", {"bundle": "/b", "options": {**PLAIN, "bundle": "/b"}, "root": "/r"}),
        ("explain", "c7", {"bundle": "", "options": {**PLAIN, "no_pivot": True, "foreground": True}, "root": "/r"}),
    ]


def test_explain_a_difference(call: Caller, fake: Fake) -> None:
    """The exit status is that of diff(1)."""
    result = call(*ROOT, "explain", "-b", "/b", "--diff", "/c")
    assert (result.status, result.out) == (0, "text of the difference\n")
    fake.status = 1
    result = call(*ROOT, "explain", "--json", "--diff=/c", "--init", "c7")
    assert (result.status, result.out) == (1, '{"refused":""}\n')
    assert fake.calls == [
        ("compare", "<id>", {"bundle": "/b", "other": "/c", "options": {**PLAIN, "bundle": "/b"}, "root": "/r"}),
        ("compare", "c7", {"bundle": "", "other": "/c", "options": {**PLAIN, "init": True}, "root": "/r"}),
    ]
    fake.failure = StateError("cannot do that")
    assert call(*ROOT, "explain", "--diff", "/c").status == 2


@pytest.mark.parametrize(
    "words", [["--diff="], ["--diff", "/c", "--short"], ["--diff", "/c", "--bad"], ["--diff", "/c", "a", "b"]]
)
def test_explain_a_difference_that_is_none(call: Caller, words: list[str]) -> None:
    result = call(*ROOT, "explain", *words)
    assert result.status == 2
    assert "explain: " in result.err


@pytest.mark.parametrize("verb", ["create", "start", "run", "state", "kill", "delete", "pause", "resume"])
def test_errors_are_reported_by_every_verb(call: Caller, fake: Fake, verb: str) -> None:
    fake.failure = StateError("cannot do that", status="paused")
    result = call(*ROOT, verb, "c1")
    assert (result.status, result.out) == (1, "")
    assert 'level=error msg="cannot do that"' in result.err


@pytest.mark.parametrize("verb", ["create", "start", "run", "state", "kill", "delete", "pause", "resume"])
def test_number_of_arguments(call: Caller, fake: Fake, verb: str) -> None:
    none, many = call(*ROOT, verb), call(*ROOT, verb, "a", "9", "c")
    for result in (none, many):
        assert result.status == 1
        assert result.out.startswith(f"Usage: ocirun [global options] {verb} [options] ID")
    assert f"{verb}: takes ID" in none.err
    assert "got 0 arguments" in none.err
    assert "got 3 arguments" in many.err
    assert fake.calls == []


def test_ids_go_on_unchanged(call: Caller, fake: Fake) -> None:
    ids = ["", "..", "a/b", "a\n", "-x", "%s", "\u00e9", "x" * 2000]
    for word in ids:
        call(*ROOT, "delete", "--", word)
    assert [noted for _, noted, _ in fake.calls] == ids
