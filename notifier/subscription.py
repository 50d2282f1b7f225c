"""One subscription: its filter, its queue, and the promise that it keeps about them.

It belongs to the system. Whoever delivers from it, an actor or a thread, may die at any moment: the
event that was being delivered is delivered again, before any later one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, Self

from pykka import ActorDeadError

from brama.circuits import Event, seconds

from .losses import announce_loss, announce_quarantine

__all__ = ["BELL", "Bell", "Deliverer", "Subscription"]

logger = logging.getLogger("brama.notifier")

CRITICAL_BACKLOG = 10_000
BACKLOG = 1_000
REPORT_AFTER = 3


class Deliverer(Protocol):
    """Whoever takes events from a subscription, an actor's ref for the most part."""

    def tell(self, message: Any) -> None: ...


class Bell:
    """To a deliverer: the queue of its subscription is no longer empty."""


BELL = Bell()


class Subscription:
    """A handle on what `brama.subscribe` returned; also a context manager that closes it.

    Critical events are delivered at least once: one whose handler raised, or was killed, comes
    again, marked `Event.redelivered`, until it has failed ``max_redeliveries + 1`` times. The
    others are delivered at most once. Deliveries are numbered without a gap (`Event.n`).

    Threads: from any. `close` may be called by the handler itself.

    Attributes:
        id: unique in its system.
        name: of the handler, for people.
        events, connection, scope, filter: what it matches; None is any.
        born: version of the index at which it began.
        deliverer: told when the queue is no longer empty; None while it is not up.
        occupied: a thread or a task outside of Brama's loop delivers from it now.
        ring_always: the deliverer wants to hear of every event.
        delivered, failures, dropped: counts of events.
        durable: the name under which the journal keeps its position, or None.
        on_finished: called, under the lock, when an event that was offered has come to its end:
            handled, given up, or not wanted by the filter; with the deliveries so far.
        state: ``"active"``, ``"quarantined"`` (its handler failed too often) or ``"closed"``.
    """

    def __init__(
        self,
        id: int,
        handler: Any,
        *,
        name: str,
        events: tuple[str, ...] | None,
        connection: str | None,
        scope: str | None,
        filter: Callable[[Event], object] | None,
        max_redeliveries: int,
        owner: object,
        on_end: Callable[[Subscription], None],
        spill: Callable[[Subscription, int], bool] | None = None,
    ) -> None:
        self.id = id
        self.handler = handler
        self.name = name
        self.events = events
        self.connection = connection
        self.scope = scope
        self.filter = filter
        self.max_redeliveries = max_redeliveries
        self.owner = owner
        self.born = 0
        self.deliverer: Deliverer | None = None
        self.occupied = False
        self.ring_always = False
        self.delivered = 0
        self.failures = 0
        self.dropped = 0
        self.state = "active"
        self.durable: str | None = None
        self.on_finished: Callable[[int], None] | None = None
        self._on_end = on_end
        self._spill = spill
        self._lock = threading.Lock()
        # Invariant: the fields below are written under the lock, but `_n`, `_shown` and
        # `_filter_failures`, which only the one that delivers writes.
        self._queue: deque[Event] = deque()
        self._rung = False
        self._current: Event | None = None
        self._attempts = 0
        self._runner: int | None = None
        self._thread: int | None = None
        self._waiting: list[threading.Event] = []
        self._n = 0
        self._shown: Event | None = None
        self._filter_failures = 0
        self._failed_in_row = 0

    # The registry's side

    def offer(self, event: Event) -> bool:
        """Queue `event`; whether it was queued. Never waits and never raises."""
        with self._lock:
            if self.state != "active":
                return False
            queue = self._queue
            full = len(queue) >= BACKLOG
            before = self.dropped
            taken = not full or self._make_room(event)
            ring = taken and (self.ring_always or not self._rung)
            if taken:
                queue.append(event)
                self._rung = True
        if ring:
            self.tell(BELL)
        if full and self.dropped != before:
            announce_loss(self.name, "overflow", event.event)
        return taken

    def tell(self, message: Any) -> None:
        """Send to the deliverer. A dead one has a successor, who looks into the queue first."""
        deliverer = self.deliverer
        if deliverer is not None:
            try:
                deliverer.tell(message)
            except ActorDeadError:
                pass

    def _make_room(self, event: Event) -> bool:
        if event.critical and len(self._queue) < CRITICAL_BACKLOG:
            return True
        if event.critical and self._spill is not None and self._spill(self, self.queued):
            logger.warning(
                "subscription %s does not keep up: %d critical events are waiting, and further "
                "ones come to it from the journal",
                self.name,
                len(self._queue),
            )
            return False
        if self.dropped == 0:
            logger.warning(
                "subscription %s does not keep up: %d events are waiting, further ones are "
                "dropped; make its handler faster or subscribe to fewer events",
                self.name,
                len(self._queue),
            )
        self.dropped += 1
        if event.critical:
            self._queue.popleft()
        return event.critical

    # The deliverer's side. One at a time.

    def take(self) -> Event | None:
        """The event to deliver now: the one that was not finished, else the next; None if none.

        The deliverer calls the handler with it and then `next` or `failed`.
        """
        return self._filtered(self._take(finished=False))

    def next(self) -> Event | None:
        """The current event has been handled; the next one, None if none."""
        return self._filtered(self._take(finished=True))

    def finish(self) -> bool:
        """The current event has been handled and none is taken now; whether there is another."""
        with self._lock:
            self._done()
            more = self.state == "active" and bool(self._queue)
            self._idle(rung=more)
            return more

    def _take(self, *, finished: bool) -> Event | None:
        with self._lock:
            if finished:
                self._done()
            event = self._current
            if event is not None and not event.critical:
                self._give_up(event, None)  # its deliverer was ended over it
                event = None
            if event is None and self._queue:
                event = self._queue.popleft()
                self._attempts = 0
            if event is None or self.state != "active":
                self._idle()
                return None
            self._current = event
            self._runner = threading.get_ident()
            return event

    def _done(self) -> None:
        if self._current is not None:
            self.delivered += 1
            self._failed_in_row = 0
            self._finished()

    def _finished(self) -> None:
        self._current = None
        if self.on_finished is not None:
            self.on_finished(self._n)

    def _filtered(self, event: Event | None) -> Event | None:
        """The first from `event` on that the filter lets through, as a delivery."""
        while event is not None:
            if event is self._shown:  # it was let through before its delivery failed
                return event.delivery(self._n, redelivered=True)
            if self.filter is None or (self._passes(event) and self.begin()):
                self._n += 1
                self._shown = event
                return event.delivery(self._n, redelivered=event.redelivered)
            with self._lock:
                self._finished()
            event = self._take(finished=False)
        return None

    def begin(self) -> bool:
        """The handler is about to be called on this thread; False if it was closed meanwhile.

        Needed where something may take its time between `take` and the handler: a filter, or the
        way to another thread. `close` may be called from this thread, too.
        """
        with self._lock:
            self._thread = threading.get_ident()
            return self.state == "active"

    def _passes(self, event: Event) -> bool:
        assert self.filter is not None
        try:
            return bool(self.filter(event))
        except (Exception, SystemExit, GeneratorExit):
            self._filter_failures += 1
            if self._filter_failures == REPORT_AFTER:
                logger.exception(
                    "the filter of subscription %s has raised %d times; an event over which it "
                    "raises does not match",
                    self.name,
                    REPORT_AFTER,
                )
            return False

    def failed(self, error: BaseException) -> None:
        """The handler raised over the current event: it comes again, or it is given up."""
        with self._lock:
            self.failures += 1
            self._failed_in_row += 1
            # Failures count and not attempts: a deliverer that was killed is no fault of the event.
            self._attempts += 1
            event = self._current
            report = self._failed_in_row == REPORT_AFTER
            given_up = event is not None and not (
                event.critical and self._attempts <= self.max_redeliveries
            )
            if event is not None and given_up:
                self._give_up(event, error)
            self._idle(rung=True)
        if event is not None and given_up:
            announce_loss(self.name, "handler_failed", event.event)
        if report:
            logger.error(
                "the handler of subscription %s has failed %d times in a row, last with %r; it is "
                "restarted, others are not touched",
                self.name,
                REPORT_AFTER,
                error,
            )

    def _give_up(self, event: Event, error: BaseException | None) -> None:
        self._finished()
        self.dropped += 1
        log = logger.error if event.critical else logger.warning
        log(
            "dead letter: %s of connection %r could not be delivered to subscription %s "
            "and is given up after %d failure(s)",
            event.event,
            event.connection,
            self.name,
            self._attempts,
            exc_info=error,
        )

    def pause(self) -> None:
        """The deliverer ends; the current event, if any, is not finished."""
        with self._lock:
            self._idle(rung=True)

    def _idle(self, *, rung: bool = False) -> None:
        # Under the lock.
        self._runner = self._thread = None
        self._rung = rung
        for waiting in self._waiting:
            waiting.set()
        self._waiting.clear()

    # The journal's side

    def resume(self, n: int) -> None:
        """Deliveries are numbered on from `n`; before the first is offered."""
        self._n = max(self._n, n)

    @property
    def running(self) -> bool:
        """Whether the handler may be at work on an event now."""
        return self._current is not None

    # The owner's side

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.state != "active"

    @property
    def queued(self) -> int:
        """Events that wait for the handler, the current one included."""
        return len(self._queue) + (self._current is not None)

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

    def quarantine(self) -> None:
        """Its handler failed too often: end it and say so."""
        lost = self.queued
        self._end("quarantined", 0.0)
        announce_quarantine(self.name)
        if lost:
            announce_loss(self.name, "quarantined", count=lost)
        logger.critical(
            "subscription %s is quarantined: its handler failed too often within a minute; "
            "%d events that waited are lost to it. Mend the handler and subscribe again",
            self.name,
            lost,
        )

    def after_fork(self) -> None:
        """In the child: whoever delivered stayed behind, and so did what was queued."""
        self._lock = threading.Lock()
        self._queue.clear()
        self._current = self._runner = self._thread = self.deliverer = None
        self.occupied = self._rung = False

    def end(self, why: str) -> None:
        """Whoever it delivered to is gone."""
        lost = self.queued
        self._end("closed", 0.0)
        if lost:
            announce_loss(self.name, "ended", count=lost)
            logger.warning(
                "subscription %s has ended: %s; %d events are dead letters", self.name, why, lost
            )

    def _end(self, state: str, timeout: float | None) -> bool:
        ended = threading.Event()
        with self._lock:
            first = self.state == "active"
            if first:
                self.state = state
                self._queue.clear()
            runner = self._runner
            # The handler itself, or its loop: waiting for itself would be for ever.
            here = threading.get_ident() in (runner, self._thread)
            if runner is not None and not here:
                self._waiting.append(ended)
        if first:
            self._on_end(self)
        if runner is None:
            return True
        return not here and ended.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        wants = "all events" if self.events is None else ", ".join(self.events)
        state = f"{self.state}, {self.queued} queued"
        return f"<Subscription {self.id} of {self.name} to {wants}, {state}>"
