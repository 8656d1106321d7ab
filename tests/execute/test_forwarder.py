"""Signals that are passed on: all taken in one call, told by number, and given back as they were."""

from __future__ import annotations

import os
import signal

from ocirun.execute.streams.forwarder import Forwarder


def test_numbers_are_told_and_handlers_are_given_back() -> None:
    seen: list[int] = []
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    kept = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        outer = Forwarder(frozenset({signal.SIGUSR2}))
        inner = Forwarder(frozenset())
        for number in (signal.SIGUSR1, signal.SIGWINCH, signal.SIGCHLD, signal.SIGRTMAX):
            os.kill(os.getpid(), number)
        assert inner.peek() == [signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMAX]
        assert inner.take() == [signal.SIGUSR1, signal.SIGWINCH, signal.SIGRTMAX]
        assert (inner.take(), outer.take()) == ([], [])
        inner.close()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert outer.take() == [signal.SIGUSR1]
        outer.close()
        assert seen == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, kept)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before


def test_what_is_kept_has_its_own_effect() -> None:
    """And of the kept ones the child's end and the size of the terminal are taken all the same."""
    signals = Forwarder(frozenset({signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGTERM}))
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            (caught,) = (int(line.split()[1], 16) for line in file if line.startswith("SigCgt:"))
    finally:
        signals.close()
    assert caught >> (signal.SIGCHLD - 1) & 1 and caught >> (signal.SIGWINCH - 1) & 1
    assert caught >> (signal.SIGHUP - 1) & 1
    assert not caught >> (signal.SIGTERM - 1) & 1 and not caught >> (signal.SIGURG - 1) & 1
