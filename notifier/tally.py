"""How many deliveries the handlers of one system have dealt with: what metrics show of them."""

from __future__ import annotations

import threading
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
        # Invariant: all three are touched under the lock only.
        self._ended = 0
        self._ending: list[Subscription] = []  # ended over a delivery that still counts
        self._shown = 0
        source(metric_names.DELIVERED, self.read)

    def end(self, subscription: Subscription) -> None:
        """It has ended; nothing begins any more, but what was begun may yet be done."""
        with self._lock:
            self._ending.append(subscription)
            if len(self._ending) > 64:
                self._settle()

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
        under_way = []
        for one in self._ending:
            if one.running:
                under_way.append(one)
            else:
                self._ended += one.delivered
        self._ending = under_way

    def after_fork(self) -> None:
        """In the child: the parent reports what was delivered there."""
        self._lock = threading.Lock()
        self._ending = []
        self._shown = 0
        self._ended = -sum(one.delivered for one in self._subscriptions())
