"""The counts of calls: one set for each stay in one state."""

from __future__ import annotations

from itertools import count

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


@attrs.define
class Totals:
    """Counts of the generations that are gone."""

    calls: int = 0
    successes: int = 0
    failures: int = 0
    ignored: int = 0
    late: int = 0
