"""Why a circuit is in the state it is in."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

import attrs

from brama.telemetry import SpanContext, traceparent

from .events import utc
from .options import spelt
from .state import State

__all__ = ["KEPT", "Cause", "Incident", "Seen", "Why"]

Seen = tuple[float, str | None, bool, "SpanContext | None"]
"""A failure as a circuit notes it: a tuple, because it is made in the middle of a transition; and
of the span in which it failed the name alone, because it may be kept for days."""

KEPT = 5
"""Failures that a circuit remembers as its evidence."""


@attrs.frozen
class Incident:
    """A failure that counted against a circuit.

    Attributes:
        at: POSIX time.
        reason: what was wrong, in words, or None.
        slow: it was slow, too; or slow, and nothing else.
        trace: the ``traceparent`` of the span in which it failed, if one was recorded.
    """

    at: float
    reason: str | None
    slow: bool = False
    trace: str | None = None

    @classmethod
    def of(cls, seen: Seen) -> Self:
        """What a circuit has noted, as it is handed out: a text that leads to the span."""
        at, reason, slow, span = seen
        return cls(at, reason, slow, traceparent(span))

    def __str__(self) -> str:
        slow = " (slow)" if self.slow else ""
        return f"{utc(self.at):%H:%M:%S} {self.reason or 'no reason given'}{slow}"


@attrs.frozen
class Cause:
    """What opened a circuit.

    Attributes:
        rule: which rule it broke, such as ``"5 failures in a row"``; None if it was opened by hand.
        attempt: the number of this opening among the automatic ones in a row.
        open_for: seconds that it was to stay open.
    """

    rule: str | None
    attempt: int
    open_for: float


@attrs.frozen(kw_only=True)
class Why:
    """The evidence behind the present state of a circuit; its text is for people.

    Attributes:
        connection, scope: whose.
        state: as the clock says.
        since: POSIX time of the last change of state, or of the registration.
        reason: of that change; None before the first.
        cause: what opened it, while it is open or half-open.
        incidents: the failures that count against it, oldest first; the last five.
        retry_after: seconds until a call may be admitted.
        isolated: how many hold it isolated.
        rules: the policy in a sentence; see `explain`.
        trace: the ``traceparent`` of the span of the transition that closed the gate, to which
            the spans of refused calls link; None while nothing keeps calls back, or nobody is
            tracing.
    """

    connection: str
    scope: str | None
    state: State
    since: float
    reason: str | None
    cause: Cause | None
    incidents: tuple[Incident, ...]
    retry_after: float
    isolated: int
    rules: str
    trace: str | None = None

    def __str__(self) -> str:
        name = self.connection if self.scope is None else f"{self.connection} ({self.scope})"
        lines = [f"{name} is {self.state} since {utc(self.since):%Y-%m-%d %H:%M:%S} UTC"]
        if self.reason:
            lines.append(f"because: {self.reason}")
        if self.cause is not None and self.cause.rule is not None:
            lines.append(f"the rule: {self.cause.rule}; opening {self.cause.attempt} in a row")
        if self.isolated:
            lines.append(f"isolated by {self.isolated}")
        if self.retry_after and self.state is State.OPEN:
            wait = "nobody knows when"
            if self.retry_after < timedelta.max.total_seconds():
                wait = f"in {spelt(self.retry_after)}"
            lines.append(f"next probe: {wait}")
        lines += [f"  {incident}" for incident in self.incidents]
        lines.append(f"rules: {self.rules}")
        return "\n".join(lines)
