"""Interrupts: Ctrl-C and SIGTERM end a demonstration in order, and in bounded time."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, NoReturn, Self

__all__ = ["Interrupted", "Interrupts"]

_PATIENCE = 6
"""Seconds that an orderly end may take before the process leaves without."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """The demonstration was told to end, by the signal of that number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that shells know for it: 130 or 143."""
        return 128 + self.number


class Interrupts:
    """Inside the block a signal is only noted, and `check` raises `Interrupted` where it suits.

    A second signal, or an end that takes too long, leaves at once.

    Threads: the main thread only.
    """

    def __init__(self) -> None:
        # Invariant: a plain field. The handler may run between any two steps of this thread, also
        # while it holds the lock of an Event, which setting that Event would wait for.
        self._noted = 0
        self._former: list[Any] = []

    def check(self) -> None:
        """Raise `Interrupted` if there was a signal."""
        if self._noted:
            raise Interrupted(self._noted)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self._noted:
            os._exit(128 + self._noted)
        self._noted = number
        if hasattr(signal, "SIGALRM"):
            signal.signal(signal.SIGALRM, self._lose_patience)
            signal.alarm(_PATIENCE)

    def _lose_patience(self, _number: int, _frame: FrameType | None) -> NoReturn:
        os._exit(128 + self._noted)

    def __enter__(self) -> Self:
        self._former = [signal.signal(number, self._note) for number in _SIGNALS]
        return self

    def __exit__(self, *_exc: object) -> None:
        for number, former in zip(_SIGNALS, self._former, strict=True):
            signal.signal(number, former)
