"""The calls of all circuits added up, a part at a time.

A look at all counters of a hundred thousand circuits takes half a second. So each look goes on
where the one before has stopped, for as long as its time allows, and takes the other shards from
the looks before; of some hundred circuits it is all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import Final

import attrs

from .breaker import Breaker
from .circuit import Circuit
from .generation import value
from .options import Key
from .roster import SHARDS, shard_of

__all__ = ["CallTotals", "Sums"]

STEP: Final = 50
"""Circuits between two looks at the clock."""


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
        keys: gives those of one shard.
        at: gives the circuit of a key.
        wall: POSIX time.

    Threads: any; one adds up at a time, and the others take what there is.
    """

    def __init__(
        self,
        keys: Callable[[int], list[Key]],
        at: Callable[[Key], Circuit | None],
        wall: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._at = at
        self._wall = wall
        self._parts = [_Part() for _ in range(SHARDS)]
        self._way = self._round()
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
        ended = 0
        for done in self._way:
            ended += done
            if ended == SHARDS or time.perf_counter() >= end:
                return
        self._way = self._round()  # an interrupt from the keyboard has ended it

    def _round(self) -> Generator[bool, None, None]:
        """Add up one shard after the other, for ever, a step at a time; whether one has ended.

        Between two steps it holds keys and no circuits, which would outlive their removal.
        """
        while True:
            for number, part in enumerate(self._parts):
                at = self._wall()
                # First those that are gone: one that goes meanwhile is missing until the next look
                # rather than counted twice.
                with self._lock:
                    total = part.gone
                keys = self._keys(number)
                for start in range(0, len(keys), STEP):
                    if start:
                        yield False
                    total = self._plus_all(total, keys[start : start + STEP])
                part.numbers, part.at = total, at
                yield True

    def _plus_all(self, total: Numbers, keys: list[Key]) -> Numbers:
        calls, successes, failures, ignored, refused = total
        for key in keys:
            circuit = self._at(key)
            if circuit is not None:
                breaker = circuit._breaker
                with breaker.lock:
                    sums = breaker._sum()
                calls += sums.calls
                successes += sums.successes
                failures += sums.failures
                ignored += sums.ignored
                refused += value(breaker.refused)
                if breaker.shared.asked:
                    breaker.shared.settle()
        return calls, successes, failures, ignored, refused

    def after_fork(self) -> None:
        """The child counts from nothing; whoever held a lock is not there to release it."""
        self._lock = threading.Lock()
        self._adding = threading.Lock()
        self._parts = [_Part() for _ in range(SHARDS)]
        self._way = self._round()


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
