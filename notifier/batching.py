"""A subscription whose handler gets many events at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from brama.circuits import Event, seconds

from .bell import BELL
from .inbox import End
from .journal.follower import WINDOW
from .losses import Letter, say_ended
from .subscription import Subscription

__all__ = ["Batch", "BatchingSubscription"]

DRAIN = 5.0
"""Seconds that `close` waits for what fills no batch to be handled."""


class Batch(list[Event]):
    """Events that are handled together, in order."""

    @property
    def trace(self) -> str | None:
        """The cause of the first that somebody traces."""
        return next((event.trace for event in self if event.trace is not None), None)


class BatchingSubscription(Subscription):
    """Delivers lists of events: full ones at once, others when their time has come.

    A list is handled as a whole: if the handler raises, its critical events come again together,
    and the others are given up. `close` has what waits delivered first.
    """

    __slots__ = ("_age", "_batch", "_closing", "_due", "_ended", "_ends", "_size")

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        batching = self.options.batching
        assert batching is not None
        self._size, self._age = batching
        self._size = min(self._size, self._backlog.room // 2 or 1)
        self._closing = False
        self._ended = threading.Event()
        # Invariant: written under the lock.
        self._batch = Batch()  # shown to the handler, and not finished
        # The ids of events that come to their end together with the batch; None stands for one that
        # the filter has refused.
        self._ends: list[str | None] = []
        self._due = False  # what waits is to go out, though it fills no batch

    # The registry's side

    def offer(self, event: Event) -> bool:
        """Queue `event`; whether it was queued. A full batch rings."""
        if self._closing:
            return False
        taken = super().offer(event)
        if taken and len(self._backlog) == self._full:
            self.tell(BELL)
        return taken

    # The deliverer's side

    @property
    def queued(self) -> int:
        """Events that wait for the handler, those that it is at work on included."""
        return super().queued + len(self._batch)

    @property
    def waits(self) -> bool:
        """Whether there is something to deliver."""
        return super().waits or bool(self._batch)

    @property
    def lingers(self) -> float | None:
        """Seconds for which what waits may wait for more to come; None if it is to go out now."""
        full = len(self._backlog) >= self._full
        return None if full or self._due or self._batch or self._current else self._age

    @property
    def _full(self) -> int:
        """Events that make a list. The journal gives out no more than its window at a time."""
        return self._size if self.on_finished is None else min(self._size, WINDOW // 2)

    def flush(self) -> None:
        """What waits is to go out, though it fills no batch."""
        self.timed = None
        with self._lock:
            self._due = True

    def take(self) -> Any:
        """The events to deliver together now: those that were not finished, else the next."""
        return self._gather(finished=False)

    def next(self) -> Any:
        """The present batch has been handled; the next one, None if that is not to go out yet."""
        return self._gather(finished=True)

    def finish(self) -> bool:
        """The present batch has been handled; whether there is another one to go out."""
        with self._lock:
            self._handled()
            more = self.state == "active" and self.waits and self.lingers is None
            self._idle(rung=True)
            return more

    def _gather(self, *, finished: bool) -> Batch | None:
        with self._lock:
            if finished:
                self._handled()
            if self._batch:
                self._repeat()
            repeated = bool(self._batch)
            letters, self._letters = self._letters, []
            over = self.state != "active" or self.lingers is not None
            if over:
                self._idle(rung=self.waits)
        self._post(letters)
        if over:
            return None
        while not repeated and len(self._batch) < self._size:
            event = self._filtered(self._take(finished=False))
            if event is None:
                break
            with self._lock:
                self._batch.append(event)
                if self._current is not self._gap:
                    self._ends.append(event.event_id)
                self._current = None
        with self._lock:
            if self._batch and self.state == "active":
                self._runner = self._thread = threading.get_ident()
                return Batch(self._batch)
            self._due = False
            self._come_to_end("filtered", 0)
            ended = self._closing and self.state == "active"
            self._idle(rung=self.waits)
        if ended:
            self._end("closed", 0.0)
        return None

    def _repeat(self) -> None:
        kept = [event for event in self._batch if self._comes_again(event)]
        self._give_up_all([event for event in self._batch if not self._comes_again(event)], None)
        self._batch = Batch(event.delivery(event.n, redelivered=True) for event in kept)

    def _give_up_all(self, events: Sequence[Event], error: BaseException | None) -> None:
        self.dropped += len(events)
        if events:
            self._letters.append(Letter(tuple(events), error, self._attempts))

    def _handled(self) -> None:
        if self._batch:
            self.delivered += len(self._batch)
            tries = self._attempts + 1
            self._failed_in_row = self._attempts = 0
            self._come_to_end("delivered", tries)

    def _come_to_end(self, end: End, tries: int) -> None:
        ends, self._ends = self._ends, []
        shown = {event.event_id for event in self._batch}
        self._batch = Batch()
        if self.on_finished is not None:
            for id in ends:
                if id is None:
                    self.on_finished(self._n, "filtered", 0)
                else:  # some may have been given up when the batch came again
                    self.on_finished(self._n, end if id in shown else "given_up", tries)

    def _finished(self, end: End, tries: int = 0) -> None:
        # What the filter has refused ends with those that stand before it in the batch.
        if self._current is not None and self._current is not self._gap:
            self._ends.append(None if end == "filtered" else self._current.event_id)
        self._current = None

    def failed(self, error: BaseException) -> None:
        """The handler raised over the present batch: it comes again, or it is given up."""
        with self._lock:
            report = self._count_failure()
            batch, tries = self._batch, self._attempts
            again = tries <= self.max_redeliveries
            if not again:
                self._give_up_all(batch, error)
                self._attempts = 0
                self._come_to_end("given_up", tries)
            letters, self._letters = self._letters, []
            self._idle(rung=True)
        if self.witness is not None:
            self.witness.failed(self, batch, tries, error, again=again)
        self._report_failure(error, letters, report=report)

    def _oldest(self) -> Event | None:
        return self._batch[0] if self._batch else super()._oldest()

    # The owner's side

    def close(self, wait: bool | float | timedelta = False) -> bool:
        """End it after what waits has been handled, for which it waits 5 s, or `wait`.

        The handler itself, and code on the loop that it runs on, cannot wait for it: closed from
        there, what waits is given up, and a log line says so. On a loop, await `aclose`.
        """
        limit = DRAIN if isinstance(wait, bool) else max(DRAIN, seconds("wait", wait, zero=True))
        with self._lock:
            drains = self.state == "active" and self.waits
            here = threading.get_ident() in (self._runner, self._thread)
            self._closing = True
            self._due = self._due or drains
        if drains and not (here or self.target.needs_caller() or self._around.on_own_loop()):
            self.tell(BELL)
            self._ended.wait(limit)
        lost = len(self._backlog) if self._runner is not None else self.queued
        ended = super().close(wait)
        say_ended(self.name, "it was closed before its last list was handled", lost)
        return ended

    def _end(self, state: str, timeout: float | None) -> bool:
        try:
            return super()._end(state, timeout)
        finally:
            self._ended.set()

    def after_fork(self) -> None:
        """In the child: what was gathered is the parent's to deliver."""
        super().after_fork()
        self._batch = Batch()
        self._ends = []
