"""At most so many of something in a while, for lines and spans that must not become a flood."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .forks import renew_after_fork
from .ticks import Ticks

__all__ = ["Throttle"]


class Throttle:
    """Admits one occurrence per `interval` seconds and counts those it holds back.

    A token bucket: up to `burst` of them are admitted at once after a quiet time.

    Example:
        >>> throttle = Throttle(60.0)
        >>> throttle.admit(), throttle.admit()
        (0, None)

    Args:
        interval: seconds.
        burst: how many at once.
        clock: seconds; monotonic.
        held_back: counts those that are held back, for whoever shows their number.

    Threads: any; 0.3 µs to ask `admit`, half of that to be held back by `holds_back`.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_held_back",
        "_interval",
        "_lock",
        "_next",
        "_opens_at",
        "_slack",
        "_told",
    )

    def __init__(
        self,
        interval: float = 60.0,
        *,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        held_back: Ticks | None = None,
    ) -> None:
        self._interval = interval
        self._slack = interval * (burst - 1)
        self._clock = clock
        # When the bucket will be full again (the "theoretical arrival time"); and less its slack,
        # which is when the next one is admitted.
        self._next = self._opens_at = float("-inf")
        self._held_back = Ticks() if held_back is None else held_back
        self._told = self._held_back.value  # of those: known to whoever was admitted last
        # Invariant: guards what is written of _next, _opens_at and _told. Reentrant, for a
        # finalizer may ask in the middle of it: at worst one more is admitted.
        self._lock = threading.RLock()
        renew_after_fork(self)

    def admit(self) -> int | None:
        """How many were held back since the last one, or None when this one is to be."""
        now = self._clock()
        with self._lock:
            if now < self._opens_at:
                next(self._held_back.count)
                return None
            seen = self._held_back.value
            held_back, self._told = seen - self._told, seen
            self._next = max(now, self._next) + self._interval
            self._opens_at = self._next - self._slack
            return max(0, held_back)

    def holds_back(self) -> bool:
        """Whether one is held back now; if so, it is counted so. Takes no lock, and no token.

        Whoever is not held back has still to ask `admit`.
        """
        if self._clock() < self._opens_at:
            next(self._held_back.count)
            return True
        return False

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it; the parent tells what it held back."""
        self._lock = threading.RLock()
        self._held_back.forget()
        self._told = 0
