"""The condition that a user gave, and what comes of one that raises or takes its time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from brama.circuits import Event

from .kinds import refuse_unrun

__all__ = ["REPORT_AFTER", "Filter"]

logger = logging.getLogger("brama.notifier")

REPORT_AFTER = 3
SLOW_FILTER = 0.25


class Filter:
    """Asks `condition` about events. Over one at which it raises or is slow there is no match.

    Threads: one at a time; it is the user's code, so under no lock.

    Attributes:
        failures: how often it has raised or taken too long.
    """

    def __init__(self, condition: Callable[[Event], object], subscription: str) -> None:
        self._condition = condition
        self._subscription = subscription
        self.failures = 0

    def passes(self, event: Event) -> bool:
        """Whether `event` matches. Never raises but what ends a thread."""
        began = time.monotonic()
        error: BaseException | None = None
        try:
            answer = self._condition(event)
            refuse_unrun(answer)
            passes = bool(answer)
        except (Exception, SystemExit, GeneratorExit) as raised:  # noqa: BLE001 - the user's
            error = raised
            passes = False
        if error is None and time.monotonic() - began <= SLOW_FILTER:
            return passes
        self.failures += 1
        if self.failures == REPORT_AFTER:
            logger.error(
                "the filter of subscription %s has raised or taken longer than %s s %d times; an "
                "event over which it does so does not match",
                self._subscription,
                SLOW_FILTER,
                REPORT_AFTER,
                exc_info=error,
            )
        return False
