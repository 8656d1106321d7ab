"""Which container an error is about: in fields for programs, in lines for a reader at a terminal, never in the text."""

from __future__ import annotations

import os

import pytest

from ocirun._base.boundary import methods_raise_ocirun_errors
from ocirun.cli import log, whereabouts
from ocirun.errors import ContainerExistsError, ContainerNotFoundError, StateError
from ocirun.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from ocirun.errors import OcirunError


@pytest.fixture
def root(tmp_path: Path) -> str:
    """A state root with three containers, or what looks like them from outside."""
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    for name in ("api", "db", "web"):
        (place / name).mkdir()
    return str(place)


def not_found(root: str, container: str) -> ContainerNotFoundError:
    with pytest.raises(ContainerNotFoundError) as caught:
        store.open_container(root, container)
    return caught.value


def test_not_found(root: str) -> None:
    error = not_found(root, "wbe")
    assert error.line() == "container does not exist", "what engines match"
    assert error.record() == {"code": "not-found", "container": "wbe", "root": root}
    rows = dict(whereabouts.rows(error))
    assert rows["container"] == "wbe"
    assert rows["state root"] == f"{root}, which holds api, db, web"
    assert rows["remedy"].startswith('did you mean "web"?; without --root it is looked for in /')


def test_not_found_where_there_is_nothing(root: str, tmp_path: Path) -> None:
    assert dict(whereabouts.rows(not_found(f"{tmp_path}/none", "web")))["state root"].endswith(", which does not exist")
    for name in ("api", "db", "web"):
        os.rmdir(f"{root}/{name}")
    assert dict(whereabouts.rows(not_found(root, "web")))["state root"].endswith(", which holds no container")


def test_not_found_among_many(root: str) -> None:
    for number in range(9):
        os.mkdir(f"{root}/x{number}")
    assert (
        dict(whereabouts.rows(not_found(root, "b")))["state root"]
        == f"{root}, which holds api, db, web, x0, x1 and 7 more"
    )


def test_where_those_of_others_are(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ContainerNotFoundError("container does not exist").about("web", "/run/ocirun")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert "those of ordinary users are in XDG_RUNTIME_DIR/ocirun" in dict(whereabouts.rows(error))["remedy"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.path.dirname(root))
    os.rename(root, f"{os.path.dirname(root)}/ocirun")
    error = ContainerNotFoundError("container does not exist").about("own", f"{os.path.dirname(root)}/ocirun")
    assert "those of root are in /run/ocirun: `sudo ocirun list`" in dict(whereabouts.rows(error))["remedy"]


def test_exists(root: str) -> None:
    with pytest.raises(ContainerExistsError) as caught:
        store.reserve(root, "web")
    assert caught.value.line() == "container with given ID already exists"
    rows = dict(whereabouts.rows(caught.value))
    assert (rows["container"], rows["state root"]) == ("web", root)
    assert "`ocirun delete web`" in rows["remedy"]


@pytest.mark.parametrize(
    ("status", "command"), [("created", "start"), ("running", "kill"), ("paused", "resume"), ("stopped", "delete")]
)
def test_state(status: str, command: str) -> None:
    error = StateError("cannot do that", status=status).about("web", "/r")
    rows = dict(whereabouts.rows(error))
    assert (rows["container"], rows["status"], rows["state root"]) == ("web", status, "/r")
    assert f"`ocirun {command} web" in rows["remedy"]
    error.remedy = "its own"
    assert "remedy" not in dict(whereabouts.rows(error))


def test_what_raises_adds_it() -> None:
    """A handle's errors are about its container, unless they name another."""

    @methods_raise_ocirun_errors
    class Handle:
        id = "web"
        root = "/r"

        def fail(self, error: OcirunError) -> None:
            raise error

    for given, wanted in ((StateError("no"), ("web", "/r")), (StateError("no").about("db", "/q"), ("db", "/q"))):
        with pytest.raises(StateError) as caught:
            Handle().fail(given)
        assert (caught.value.container, caught.value.root) == wanted


def test_a_terminal_alone_has_it(
    root: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = not_found(root, "wbe")
    log.Log().failure(error)
    assert capfd.readouterr().err.endswith('level=error msg="container does not exist"\n')
    monkeypatch.setattr(log, "_terminal", lambda: True)
    log.Log(f"{tmp_path}/log").failure(error)
    told = capfd.readouterr().err.splitlines()
    assert told[:3] == [
        "ocirun: container does not exist",
        "  container: wbe",
        f"  state root: {root}, which holds api, db, web",
    ]
    with open(f"{tmp_path}/log", encoding="utf-8") as file:
        assert file.read().endswith('level=error msg="container does not exist"\n')


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert whereabouts.rows(StateError("no", status="running")) == []
