"""Ctrl-C at a moment that leaves nothing half-known."""

from __future__ import annotations

import _signal

_SIGINT = 2


class BlockSigint:
    """A context in which SIGINT waits: between an act on the system and the note of what takes it back.

    KeyboardInterrupt comes at the end of the context instead.  The mask is the calling thread's, and is put back;
    for steps that do not wait for anybody.  signal(7), pthread_sigmask(3)
    """

    __slots__ = ("_old",)

    def __enter__(self) -> None:
        self._old = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
        try:
            _signal.pthread_sigmask(_signal.SIG_BLOCK, (_SIGINT,))
        except BaseException:  # the interrupt came before the mask
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._old)
            raise

    def __exit__(self, *_: object) -> None:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._old)
