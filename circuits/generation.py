"""The counts of calls: one set for each stay in one state."""

from __future__ import annotations

import sys
from itertools import count
from math import inf
from sys import getrefcount
from typing import Any

import attrs

from .policy import Policy
from .trip import AnyOf, TimeWindow, TripPolicy
from .windows import ALWAYS, Judge, judges_of

__all__ = [
    "UNUSED",
    "Generation",
    "Meter",
    "Retired",
    "Totals",
    "new_generation",
    "parsed",
    "value",
]

NONE: dict[int, Any] = {}  # for those who never keep anything
NOTHING_FLIES = inf
NOT_WATCHED = sys.float_info.max
"""Of `Meter.hung_at`, both later than any time: the first wants to be set by the next call."""


UNUSED: count[int] = count()
"""The counter of whoever counts nothing yet. Invariant: nobody calls ``next`` on it."""


class Generation:
    """One stay in one state: the token that a call carries from its start to its end.

    Plain slots and two lock-free counters, because every guarded call goes through it.
    """

    __slots__ = ("failed", "ignored", "number", "started", "succeeded")

    def __init__(self, number: int, *, shut: bool = False) -> None:
        self.number = number
        # A stay that admits no call has counters only once somebody reports, see `counting`.
        self.started = UNUSED if shut else count()
        self.succeeded = UNUSED if shut else count()
        # Invariant: the two below change under the lock of the breaker only.
        self.failed = 0
        self.ignored = 0

    def counting(self) -> Generation:
        """Itself, ready for a report from elsewhere. Under the lock of the breaker."""
        if self.started is UNUSED:
            self.started = count()
            self.succeeded = count()
        return self

    @property
    def in_flight(self) -> int:
        """Calls that have started and not yet settled."""
        settled = value(self.succeeded) + self.failed + self.ignored
        return max(0, value(self.started) - settled)


class Meter(Generation):
    """A stay in closed under a policy that wants more than a row of failures counted.

    Attributes:
        judge: of the built-in conditions; None if the policy has only the user's own.
        trips: the user's own conditions, and `watchers` what they have made for this stay.
        timed: whether the start of every call is kept, in `flight`, by its number.
        judging: whether results are classified.
        slow_after: seconds above which a call is slow; infinite without.
        stall_after: seconds of a pause of our own that make a failure neutral, or None.
        hung: tickets of the calls under way that were found slow.
        hung_at: when the oldest call under way will be slow.
        scanned: calls that had started at the last look at those under way.
        until: a call that succeeds at or after this time tells of it under the lock.
        direct: whether a call may pass it as it passes a `Generation`, without all this.
    """

    __slots__ = (
        "direct",
        "flight",
        "hung",
        "hung_at",
        "judge",
        "judging",
        "scanned",
        "slow_after",
        "stall_after",
        "timed",
        "trips",
        "until",
        "watchers",
    )

    def __init__(self, number: int, policy: Policy, judge: Judge | None) -> None:
        super().__init__(number)
        self.judge = judge
        self.trips = _own(policy.trip)
        self.watchers: list[Any] | None = None
        self.slow_after = inf if policy.slow_after is None else policy.slow_after
        self.stall_after = policy.stall_after
        self.judging = policy.classify is not None or policy.record_result is not None
        self.timed = self.judging or not (
            policy.slow_after is policy.cancel_counts_after is policy.stall_after is None
        )
        # Invariant: the thread of a call adds and removes its own number, without the lock.
        self.flight: dict[int, float] = {} if self.timed else NONE
        # Invariant: both under the lock, but for the reading of a call that begins or ends.
        self.hung: dict[int, Any] = {} if self.timed else NONE
        self.hung_at = NOT_WATCHED if policy.slow_after is None else NOTHING_FLIES
        self.scanned = 0
        self.until = inf
        self.look()
        self.direct = not (self.timed or self.trips or _has_time_window(policy.trip))

    def look(self) -> None:
        """Take over from the judge when it wants to be told; under the lock, after each verdict."""
        if self.trips:
            self.until = ALWAYS
        elif self.judge is not None:
            self.until = self.judge.until

    @property
    def passes(self) -> bool:
        """Whether calls need not tell of their success just now."""
        return self.direct and self.until != ALWAYS


def new_generation(number: int, policy: Policy, judge: Judge | None = None) -> Generation:
    """A generation for a stay in which calls pass; `judge` goes on with what it has seen."""
    if policy.plain:
        return Generation(number)
    return Meter(number, policy, judge or judges_of(policy.trip, policy.slow_rate))


def _own(trip: Any) -> tuple[TripPolicy, ...]:
    """The conditions in `trip` that are the user's own."""
    conditions = trip.conditions if isinstance(trip, AnyOf) else (trip,)
    return tuple(one for one in conditions if judges_of(one, 1.0) is None)


def _has_time_window(trip: Any) -> bool:
    conditions = trip.conditions if isinstance(trip, AnyOf) else (trip,)
    return any(isinstance(one, TimeWindow) for one in conditions)


def value(counter: count[int]) -> int:
    """How often ``next`` was called on `counter`, without calling it.

    The text form is the only read that changes nothing and is not deprecated.
    """
    return int(repr(counter)[6:-1])


def parsed(text: str) -> int:
    """The same of a counter that was read before: its text."""
    return int(text[6:-1])


@attrs.define(weakref_slot=False)
class Totals:
    """Counts of the generations that are gone."""

    calls: int = 0
    successes: int = 0
    failures: int = 0
    ignored: int = 0
    late: int = 0

    @property
    def in_flight(self) -> int:
        """Calls that have started and not ended."""
        return max(0, self.calls - self.successes - self.failures - self.ignored)

    @property
    def error_rate(self) -> float:
        """Failures among the calls that have succeeded or failed, from 0 to 1."""
        settled = self.successes + self.failures
        return self.failures / settled if settled else 0.0


class Retired:
    """A generation that calls may still settle into, and what had settled when it ended.

    Plain slots: every transition makes one.
    """

    __slots__ = ("generation", "settled")

    def __init__(self, generation: Generation, succeeded: int) -> None:
        self.generation = generation
        self.settled = succeeded + generation.failed + generation.ignored

    def fold_into(self, totals: Totals) -> bool:
        """Count it in if none of its calls is out and none can begin any more; whether it was.

        A thread may stand between its admission and its first count, with the generation in its
        hands. Invariant: once nothing but this object refers to the generation, nobody can get
        hold of it again.
        """
        if _references(self) > ALONE:
            return False
        generation = self.generation
        succeeded = value(generation.succeeded)
        settled = succeeded + generation.failed + generation.ignored
        started = value(generation.started)
        if started > settled:
            return False
        totals.calls += started
        totals.successes += succeeded
        totals.failures += generation.failed
        totals.ignored += generation.ignored
        totals.late += settled - self.settled
        return True

    @property
    def late(self) -> int:
        """Results that have come since it ended."""
        now = self.generation
        return value(now.succeeded) + now.failed + now.ignored - self.settled


def _references(retired: Retired) -> int:
    return getrefcount(retired.generation)


ALONE = _references(Retired(Generation(0), 0))  # the count differs between Pythons
