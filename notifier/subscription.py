"""What `brama.subscribe` gives out: a handle on a subscription, by which it is ended.

It belongs to the system, and outlives whoever delivers from it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable
from datetime import timedelta
from functools import partial
from typing import Self

import attrs
import trio

from brama.circuits import seconds

from .delivering import delivering
from .entering import wait_entered
from .inbox import Inbox
from .losses import say_disconnected, say_ended, say_quarantined
from .options import Options
from .status import SubscriptionStatus
from .target import Target

__all__ = ["Subscription", "Surroundings"]


@attrs.frozen
class Surroundings:
    """What a subscription tells those around it.

    Attributes:
        on_end: it has ended.
        spill: its queue of critical events is full; whether the journal feeds it from now on.
        on_overwhelmed: states of connections were lost to it (True), or it has caught up (False).
        on_own_loop: whether the caller is on Brama's own loop.
    """

    on_end: Callable[[Subscription], None] = lambda _subscription: None
    spill: Callable[[Subscription, int], bool] = lambda _subscription, _waiting: False
    on_overwhelmed: Callable[[Subscription, bool], None] = lambda _subscription, _overwhelmed: None
    on_own_loop: Callable[[], bool] = lambda: False


class Subscription(Inbox):
    """A handle on what `brama.subscribe` returned; closed by ``with`` and ``async with``, too.

    Critical events are delivered at least once, the others at most once; `Event.n` numbers the
    deliveries without a gap.

    Threads: from any. `close` may be called by the handler itself.
    """

    __slots__ = ("_around", "aside", "owners")

    def __init__(
        self,
        id: int,
        target: Target,
        options: Options,
        *,
        owner: Hashable = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        super().__init__(id, target, options)
        self.owners = {owner}
        self._around = surroundings or Surroundings()
        # Threads that are in the handler beside its actor, which may be killed while they are.
        # Each adds and takes itself, in one step.
        self.aside: list[threading.Thread] = []

    def _disconnect(self) -> None:
        lost = self.queued + 1
        self._end("disconnected", 0.0)
        say_disconnected(self.name, lost)

    def _spill(self) -> bool:
        return self._around.spill(self, self.queued)

    def _report_overwhelmed(self, overwhelmed: bool) -> None:
        self._around.on_overwhelmed(self, overwhelmed)

    # The journal's side

    def resume(self, n: int) -> None:
        """Deliveries are numbered on from `n`; before the first is offered."""
        self._n = max(self._n, n)

    @property
    def running(self) -> bool:
        """Whether the handler may be at work on an event now."""
        return self._current is not None

    @property
    def left_behind(self) -> bool:
        """Whether a thread is in the handler that was to be ended, and cannot be."""
        return bool(self.aside)

    # The owner's side

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.state != "active"

    @property
    def filter_failures(self) -> int:
        """How often its filter has raised or taken too long."""
        return 0 if self.filter is None else self.filter.failures

    def status(self) -> SubscriptionStatus:
        """What it is now: a frozen snapshot."""
        with self._lock:
            oldest = self._oldest()
            queued = self.queued
        lag = 0.0 if oldest is None else time.time() - oldest.timestamp.timestamp()
        return SubscriptionStatus(
            id=self.id,
            name=self.name,
            events=self.events,
            connection=self.connection,
            scope=self.scope,
            kind=self.kind,
            filtered=self.filter is not None,
            durable=self.durable,
            state=self.state,
            queued=queued,
            lag=max(0.0, lag),
            delivered=self.delivered,
            failures=self.failures,
            dropped=self.dropped,
            filter_failures=self.filter_failures,
        )

    def close(self, wait: bool | float | timedelta = False) -> bool:
        """End it: no handler invocation starts after this has returned.

        Args:
            wait: True waits until a running invocation has ended, a number at most so many seconds.
                Called by the handler itself it does not wait.

        Returns:
            Whether no invocation is running any more.
        """
        timeout = (
            None if wait is True else 0.0 if wait is False else seconds("wait", wait, zero=True)
        )
        return self._end("closed", timeout)

    async def aclose(self, wait: bool | float | timedelta = False) -> bool:
        """As `close`, awaited on asyncio or trio, so that it holds up no one.

        Args:
            wait: as there. Where `close` cannot wait for a handler on the same loop, this does.

        Returns:
            Whether no invocation is running any more.
        """
        closing = partial(self.close, wait)
        if delivering.get() is self:  # the handler itself
            return closing()
        try:
            if trio.lowlevel.in_trio_run():
                return await trio.to_thread.run_sync(closing, abandon_on_cancel=True)
            return await asyncio.to_thread(closing)
        finally:
            self._end("closed", 0.0)  # also if it was cancelled on the way

    def quarantine(self) -> None:
        """Its handler failed too often: end it and say so."""
        lost = self.queued
        self._end("quarantined", 0.0)
        say_quarantined(self.name, lost)

    def end(self, why: str) -> None:
        """Whoever it delivered to is gone."""
        lost = self.queued
        self.why: str | None = why
        self._end("closed", 0.0)
        say_ended(self.name, why, lost)

    def _end(self, state: str, timeout: float | None) -> bool:
        ended = threading.Event()
        with self._lock:
            first = self.state == "active"
            if first:
                self.state = state
                self._ready = self._plain = False
                self.left = self.queued
                self._backlog.clear()
            runner = self._runner
            # The handler itself, or its loop: waiting for itself would be for ever.
            here = threading.get_ident() in (runner, self._thread) or delivering.get() is self
            if runner is not None and not here:
                self._waiting.append(ended)
            current, threads = self._current, (runner, self._thread)
        if first:
            self._around.on_end(self)
        if runner is None:
            return True
        if here:
            return False
        # What was taken before the state changed may be on its way into the handler.
        wait_entered(threads, lambda: self._current is current)
        return ended.wait(timeout)

    def after_fork(self) -> None:
        """In the child: whoever delivered stayed behind, and so did what was queued."""
        self._lock = threading.Lock()
        self._backlog.clear()
        self._current = self._runner = self._thread = self.deliverer = None
        self.occupied = self._rung = False
        self.held = self.timed = None
        self.aside = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        wants = "all events" if self.events is None else ", ".join(self.events)
        state = f"{self.state}, {self.queued} queued"
        return f"<Subscription {self.id} of {self.name} to {wants}, {state}>"
