"""One subscription: its filter, its queue, and the promise that it keeps about them.

It belongs to the system. Whoever delivers from it, an actor or a thread, may die at any moment: the
event that was being delivered is delivered again, before any later one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from datetime import timedelta
from typing import Any, Protocol, Self

import attrs
from pykka import ActorDeadError

from brama.circuits import EVENTS, Event, Fields, seconds

from .backlog import Backlog, Gap
from .entering import wait_entered
from .inline import Inline
from .losses import Loss, announce_loss, announce_quarantine
from .options import Options
from .snapshots import Snapshots
from .status import SubscriptionStatus
from .target import Target

__all__ = ["BELL", "Bell", "Deliverer", "Subscription", "Surroundings"]

logger = logging.getLogger("brama.notifier")

CRITICAL_BACKLOG = 10_000
REPORT_AFTER = 3
SLOW_FILTER = 0.25


class Deliverer(Protocol):
    """Whoever takes events from a subscription, an actor's ref for the most part."""

    def tell(self, message: Any) -> None: ...


class Bell:
    """To a deliverer: the queue of its subscription is no longer empty."""


BELL = Bell()


@attrs.frozen
class Surroundings:
    """What a subscription tells those around it.

    Attributes:
        on_end: it has ended.
        spill: its queue of critical events is full; whether the journal feeds it from now on.
        on_overwhelmed: states of connections were lost to it (True), or it has caught up (False).
    """

    on_end: Callable[[Subscription], None] = lambda _subscription: None
    spill: Callable[[Subscription, int], bool] = lambda _subscription, _waiting: False
    on_overwhelmed: Callable[[Subscription, bool], None] = lambda _subscription, _overwhelmed: None


class Subscription:
    """A handle on what `brama.subscribe` returned; also a context manager that closes it.

    Critical events are delivered at least once: one whose handler raised, or was killed, comes
    again, marked `Event.redelivered`, until it has failed ``max_redeliveries + 1`` times. The
    others are delivered at most once. Deliveries are numbered without a gap (`Event.n`). What the
    backlog could not keep is one event `gap` in its place.

    Threads: from any. `close` may be called by the handler itself.

    Attributes:
        id: unique in its system.
        name: of the handler, for people.
        options: what was asked for.
        born: version of the index at which it began.
        deliverer: told when the queue is no longer empty; None while it is not up.
        held: a task on the loop that it names delivers from it now.
        timed: the deliverer that has set itself an alarm clock for what waits.
        occupied: a thread or a task outside of Brama's loop delivers from it now.
        delivered, failures, dropped: counts of events.
        on_finished: called, under the lock, when an event that was offered has come to its end:
            handled, given up, or not wanted by the filter; with the deliveries so far.
        state: ``"active"``, ``"closed"``, ``"quarantined"`` (its handler failed too often) or
            ``"disconnected"`` (its backlog was full).
    """

    def __init__(
        self,
        id: int,
        target: Target,
        options: Options,
        *,
        owner: Hashable = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self.id = id
        self.target = target
        self.options = options
        self.owners = {owner}
        self.born = 0
        self.deliverer: Deliverer | None = None
        self.occupied = False
        self.held: tuple[object, Deliverer | None] | None = None
        self.timed: object = None
        self.delivered = 0
        self.failures = 0
        self.dropped = 0
        self.filter_failures = 0
        self.state = "active"
        self.on_finished: Callable[[int], None] | None = None
        # Read for every event, so without a way through `options` and `target`.
        self.handler = target.handler
        self.name = target.name
        self.filter = options.filter
        self.max_redeliveries = options.max_redeliveries
        self._around = surroundings or Surroundings()
        self._lock = threading.Lock()
        # Invariant: the fields below are written under the lock, but `_n`, `_shown`, `_gap` and
        # `filter_failures`, which only the one that delivers writes.
        # What the journal feeds is bounded by its window, and must come to the last event.
        backlog = options.backlog if options.durable is None else CRITICAL_BACKLOG
        self._backlog = Backlog(backlog, CRITICAL_BACKLOG, options.overflow)
        self._snapshots = Snapshots() if options.snapshot else None
        self._overwhelmed = False
        self._ready = self._snapshots is None  # nothing has to be decided of what is offered
        self._plain = self.filter is None  # nor of what is taken
        self._alone = isinstance(self.handler, Inline)  # offered and taken on the loop thread
        self._rung = False
        self._current: Event | None = None
        self._attempts = 0
        self._runner: int | None = None
        self._thread: int | None = None
        self._waiting: list[threading.Event] = []
        self._n = 0
        self._shown: Event | None = None
        self._gap: Event | None = None
        self._gaps = 0
        # Dead letters that are to be logged, which is not done under the lock.
        self._letters: list[tuple[Event, BaseException | None, int]] = []
        self._failed_in_row = 0

    @property
    def events(self) -> tuple[str, ...] | None:
        """The kinds of events it asks for; None is all."""
        return self.options.events

    @property
    def connection(self) -> str | None:
        """The connection, or the glob of several, that it asks for; None is any."""
        return self.options.connection

    @property
    def scope(self) -> str | None:
        """The scope that it asks for; None is any."""
        return self.options.scope

    @property
    def durable(self) -> str | None:
        """The name under which the journal keeps its position, or None."""
        return self.options.durable

    # The registry's side

    def offer(self, event: Event) -> bool:
        """Queue `event`; whether it was queued. Never waits and never raises."""
        backlog = self._backlog
        if self._alone and self._ready and backlog.over is None and self.on_finished is None:
            # As below. Both who offers and who delivers are on the loop thread.
            queue = backlog.queue
            if len(queue) < backlog.room:
                queue.append(event)
                if not self._ready:  # closed in between
                    queue.clear()
                    return False
                if not self._rung:
                    self._rung = True
                    self.tell(BELL)
                return True
        with self._lock:
            # Nearly always there is room, and nothing else to think of.
            if self._ready and len(backlog.queue) < backlog.room and backlog.over is None:
                backlog.queue.append(event)
                if self._rung:
                    return True
                self._rung = True
                ring_alone = True
            else:
                ring_alone = False
        if ring_alone:
            self.tell(BELL)
            return True
        return self._offer(event)

    def _offer(self, event: Event) -> bool:
        disconnected = spilled = first = overwhelmed = False
        lost = 0
        with self._lock:
            if self.state != "active":
                return False
            if self._snapshots is not None and self._left_out(event):
                return False
            backlog = self._backlog
            if event.seq is None:
                disconnected = backlog.disconnects
            else:
                spilled = backlog.critical_full and self._around.spill(self, self.queued)
            ring = not (self._rung or disconnected or spilled)
            if not disconnected and not spilled:
                lost = backlog.put(event)
                self._rung = True
                first = self.dropped == 0
                self.dropped += lost
                overwhelmed = backlog.missing_states and not self._overwhelmed
                self._overwhelmed = self._overwhelmed or overwhelmed
        # Who listens to the log or to the losses is the user's code: not under the lock.
        if disconnected:
            self._disconnect()
            return False
        if spilled:
            logger.warning(
                "subscription %s does not keep up: %d critical events are waiting, and further "
                "ones come to it from the journal",
                self.name,
                len(backlog),
            )
            return False
        if ring:
            self.tell(BELL)
        if lost:
            self._report_loss(event, lost, first=first)
        if overwhelmed:
            self._around.on_overwhelmed(self, True)
        return not (lost and event.seq is None and self.options.overflow == "drop_newest")

    def _left_out(self, event: Event) -> bool:
        assert self._snapshots is not None
        left_out = self._snapshots.leaves_out(event)
        self._no_more_snapshots()
        return left_out

    def _no_more_snapshots(self) -> None:
        if self._snapshots is not None and self._snapshots.done:
            self._snapshots = None
            self._ready = self.state == "active"

    def _report_loss(self, event: Event, lost: int, *, first: bool) -> None:
        if first:
            logger.warning(
                "subscription %s does not keep up: %d events are waiting, and some are dropped "
                "(overflow=%r); make its handler faster or subscribe to fewer events",
                self.name,
                len(self._backlog),
                self.options.overflow,
            )
        announce_loss(self.name, "overflow", event.event, count=lost)

    def _disconnect(self) -> None:
        lost = self.queued + 1
        self._end("disconnected", 0.0)
        self._lost_all("overflow", lost)
        logger.warning(
            "subscription %s is disconnected: it does not keep up, and %d events are lost to it",
            self.name,
            lost,
        )

    def begin_with(self, snapshots: Iterable[Event]) -> None:
        """It begins with these, and goes on with what happens after they were taken."""
        with self._lock:
            assert self._snapshots is not None
            begun = self._snapshots.begin(snapshots)
            for event in begun:
                # The beginning is whole, however much there is.
                self.dropped += self._backlog.put(event)
            self._no_more_snapshots()  # last: from then on the registry need not take the lock
            self._rung = True
        self.tell(BELL)

    def tell(self, message: Any) -> None:
        """Send to the deliverer. A dead one has a successor, who looks into the queue first."""
        deliverer = self.deliverer
        if deliverer is not None:
            try:
                deliverer.tell(message)
            except ActorDeadError:
                pass

    # The deliverer's side. One at a time.

    def take(self) -> Event | None:
        """The event to deliver now: the one that was not finished, else the next; None if none.

        The deliverer calls the handler with it and then `next` or `failed`.
        """
        return self._filtered(self._take(finished=False))

    def next(self) -> Event | None:
        """The current event has been handled; the next one, None if none."""
        queue = self._backlog.queue
        if self._alone and self._plain and self.on_finished is None and self._current is not None:
            # On the loop thread nobody but `close` can come in between. Invariant: `_current` is
            # written before `_plain` is read, and `close` does it the other way round, so that one
            # of the two sees the other.
            try:
                event = queue.popleft()
            except IndexError:
                return self._filtered(self._take(finished=True))
            self.delivered += 1
            self._n += 1
            if self._failed_in_row:
                self._failed_in_row = self._attempts = 0
            self._current = self._shown = event
            if self._plain:
                return event.delivery(self._n)
            return self._filtered(self._take(finished=False))
        with self._lock:
            if queue and self._plain and self._current is not None and self.on_finished is None:
                # As below, without the ways to what such a subscription does not have.
                self.delivered += 1
                self._n += 1
                if self._failed_in_row:
                    self._failed_in_row = self._attempts = 0
                self._current = self._shown = event = queue.popleft()
                return event.delivery(self._n)
        return self._filtered(self._take(finished=True))

    def finish(self) -> bool:
        """The current event has been handled and none is taken now; whether there is another."""
        with self._lock:
            self._done()
            more = self.state == "active" and bool(self._backlog)
            self._idle(rung=more)
            return more

    def _take(self, *, finished: bool) -> Event | None:
        with self._lock:
            if finished:
                self._done()
            event = self._current
            if event is not None and not self._comes_again(event):
                self._give_up(event, None)  # its deliverer was ended over it
                event = None
            if event is None and self._backlog:
                event = self._pop()
                self._attempts = 0
            letters, self._letters = self._letters, []
            if event is None or self.state != "active":
                self._idle()
                event = None
            else:
                self._current = event
                self._runner = threading.get_ident()
            recovered = self._overwhelmed and not self._backlog.missing_states
            if recovered:
                self._overwhelmed = False
        self._post(letters)
        if recovered:
            self._around.on_overwhelmed(self, False)
        return event

    def _comes_again(self, event: Event) -> bool:
        """Whether it is delivered once more when its delivery did not end well."""
        if self.target.lossy:
            return False
        return event.seq is not None or event.event == "snapshot"

    def _pop(self) -> Event | None:
        found = self._backlog.pop()
        if not isinstance(found, Gap):
            return found
        self._gaps += 1
        last = found.last
        self._gap = Event(
            event="gap",
            connection=(self.connection or "") if last.connection == self.connection else "",
            scope=self.scope,
            timestamp=last.timestamp,
            monotonic=last.monotonic,
            epoch=0,
            seq=None,
            event_id=f"{last.event_id}-gap-{self.id}-{self._gaps}",
            severity=EVENTS["gap"].severity,
            data=Fields({"lost": found.lost}),
            source=last.source,
        )
        return self._gap

    def _done(self) -> None:
        if self._current is not None:
            self.delivered += 1
            self._failed_in_row = 0
            self._finished()

    def _finished(self) -> None:
        offered = self._current is not self._gap
        self._current = None
        if self.on_finished is not None and offered:
            self.on_finished(self._n)

    def _filtered(self, event: Event | None) -> Event | None:
        """The first from `event` on that the filter lets through, as a delivery."""
        while event is not None:
            if event is self._shown:  # it was let through before its delivery failed
                return event.delivery(self._n, redelivered=True)
            if self.filter is None or event is self._gap or (self._passes(event) and self.begin()):
                self._n += 1
                self._shown = event
                return event.delivery(self._n)
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
        began = time.monotonic()
        error: BaseException | None = None
        try:
            passes = bool(self.filter(event))
        except (Exception, SystemExit, GeneratorExit) as raised:  # noqa: BLE001 - the user's
            error = raised
            passes = False
        if error is None and time.monotonic() - began <= SLOW_FILTER:
            return passes
        self.filter_failures += 1
        if self.filter_failures == REPORT_AFTER:
            logger.error(
                "the filter of subscription %s has raised or taken longer than %s s %d times; an "
                "event over which it does so does not match",
                self.name,
                SLOW_FILTER,
                REPORT_AFTER,
                exc_info=error,
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
                self._comes_again(event) and self._attempts <= self.max_redeliveries
            )
            if event is not None and given_up:
                self._give_up(event, error)
            letters, self._letters = self._letters, []
            self._idle(rung=True)
        self._post(letters)
        if event is not None and given_up:
            announce_loss(self.name, "handler_failed", event.event)
        self._report_failure(error, report=report)

    def _report_failure(self, error: BaseException, *, report: bool) -> None:
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
        self._letters.append((event, error, self._attempts))

    def _post(self, letters: Iterable[tuple[Event, BaseException | None, int]]) -> None:
        for event, error, attempts in letters:
            log = logger.error if event.critical else logger.warning
            log(
                "dead letter: %s of connection %r could not be delivered to subscription %s "
                "and is given up after %d failure(s)",
                event.event,
                event.connection,
                self.name,
                attempts,
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
        return len(self._backlog) + (self._current is not None)

    @property
    def waits(self) -> bool:
        """Whether there is something to deliver."""
        return self._current is not None or bool(self._backlog)

    @property
    def lingers(self) -> float | None:
        """Seconds for which what waits may wait for more to come; None if it is to go out now."""
        return None

    def flush(self) -> None:
        """What waits is to go out, though more is waited for."""

    def _oldest(self) -> Event | None:
        return self._current or self._backlog.oldest()

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

    def quarantine(self) -> None:
        """Its handler failed too often: end it and say so."""
        lost = self.queued
        self._end("quarantined", 0.0)
        announce_quarantine(self.name)
        self._lost_all("quarantined", lost)
        logger.critical(
            "subscription %s is quarantined: its handler failed too often within a minute; "
            "%d events that waited are lost to it. Mend the handler and subscribe again",
            self.name,
            lost,
        )

    def after_fork(self) -> None:
        """In the child: whoever delivered stayed behind, and so did what was queued."""
        self._lock = threading.Lock()
        self._backlog.clear()
        self._current = self._runner = self._thread = self.deliverer = None
        self.occupied = self._rung = False
        self.held = self.timed = None

    def end(self, why: str) -> None:
        """Whoever it delivered to is gone."""
        lost = self.queued
        self._end("closed", 0.0)
        self._lost_all("ended", lost)
        if lost:
            logger.warning(
                "subscription %s has ended: %s; %d events are dead letters", self.name, why, lost
            )

    def _lost_all(self, reason: Loss, lost: int) -> None:
        if lost:
            announce_loss(self.name, reason, count=lost)

    def _end(self, state: str, timeout: float | None) -> bool:
        ended = threading.Event()
        with self._lock:
            first = self.state == "active"
            if first:
                self.state = state
                self._ready = self._plain = False
                self._backlog.clear()
            runner = self._runner
            # The handler itself, or its loop: waiting for itself would be for ever.
            here = threading.get_ident() in (runner, self._thread)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        wants = "all events" if self.events is None else ", ".join(self.events)
        state = f"{self.state}, {self.queued} queued"
        return f"<Subscription {self.id} of {self.name} to {wants}, {state}>"
