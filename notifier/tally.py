"""How many deliveries the handlers of one system have dealt with: what metrics show of them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from brama.telemetry import metric_names, source

from .subscription import Subscription

__all__ = ["Tally"]


class Tally:
    """Adds up the subscriptions, those that have ended among them.

    Args:
        subscriptions: gives those that there are.

    Threads: any.
    """

    def __init__(self, subscriptions: Callable[[], Iterable[Subscription]]) -> None:
        self._subscriptions = subscriptions
        self._lock = threading.Lock()
        # Those that have ended since the last look; each is added in one step, for it may be a
        # finalizer in the middle of that look that ends it.
        self._new: deque[Subscription] = deque()
        # Invariant: all three are touched under the lock only.
        self._ended = 0
        self._ending: list[Subscription] = []  # ended over a delivery that still counts
        self._shown = 0
        source(metric_names.DELIVERED, self.read)

    def end(self, subscription: Subscription) -> None:
        """It has ended; nothing begins any more, but what was begun may yet be done."""
        self._new.append(subscription)
        if len(self._new) > 64 and self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def read(self) -> dict[tuple[str, ...], float]:
        """Deliveries so far."""
        with self._lock:
            self._settle()
            ended = self._ended + sum(one.delivered for one in self._ending)
            ending = set(self._ending)
        now = ended + sum(one.delivered for one in self._subscriptions() if one not in ending)
        with self._lock:
            # One that ended in between is missing; what was shown is not undercut.
            self._shown = max(self._shown, now)
            return {(): self._shown}

    def _settle(self) -> None:
        while self._new:
            self._ending.append(self._new.popleft())
        under_way: list[Subscription] = []
        for one in self._ending:
            if one.running:
                under_way.append(one)
            else:
                self._ended += one.delivered
        self._ending = under_way

    def after_fork(self) -> None:
        """In the child: the parent reports what was delivered there."""
        self._lock = threading.Lock()
        self._new.clear()
        self._ending = []
        self._shown = 0
        self._ended = -sum(one.delivered for one in self._subscriptions())
