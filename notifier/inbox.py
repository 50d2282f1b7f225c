"""What waits for one handler, and what that is at work on: here the promise is kept.

It outlives whoever delivers from it, an actor or a thread, which may die at any moment: the event
that was being delivered is delivered again, before any later one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from pykka import ActorDeadError

from brama.circuits import Event

from .backlog import Backlog, Gap
from .bell import BELL, Deliverer
from .filtering import Filter
from .inline import Inline
from .losses import Letter, say_dead, say_failing, say_overflow, say_spilled
from .options import Options
from .snapshots import Snapshots
from .target import Target
from .witness import Witness

__all__ = ["End", "Inbox"]

End = Literal["delivered", "filtered", "given_up"]
"""How an event has come to its end: handled, not wanted by the filter, or a dead letter."""

CRITICAL_BACKLOG = 10_000


class Inbox:
    """The events of one subscription: offered by the registry, taken by its deliverer.

    Critical events are delivered at least once: one whose handler raised, or was killed, comes
    again, marked `Event.redelivered`, until it has failed ``max_redeliveries + 1`` times. The
    others are delivered at most once. Deliveries are numbered without a gap (`Event.n`). What the
    backlog could not keep is one event `gap` in its place.

    Threads: `offer` from any, but one at a time for each connection; the deliverer's side from one
    at a time.

    Attributes:
        id: unique in its system.
        name: of the handler, for people.
        options: what was asked for.
        events, connection, scope, durable: what the options say of these.
        born: version of the index at which it began.
        deliverer: told when the queue is no longer empty; None while it is not up.
        held: a task on the loop that it names delivers from it now.
        timed: the deliverer that has set itself an alarm clock for what waits.
        occupied: a thread or a task outside of Brama's loop delivers from it now.
        delivered, failures, dropped: counts of events.
        on_finished: called, under the lock, when an event that was offered has come to its end:
            with the deliveries so far, the `End`, and how often it was tried.
        witness: told of failures and losses; None where there is no trail.
        left: events that waited when it ended.
        why: what ended it, if its owner did not.
        told: the id of the error of its handler that was logged last, where it was worth a line.
        state: ``"active"``, ``"closed"``, ``"quarantined"`` (its handler failed too often) or
            ``"disconnected"`` (its backlog was full).
    """

    # Slots, because these are read and written for every event.
    __slots__ = (
        "__weakref__", "_alone", "_attempts", "_backlog", "_current", "_failed_in_row", "_gap",
        "_gaps", "_letters", "_lock", "_n", "_overwhelmed", "_plain", "_ready", "_rung",
        "_runner", "_shown", "_snapshots", "_thread", "_waiting", "born", "connection",
        "delivered", "deliverer", "dropped", "durable", "events", "failures", "filter", "handler",
        "held", "id", "kind", "left", "max_redeliveries", "name", "occupied", "on_finished",
        "options", "scope", "state", "target", "timed", "told", "why", "witness",
    )  # fmt: skip

    def __init__(self, id: int, target: Target, options: Options) -> None:
        self.id = id
        self.target = target
        self.options = options
        self.events = options.events
        self.connection = options.connection
        self.scope = options.scope
        self.kind = options.kind
        self.durable = options.durable
        self.born = 0
        self.deliverer: Deliverer | None = None
        self.occupied = False
        self.held: tuple[object, Deliverer | None] | None = None
        self.timed: object = None
        self.delivered = 0
        self.failures = 0
        self.dropped = 0
        self.state = "active"
        self.on_finished: Callable[[int, End, int], None] | None = None
        self.witness: Witness | None = None
        self.left = 0
        self.why: str | None = None
        self.told: int | None = None
        # Read for every event, so without a way through `options` and `target`.
        self.handler = target.handler
        self.name = target.name
        self.filter = None if options.filter is None else Filter(options.filter, target.name)
        self.max_redeliveries = options.max_redeliveries
        self._lock = threading.Lock()
        # Invariant: the fields below are written under the lock, but `_n`, `_shown` and `_gap`,
        # which only the one that delivers writes.
        # What the journal feeds is bounded by its window, and must come to the last event.
        backlog = options.backlog if options.durable is None else CRITICAL_BACKLOG
        if options.batching is not None:  # a list that fills must cost nothing of what follows
            backlog = max(backlog, 2 * options.batching[0])
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
        self._letters: list[Letter] = []  # to be told of once the lock is free
        self._failed_in_row = 0

    # What its owner does about it

    def _disconnect(self) -> None:
        """The backlog is full, and it is to end by that."""
        raise NotImplementedError

    def _spill(self) -> bool:
        """The queue of critical events is full; whether the journal feeds it from now on.

        Called under the lock.
        """
        raise NotImplementedError

    def _report_overwhelmed(self, overwhelmed: bool) -> None:
        """States of connections were lost to it (True), or it has caught up (False)."""
        raise NotImplementedError

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
                spilled = backlog.critical_full and self._spill()
            ring = not (self._rung or disconnected or spilled)
            if not disconnected and not spilled:
                self._rung = True
                first = self.dropped == 0
                lost = self._put(event)
                overwhelmed = backlog.missing_states and not self._overwhelmed
                self._overwhelmed = self._overwhelmed or overwhelmed
        # Who listens to the log or to the losses is the user's code: not under the lock.
        if disconnected:
            self._disconnect()
            return False
        if spilled:
            say_spilled(self.name, len(backlog))
            return False
        if ring:
            self.tell(BELL)
        if lost:
            overflow = self.options.overflow
            say_overflow(self.name, event.event, lost, len(backlog), overflow, first=first)
        if overwhelmed:
            self._report_overwhelmed(True)
        return not (lost and event.seq is None and self.options.overflow == "drop_newest")

    def _put(self, event: Event) -> int:
        """Queue `event`; how many were lost over it. Under the lock."""
        lost = self._backlog.put(event)
        if lost:
            self.dropped += lost
            # Here and not where the gap is delivered, for which a handler that hangs never asks;
            # and under the lock, so that it is not told of after its end.
            if self.witness is not None:
                self.witness.lost(self, lost)
        return lost

    def _left_out(self, event: Event) -> bool:
        assert self._snapshots is not None
        left_out = self._snapshots.leaves_out(event)
        self._no_more_snapshots()
        return left_out

    def _no_more_snapshots(self) -> None:
        if self._snapshots is not None and self._snapshots.done:
            self._snapshots = None
            self._ready = self.state == "active"

    def begin_with(self, snapshots: Iterable[Event]) -> None:
        """It begins with these, and goes on with what happens after they were taken."""
        with self._lock:
            assert self._snapshots is not None
            begun = self._snapshots.begin(snapshots)
            for event in begun:
                # The beginning is whole, however much there is.
                self._put(event)
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
            self._report_overwhelmed(False)
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
        self._gap = found.event(self.connection, self.scope, self.kind, f"{self.id}-{self._gaps}")
        return self._gap

    def _done(self) -> None:
        if self._current is not None:
            self.delivered += 1
            self._failed_in_row = 0
            self._finished("delivered", self._attempts + 1)

    def _finished(self, end: End, tries: int = 0) -> None:
        offered = self._current is not self._gap
        self._current = None
        if self.on_finished is not None and offered:
            self.on_finished(self._n, end, tries)

    def _filtered(self, event: Event | None) -> Event | None:
        """The first from `event` on that the filter lets through, as a delivery."""
        while event is not None:
            if event is self._shown:  # it was let through before its delivery failed
                return event.delivery(self._n, redelivered=True)
            if self._passes(event) and (self._plain or self.begin()):
                self._n += 1
                self._shown = event
                return event.delivery(self._n)
            with self._lock:
                self._finished("filtered")
            event = self._take(finished=False)
        return None

    def _passes(self, event: Event) -> bool:
        """Whether the filter lets it through; it is asked about no loss."""
        return self.filter is None or event.event == "gap" or self.filter.passes(event)

    def begin(self, deliverer: Deliverer | None = None) -> bool:
        """The handler is about to be called on this thread; False if it was closed meanwhile.

        Needed where something may take its time between `take` and the handler: a filter, or the
        way to another thread. `close` may be called from this thread, too.

        Args:
            deliverer: who has sent the thread; False if it has a successor by now.
        """
        with self._lock:
            if deliverer is not None and self.deliverer is not deliverer:
                return False
            self._thread = threading.get_ident()
            return self.state == "active"

    def failed(self, error: BaseException) -> None:
        """The handler raised over the current event: it comes again, or it is given up."""
        with self._lock:
            report = self._count_failure()
            event, tries = self._current, self._attempts
            again = False
            if event is not None:
                again = self._comes_again(event) and tries <= self.max_redeliveries
                if not again:
                    self._give_up(event, error)
            letters, self._letters = self._letters, []
            self._idle(rung=True)
        if self.witness is not None and event is not None:
            self.witness.failed(self, [event], tries, error, again=again)
        self._report_failure(error, letters, report=report)

    def _count_failure(self) -> bool:
        """Whether it is the first in a row, which is reported."""
        self.failures += 1
        self._failed_in_row += 1
        # Failures count and not attempts: a deliverer that was killed is no fault of the event.
        self._attempts += 1
        return self._failed_in_row == 1

    def _report_failure(
        self, error: BaseException, letters: Sequence[Letter], *, report: bool
    ) -> None:
        self._post(letters)
        if report and not letters:  # a dead letter says it, too
            say_failing(self.name, error)
        self.told = id(error)

    def _post(self, letters: Sequence[Letter]) -> None:
        if letters:
            say_dead(self.name, letters)
            if self.witness is not None:
                self.witness.dead(self, letters)

    def _give_up(self, event: Event, error: BaseException | None) -> None:
        self._finished("given_up", self._attempts)
        self.dropped += 1
        self._letters.append(Letter((event,), error, self._attempts))

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

    # What there is

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
