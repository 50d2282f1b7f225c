"""Heartbeats: a connection whose peer falls silent is down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import trio

from brama.telemetry import ConfigError

from .asking import Question
from .breaker import Breaker
from .options import check_function, present_loop, seconds, whole
from .sources import Source

__all__ = ["Heartbeat"]

REASON = "heartbeat-missed"


class Heartbeat(Source):
    """The sign of life of a peer: `Circuit.heartbeat` makes it.

    Attributes:
        last: when the last beat came, by the monotonic clock of the circuit; at first, when it was
            made.
        silent: whether the peer is taken for down because no beat came.
        misses: intervals without a beat that are forgiven.
    """

    def __init__(
        self,
        breaker: Breaker,
        *,
        every: float | timedelta,
        misses: int = 3,
        ping: Callable[[], object] | None = None,
        timeout: float | timedelta | None = None,
    ) -> None:
        super().__init__(breaker, seconds("every", every))
        self.misses = whole("misses", misses)
        self.last = breaker.shared.clock()
        self.silent = False
        self._ping: Question | None = None
        limit = self.every / 2 if timeout is None else seconds("timeout", timeout)
        if limit >= self.every:
            raise ConfigError("timeout", f"less than every ({self.every} s)", limit)
        if ping is not None:
            self._ping = Question(check_function("ping", ping), limit, present_loop())
        elif timeout is not None:
            raise ConfigError("timeout", "left out without a ping", timeout)

    def beat(self) -> None:
        """The peer lives. Cheap: while all is well, one reading of the clock.

        Threads: from any.
        """
        self.last = self.breaker.shared.clock()
        if self.silent:
            self.silent = False
            self.breaker.announce("heartbeat_resumed", {"reason": None})
        self._found_up()

    async def look(self, threads: trio.CapacityLimiter) -> None:
        """Ping the peer, if it is to be pinged, and see how long it has been silent."""
        ping = self._ping
        if ping is not None:
            answer = await ping.ask(threads)
            if answer.fault is None and answer.value is not False:
                self.beat()
        if self.breaker.shared.clock() - self.last <= self.misses * self.every:
            return
        if not self.silent:
            self.silent = True
            self.breaker.announce("heartbeat_missed", {"reason": REASON})
        self._found_down(REASON)
