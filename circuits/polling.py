"""Poll and compare: for systems that can be asked how they are and never say so by themselves."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import trio

from brama.telemetry import ConfigError

from .asking import Question
from .breaker import Breaker
from .options import check_function, present_loop, seconds
from .sources import Source

__all__ = ["Poll"]

SHOWN = 200


class _Unasked:
    """Stands for the value before the first poll."""


UNASKED = _Unasked()


class Poll(Source):
    """A value that is asked for again and again: `Circuit.poll` makes it.

    Attributes:
        polls: how often it was asked for.
        unknown: polls without an answer, because the function raised or took too long.
        fault: why the last poll had no answer, or None.
    """

    def __init__(
        self,
        breaker: Breaker,
        function: Callable[[], object],
        *,
        every: float | timedelta,
        timeout: float | timedelta | None = None,
        same: Callable[[Any, Any], object] = operator.eq,
        up: Callable[[Any], object] | None = None,
    ) -> None:
        super().__init__(breaker, seconds("every", every))
        limit = self.every / 2 if timeout is None else seconds("timeout", timeout)
        if limit >= self.every:
            raise ConfigError("timeout", f"less than every ({self.every} s)", limit)
        for option, given in (("same", same), ("up", up)):
            if given is not None and not callable(given):
                raise ConfigError(option, "a function", given)
        self._question = Question(check_function("function", function), limit, present_loop())
        self._same = same
        self._up = up
        self._value: object = UNASKED
        self.polls = 0
        self.unknown = 0
        self.fault: str | None = None

    @property
    def value(self) -> object:
        """The last answer; None before the first."""
        return None if self._value is UNASKED else self._value

    async def look(self, threads: trio.CapacityLimiter) -> None:
        """Ask, and compare with the answer before."""
        answer = await self._question.ask(threads)
        self.polls += 1
        self.fault = answer.fault
        if answer.fault is not None:
            self.unknown += 1  # not down: that we could not ask says nothing about it
            return
        before, self._value = self._value, answer.value
        # The user's functions, after the value was taken over: one that raises raises again and
        # again, and must not make the same change an event each time.
        if before is not UNASKED and not self._same(before, answer.value):
            self.breaker.announce(
                "value_changed",
                {"previous": shown(before), "current": shown(answer.value), "reason": None},
            )
        if self._up is None:
            return
        if self._up(answer.value):
            self._found_up()
        else:
            self._found_down(f"polled: {shown(answer.value)}"[:SHOWN])


def shown(value: object) -> object:
    """`value` as an event may carry it: as it is if it is plain, else as text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return (value if isinstance(value, str) else repr(value))[:SHOWN]
