"""The calls of all circuits added up, a part at a time.

A look at all counters of a hundred thousand circuits takes half a second. So each look adds up as
many shards as its time allows and takes the others from the looks before; of a few thousand
circuits it is all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs

from .breaker import Breaker
from .circuit import Circuit
from .generation import value
from .roster import SHARDS, shard_of

__all__ = ["CallTotals", "Sums"]


@attrs.frozen(kw_only=True)
class CallTotals:
    """The calls of all circuits since their registration, of those that were removed, too.

    Attributes:
        calls: that were admitted.
        successes, failures, ignored: how they have ended.
        refused: calls that were not admitted.
        as_of: POSIX time of the oldest look that it is made of.
    """

    calls: int
    successes: int
    failures: int
    ignored: int
    refused: int
    as_of: float


Numbers = tuple[int, int, int, int, int]
NOTHING: Numbers = (0, 0, 0, 0, 0)


@attrs.define
class _Part:
    """One shard: what its circuits had counted, and those that had left it, at one look."""

    numbers: Numbers = NOTHING
    at: float = 0.0
    gone: Numbers = NOTHING  # the present one, of which `numbers` has what there was then


class Sums:
    """Adds up the circuits.

    Args:
        shard: gives the circuits of one shard.
        wall: POSIX time.

    Threads: any; one adds up at a time, and the others take what there is.
    """

    def __init__(self, shard: Callable[[int], list[Circuit]], wall: Callable[[], float]) -> None:
        self._shard = shard
        self._wall = wall
        self._parts = [_Part() for _ in range(SHARDS)]
        self._next = 0
        # Invariants: the first guards `gone` of the parts; whoever holds the other adds up.
        self._lock = threading.Lock()
        self._adding = threading.Lock()

    def bury(self, breaker: Breaker) -> None:
        """`breaker` is being removed: what it has counted must stay."""
        numbers = _numbers(breaker)
        part = self._parts[shard_of(breaker.key)]
        with self._lock:
            part.gone = _plus(part.gone, numbers)

    def look(self, limit: float) -> CallTotals | None:
        """Add up for `limit` seconds; None as long as not every circuit was looked at once."""
        if self._adding.acquire(blocking=False):
            try:
                self._add_up(limit)
            finally:
                self._adding.release()
        parts = [(part.numbers, part.at) for part in self._parts]
        as_of = min(at for _, at in parts)
        if not as_of:
            return None
        total = NOTHING
        for numbers, _ in parts:
            total = _plus(total, numbers)
        calls, successes, failures, ignored, refused = total
        return CallTotals(
            calls=calls,
            successes=successes,
            failures=failures,
            ignored=ignored,
            refused=refused,
            as_of=as_of,
        )

    def _add_up(self, limit: float) -> None:
        end = time.perf_counter() + limit
        for _ in range(SHARDS):
            number, self._next = self._next, (self._next + 1) % SHARDS
            part = self._parts[number]
            at = self._wall()
            # First those that are gone: one that goes meanwhile is missing until the next look
            # rather than counted twice.
            with self._lock:
                total = part.gone
            for circuit in self._shard(number):
                total = _plus(total, _numbers(circuit._breaker))
            part.numbers, part.at = total, at
            if time.perf_counter() >= end:
                return

    def after_fork(self) -> None:
        """The child counts from nothing; whoever held a lock is not there to release it."""
        self._lock = threading.Lock()
        self._adding = threading.Lock()
        self._parts = [_Part() for _ in range(SHARDS)]


def _numbers(breaker: Breaker) -> Numbers:
    with breaker.lock:
        totals = breaker._sum()
    return (
        totals.calls,
        totals.successes,
        totals.failures,
        totals.ignored,
        value(breaker.refused),
    )


def _plus(a: Numbers, b: Numbers) -> Numbers:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]
