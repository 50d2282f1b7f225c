"""Which of very many circuits fare worst."""

from __future__ import annotations

from heapq import nlargest
from operator import attrgetter
from typing import Final

from .breaker import Breaker
from .state import State
from .summary import error_rate

__all__ = ["Worst"]

CANDIDATES: Final = 1000
"""Circuits that are weighed exactly; of more, those with the longest rows of failures."""


class Worst:
    """Looks for those with the highest error rate, and of equal ones with the most calls.

    To weigh one takes some microseconds, and so only those are weighed that are not closed or have
    failed of late.

    Args:
        since: POSIX time from which on a failure is of late.
    """

    def __init__(self, since: float) -> None:
        self._since = since
        self._found: list[Breaker] = []
        self._bar = -1  # who has no longer a row of failures is no candidate any more

    def add(self, breakers: list[Breaker], away: list[Breaker]) -> None:
        """Look at these, of which those in `away` are not closed."""
        closed, bar, since, found = State.CLOSED, self._bar, self._since, self._found
        found += away if bar < 0 else [breaker for breaker in away if breaker._failures > bar]
        if len(away) < len(breakers):
            found += [
                breaker
                for breaker in breakers
                if (at := breaker._last_failure) is not None
                and at >= since
                and breaker._failures > bar
                and breaker.state is closed
            ]
        if len(found) > 2 * CANDIDATES:
            self._shorten()

    def _shorten(self) -> None:
        found = self._found
        found.sort(key=attrgetter("_failures"), reverse=True)
        del found[CANDIDATES:]
        self._bar = found[-1]._failures

    def take(self, count: int) -> list[Breaker]:
        """The worst of all, worst first."""
        if len(self._found) > CANDIDATES:
            self._shorten()
        # One that has moved in the middle of a look is there twice.
        return nlargest(count, dict.fromkeys(self._found), key=error_rate)
