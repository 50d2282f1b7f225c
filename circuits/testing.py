"""For the tests of those who use circuits: time that passes when you say so."""

from __future__ import annotations

import threading
from datetime import timedelta

from .options import seconds

__all__ = ["FakeClock"]


class FakeClock:
    """A monotonic clock that stands still until it is told to go on.

    It takes the place of `time.monotonic`: an expiry of a minute is over at once.

    Example:
        >>> from brama.circuits import Breaker, Circuit, Policy, Shared
        >>> clock = FakeClock()
        >>> breaker = Breaker("search", None, Policy(expiry=60.0), Shared(clock=clock))
        >>> _ = breaker.open_gate()
        >>> search = Circuit(breaker)
        >>> search.open_circuit()
        >>> search.available()
        False
        >>> clock.advance(60)
        60.0
        >>> search.available()
        True

    Args:
        start: the first reading, in seconds. Like that of `time.monotonic`, it means nothing.

    Threads: from any; an advance is seen by all threads at once.
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._now = float(start)

    def __call__(self) -> float:
        """The present reading, in seconds."""
        return self._now

    def advance(self, by: float | timedelta) -> float:
        """Let that many seconds pass, and return the new reading.

        Raises:
            ConfigError: `by` is negative or no time at all; a monotonic clock never goes back.
        """
        step = seconds("by", by, zero=True)
        with self._lock:
            self._now += step
            return self._now

    def __repr__(self) -> str:
        return f"<FakeClock at {self._now} s>"
