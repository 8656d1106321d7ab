"""The border of the API, where whatever the system refuses is an OcirunError.

Most places that call the system know what a failure means, and say so.  What they let through ends here, as a
HostError that names what was asked for, the file where the system was given one, and the errno.  So it holds for
every public function, whoever wrote it; TimeoutError of ours has no errno, and passes.
"""

from __future__ import annotations

from errno import ENOMEM

from ..errors import (
    ISOLATED,
    MAIN,
    ContainerExistsError,
    ContainerNotFoundError,
    HostError,
    StateError,
    errno_words,
    is_isolated,
)
from . import installation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Function = TypeVar("Function", bound=Callable[..., Any])

_ABOUT_CONTAINER = (ContainerNotFoundError, ContainerExistsError, StateError)
_LOAD = "there may be too few descriptors, see `ulimit -n`, or too little memory; or a file of ocirun is damaged"
_REPLACED = "call again, or start the program anew that has imported ocirun; if that fails too, install ocirun anew"
_GENERATOR, _COROUTINE = 0x20, 0x80  # inspect.CO_GENERATOR, inspect.CO_COROUTINE


def host_error(what: str, error: BaseException) -> HostError | None:
    """Return the error for one that is not ours, None for one that the system has no part in.

    what   what was asked for, such as ``start web``
    """
    if isinstance(error, MemoryError):
        return HostError(f"{what}: {errno_words(ENOMEM)}", errno=ENOMEM)
    passes = isinstance(error, OSError) or not isinstance(error, Exception)
    if installation.is_missing(error) or (not passes and installation.is_replaced()):
        return HostError(f"{what}: {_replaced(error)}", errno=getattr(error, "errno", 0), remedy=_REPLACED)
    if isinstance(error, OSError):
        return None if error.errno is None else HostError.from_os(what, error)
    if is_isolated(error):
        return HostError(f"{what}: {ISOLATED}", remedy=MAIN)
    if isinstance(error, ImportError):  # there are no descriptors or no memory left, or a file is damaged
        return HostError(f"{what}: cannot load {error.name or 'a module'}: {error}", remedy=_LOAD)
    return None


def _replaced(error: BaseException) -> str:
    # Modules of two versions may misunderstand each other in any way.
    about = str(error) if isinstance(error, (ImportError, OSError)) else f"{type(error).__name__}: {error}"
    return f"ocirun is being replaced, or has been since this process began: {about}"


class _Border:
    """``with _Border(...)``: what passes through is translated."""

    __slots__ = ("_name", "_words")

    def __init__(self, name: str, words: tuple[Any, ...]) -> None:
        self._name = name
        self._words = words

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _ABOUT_CONTAINER) and self._words:
            container, root = (getattr(self._words[0], name, None) for name in ("id", "root"))
            if isinstance(container, str) and isinstance(root, str):
                error.about(container, root)
        if error is None or not isinstance(error, (OSError, MemoryError, ImportError)):
            return
        # A container's id: the first argument, of a class method the second, or that of the handle.
        names = (word if isinstance(word, str) else getattr(word, "id", "") for word in self._words[:2])
        about = next((name for name in names if isinstance(name, str) and name), "")
        made = host_error(f"{self._name} {about}".rstrip(), error)
        if made is not None:
            raise made from error


def raises_ocirun_errors(function: Function) -> Function:
    """Return a function of the API, whose errors are as promised."""
    plain: Any = function
    name = plain.__name__
    flags = plain.__code__.co_flags

    async def later(*args: Any, **named: Any) -> Any:
        with _Border(name, args):
            return await plain(*args, **named)

    def each(*args: Any, **named: Any) -> Any:
        with _Border(name, args):
            yield from plain(*args, **named)

    def now(*args: Any, **named: Any) -> Any:
        with _Border(name, args):
            return plain(*args, **named)

    made: Any = later if flags & _COROUTINE else each if flags & _GENERATOR else now
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
        setattr(made, attribute, getattr(plain, attribute))
    made.__wrapped__ = plain  # for inspect.signature, which shows the parameters
    told_function: Function = made
    return told_function


def methods_raise_ocirun_errors(cls: type[T]) -> type[T]:
    """Return a class of the API: `told` for every public method and property that it defines."""
    for name, value in list(vars(cls).items()):
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(value, classmethod):
            setattr(cls, name, classmethod(raises_ocirun_errors(value.__func__)))
        elif isinstance(value, property):
            setattr(cls, name, property(raises_ocirun_errors(value.fget), doc=value.__doc__) if value.fget else value)
        elif hasattr(value, "__code__"):
            setattr(cls, name, raises_ocirun_errors(value))
    return cls
