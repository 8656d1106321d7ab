"""One environment with ocirun installed, for each interpreter of the machine."""

from __future__ import annotations

import pytest

from . import pythons
from .fresh import copied

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .fresh import Fresh


class Installed:
    """A virtual environment with the wheel installed.

    python    the base interpreter
    home      the environment
    program   the script ``ocirun``
    wheels    the directory of wheels it was installed from
    """

    def __init__(self, python: str, home: Path) -> None:
        self.python = python
        self.home = home / "env"
        self.wheels = home / "wheels"
        pythons.environment(python, self.home)
        pythons.wheels(self.home / "bin" / "python", self.wheels)
        pythons.install(self.home / "bin" / "python", self.wheels)
        self.program = self.home / "bin" / "ocirun"
        self.stay_plain()

    def stay_plain(self) -> None:
        """Have no preloaded interpreter made by the commands of a test that is not about it."""
        if list(self.site.glob("ocirun/_start.*")):
            pythons.run([str(self.program), "preload", "--remove"])

    @property
    def wheel(self) -> Path:
        """The wheel of ocirun itself."""
        (path,) = self.wheels.glob("ocirun-*.whl")
        return path

    @property
    def site(self) -> Path:
        """The environment's site-packages."""
        (path,) = self.home.glob("lib/python3*/site-packages")
        return path


@pytest.fixture(scope="session")
def installations(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Installed]:
    made: dict[str, Installed | pythons.NoPackagesError] = {}

    def get(name: str) -> Installed:
        if name not in made:
            try:
                made[name] = Installed(pythons.interpreters()[name], tmp_path_factory.mktemp(name))
            except pythons.NoPackagesError as error:
                # That of the tests themselves has packages, or they would not run.
                if name == next(iter(pythons.interpreters())):
                    raise
                made[name] = error
        found = made[name]
        if isinstance(found, pythons.NoPackagesError):
            pytest.skip(f"no packages for {name}")
        return found

    return get


@pytest.fixture(params=list(pythons.interpreters()))
def installed(request: pytest.FixtureRequest, installations: Callable[[str], Installed]) -> Installed:
    """Each interpreter in turn."""
    return installations(request.param)


@pytest.fixture
def own(installations: Callable[[str], Installed]) -> Installed:
    """The interpreter that runs the tests."""
    return installations(next(iter(pythons.interpreters())))


@pytest.fixture
def fresh(own: Installed, tmp_path: Path) -> Fresh:
    """One in which nobody has called ocirun; its path has a word that Docker would take for its own."""
    return copied(own.home, tmp_path / "versions" / "env")
