"""A stand-in for ``ocirun.container`` that notes what the commands ask of it.

Imports nothing that the hot path must not import: the budget tests use it too.
"""

from __future__ import annotations

import sys

from ocirun.errors import ContainerNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

STATE: dict[str, object] = {
    "ociVersion": "1.3.0",
    "id": "c1",
    "pid": 4242,
    "status": "running",
    "bundle": "/b",
    "rootfs": "/b/rootfs",
    "created": "2026-01-02T03:04:05.678901234Z",
    "annotations": {"a.b": "c"},
    "owner": "root",
}


_LEFT_OUT = ("self", "given", "warn", "debug", "learned", "sessions")


class CreateOptions:
    """Keeps its keywords; the names are those of the real class."""

    __slots__ = ("given",)

    def __init__(
        self,
        *,
        bundle: str = "",
        config: str = "",
        console_socket: str = "",
        pidfd_socket: str = "",
        pid_file: str = "",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        preserve_fds: int = 0,
        systemd_cgroup: bool = False,
        rootless: str = "auto",
        foreground: bool = False,
        cgroup_manager: str = "",
        warn: object = None,
        debug: object = None,
        trace: str = "",
        init: bool = False,
        learn: str = "",
        learned: object = None,
        sessions: bool | None = None,
    ) -> None:
        assert sessions is False, "a container of the command line has one group"
        self.given: dict[str, object] = {name: value for name, value in locals().items() if name not in _LEFT_OUT}

    @property
    def bundle(self) -> str:
        return str(self.given["bundle"])


class Fake:
    """The notes, and what the stand-in is to answer.

    calls     (name, id, further arguments by name), in order
    failure   raised by every verb, when set
    states    what `list_states` returns
    warnings  what `list_states` warns of
    status    what `run` returns
    known     ids that exist
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, object]]] = []
        self.failure: BaseException | None = None
        self.states: list[dict[str, object]] = [STATE]
        self.warnings: list[str] = []
        self.status = 0
        self.known = {"c1"}

    def note(self, verb: str, id: str, **more: object) -> None:
        self.calls.append((verb, id, more))
        if self.failure is not None:
            raise self.failure

    def module(self) -> ModuleType:
        """A module with the interfaces of ``ocirun.container`` and ``ocirun.containers``."""
        module = type(sys)("ocirun.container")
        module.__dict__.update(
            CreateOptions=CreateOptions,
            Container=_container(self),
            run_container=self._run,
            delete=self._delete,
            list_ids=self._list_ids,
            list_states=self._list_states,
            explain=self._explain,
            compare=self._compare,
        )
        return module

    def _run(self, id: str, *, root: str, options: CreateOptions, **more: object) -> int:
        self.note("run", id, root=root, options=options.given, **more)
        return self.status

    def _delete(self, id: str, *, root: str, force: bool, if_stopped: bool) -> None:
        self.note("delete", id, root=root, force=force, if_stopped=if_stopped)

    def _list_states(
        self, root: str, *, warn: Callable[[str], None], must_exist: bool = False
    ) -> list[dict[str, object]]:
        self.note("list", "", root=root, must_exist=must_exist)
        for text in self.warnings:
            warn(text)
        return self.states

    def _list_ids(self, root: str, *, must_exist: bool = False) -> list[str]:
        self.note("ids", "", root=root, must_exist=must_exist)
        return [str(state["id"]) for state in self.states]

    def _explain(self, bundle: str, *, options: CreateOptions, id: str, root: str, where: object) -> str:
        del where
        self.note("explain", id, bundle=bundle, options=options.given, root=root)
        return "the plan"

    def _compare(
        self, bundle: str, other: str, *, options: CreateOptions, id: str, root: str, where: object
    ) -> FakeDifference:
        del where
        self.note("compare", id, bundle=bundle, other=other, options=options.given, root=root)
        return FakeDifference(self.status)


class FakeDifference:
    """What two plans do differently: something, if the status is one."""

    def __init__(self, status: int) -> None:
        self.status = status

    def __bool__(self) -> bool:
        return bool(self.status)

    def lines(self, columns: int) -> Iterator[str]:
        assert columns == 0
        return iter(["text of the difference\n"])

    def json(self, refused: str) -> str:
        return f'{{"refused":"{refused}"}}\n'


def _container(fake: Fake) -> type:
    class Container:
        def __init__(self, id: str) -> None:
            self.id = id

        @classmethod
        def create(cls, id: str, *, root: str, options: CreateOptions) -> Container:
            fake.note("create", id, root=root, options=options.given)
            return cls(id)

        @classmethod
        def load(cls, id: str, *, root: str) -> Container:
            fake.note("load", id, root=root)
            if id not in fake.known:
                raise ContainerNotFoundError("container does not exist")
            return cls(id)

        def state(self) -> dict[str, object]:
            return fake.states[0]

        def start(self) -> None:
            fake.note("start", self.id)

        def kill(self, signal: int | None, *, all: bool = False) -> None:
            fake.note("kill", self.id, signal=signal, all=all)

        def pause(self) -> None:
            fake.note("pause", self.id)

        def resume(self) -> None:
            fake.note("resume", self.id)

        def base_process(self) -> dict[str, object]:
            return {"cwd": "/base", "env": []}

        def explain_exec(self, process: dict[str, object], options: object) -> str:
            fake.note("explain exec", self.id, process=process, options=options)
            return "the exec"

    return Container


def renderer() -> ModuleType:
    """A stand-in for ``ocirun.plan.render``."""
    module = type(sys)("ocirun.plan.render")
    module.__dict__.update(
        lines=lambda plan, columns: iter([f"text of {plan}\n"]),
        short=lambda plan, columns: iter([f"parts of {plan}\n"]),
        json=lambda plan, refused: f'{{"plan":"{plan}"}}\n',
    )
    return module
