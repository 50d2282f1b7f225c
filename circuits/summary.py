"""One circuit in a line: what a list of very many shows of each."""

from __future__ import annotations

from math import isinf
from typing import Any, Self

import attrs

from brama.telemetry import pool

from .breaker import Breaker
from .generation import value
from .state import State

__all__ = ["CircuitSummary", "Transition", "error_rate"]


def error_rate(breaker: Breaker) -> tuple[float, int]:
    """How a circuit fares beside others: its error rate, and how many calls there were."""
    with breaker.lock:
        totals = breaker._sum()
    if breaker.shared.asked:
        breaker.shared.settle()
    return totals.error_rate, totals.calls


@attrs.frozen(kw_only=True)
class CircuitSummary:
    """One circuit at one instant, in short; `Circuit.status` and `Circuit.why` say more.

    Attributes:
        connection, scope: whose.
        pool: the bounded name that it has in metrics.
        state: as the clock says.
        since: POSIX time of the last change of state, or of the registration.
        reason: of that change; None before the first.
        retry_after: seconds until a call may be admitted; infinite if nobody knows.
        failure_count: consecutive failures.
        calls, successes, failures, refused: since the registration.
        error_rate: failures among the calls that have succeeded or failed, from 0 to 1.
        in_flight: calls that have started and not ended.
        opened_count: openings since the registration.
        last_failure_time: POSIX time, or None.
    """

    connection: str
    scope: str | None
    pool: str
    state: State
    since: float
    reason: str | None
    retry_after: float
    failure_count: int
    calls: int
    successes: int
    failures: int
    refused: int
    error_rate: float
    in_flight: int
    opened_count: int
    last_failure_time: float | None

    @classmethod
    def of(cls, breaker: Breaker, now: float) -> Self:
        """That of a breaker; `now` by its clock."""
        with breaker.lock:
            totals = breaker._sum()
            moved = breaker._transition_at
            state = breaker.state_at(now)
            found = cls(
                connection=breaker.name,
                scope=breaker.scope,
                pool=pool(breaker.name),
                state=state,
                since=breaker.registered_at if moved is None else moved,
                reason=breaker._moved_by if state is breaker.state else "expiry elapsed",
                retry_after=breaker._retry_after(now),
                failure_count=breaker._failure_count(),
                calls=totals.calls,
                successes=totals.successes,
                failures=totals.failures,
                refused=value(breaker.refused),
                error_rate=totals.error_rate,
                in_flight=totals.in_flight,
                opened_count=breaker._opened_count,
                last_failure_time=breaker._last_failure,
            )
        if breaker.shared.asked:
            breaker.shared.settle()
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a time that nobody knows is None."""
        found = attrs.asdict(self)
        found["state"] = self.state.value
        if isinf(self.retry_after):
            found["retry_after"] = None
        return found


@attrs.frozen(kw_only=True)
class Transition:
    """A change of state.

    Attributes:
        connection, scope: whose.
        previous_state, new_state: from where to where.
        reason: why, or None.
        at: POSIX time.
        version: its number among all changes of the system.
    """

    connection: str
    scope: str | None
    previous_state: State
    new_state: State
    reason: str | None
    at: float
    version: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = attrs.asdict(self)
        found["previous_state"] = self.previous_state.value
        found["new_state"] = self.new_state.value
        return found
