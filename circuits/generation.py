"""The counts of calls: one set for each stay in one state."""

from __future__ import annotations

from itertools import count
from sys import getrefcount

import attrs

__all__ = ["Generation", "Retired", "Totals", "value"]


class Generation:
    """One stay in one state: the token that a call carries from its start to its end.

    Plain slots and two lock-free counters, because every guarded call goes through it.
    """

    __slots__ = ("failed", "ignored", "number", "started", "succeeded")

    def __init__(self, number: int) -> None:
        self.number = number
        self.started = count()
        self.succeeded = count()
        # Invariant: the two below change under the lock of the breaker only.
        self.failed = 0
        self.ignored = 0

    @property
    def in_flight(self) -> int:
        """Calls that have started and not yet settled."""
        settled = value(self.succeeded) + self.failed + self.ignored
        return max(0, value(self.started) - settled)


def value(counter: count[int]) -> int:
    """How often ``next`` was called on `counter`, without calling it.

    The text form is the only read that changes nothing and is not deprecated.
    """
    return int(repr(counter)[6:-1])


@attrs.frozen(eq=False)
class Retired:
    """A generation that calls may still settle into, and its counts when it ended."""

    generation: Generation
    succeeded: int
    failed: int
    ignored: int

    @property
    def over(self) -> bool:
        """Whether none of its calls is out and none can begin any more.

        A thread may stand between its admission and its first count, with the generation in its
        hands. Invariant: once nothing but this object refers to the generation, nobody can get
        hold of it again.
        """
        return _references(self) <= ALONE and self.generation.in_flight == 0

    @property
    def late(self) -> int:
        now = self.generation
        return (
            value(now.succeeded)
            - self.succeeded
            + now.failed
            - self.failed
            + now.ignored
            - self.ignored
        )


def _references(retired: Retired) -> int:
    return getrefcount(retired.generation)


ALONE = _references(Retired(Generation(0), 0, 0, 0))  # the count differs between Pythons


@attrs.define
class Totals:
    """Counts of the generations that are gone."""

    calls: int = 0
    successes: int = 0
    failures: int = 0
    ignored: int = 0
    late: int = 0

    def add(self, retired: Retired) -> None:
        """Count in a generation that is over."""
        generation = retired.generation
        self.calls += value(generation.started)
        self.successes += value(generation.succeeded)
        self.failures += generation.failed
        self.ignored += generation.ignored
        self.late += retired.late
