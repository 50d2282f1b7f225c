"""What waits for the file: events that were published and are not yet appended.

It belongs to the system and outlives the store that empties it. Its size is bounded: a disk that is
full or hangs must cost neither the guarded calls their time nor the process its memory.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from brama.circuits import EVENTS, Event

from .entries import Entry

__all__ = ["JOURNALED", "NOW", "Batch", "Command", "Intake"]

JOURNALED: tuple[str, ...] = tuple(name for name, kind in EVENTS.items() if not kind.per_call)
"""What is kept when nobody asks for more. The events of single calls are not, so that a journal
costs a call nothing; a durable subscription to them has them kept, too."""


NOW = sys.maxsize
"""A version that no subscription is younger than."""


class Command:
    """Something for the store to do, in the order of the events.

    Not a bare callable: an event must never be mistaken for one.
    """

    __slots__ = ("do",)

    def __init__(self, do: Callable[[], None]) -> None:
        self.do = do


class Batch:
    """Events, and entries of the audit trail, that wait, from the front.

    Attributes:
        number: of the first: how many were appended before it.
        items: in order.
        versions: of the subscriptions when each of the events happened.
    """

    __slots__ = ("items", "number", "versions")

    def __init__(self, number: int) -> None:
        self.number = number
        self.items: list[Event | Entry] = []
        self.versions: list[int] = []

    @property
    def events(self) -> list[Event]:
        """The events among them."""
        return [item for item in self.items if isinstance(item, Event)]

    @property
    def end(self) -> int:
        """Number of the first behind it."""
        return self.number + len(self.items)


class Intake:
    """A bounded queue of events, of entries of the trail, and of what the store is to do between.

    Beyond `limit` waiting events those that are not critical are dropped; of the critical ones the
    latest state of each connection is kept, and behind what waits a gap tells how many are missing.
    Beyond as many waiting entries further ones are dropped, and an entry tells how many.

    Threads: any.

    Args:
        limit: how many events may wait, and how many entries.
        make_gap: the event that says how many were lost.
        make_trail_gap: the entry that says the same of entries.

    Attributes:
        ring: called, without the lock, when there is something to do; must not wait.
    """

    def __init__(
        self,
        limit: int,
        make_gap: Callable[[int], Event],
        make_trail_gap: Callable[[int], Entry] | None = None,
    ) -> None:
        self.limit = limit
        self.ring: Callable[[], None] = _silent
        self._make_gap = make_gap
        self._make_trail_gap = make_trail_gap or _trail_gap
        self._lock = threading.Lock()
        # Invariant: all below is written under the lock. `_done` counts the events and entries that
        # were appended; the first that waits is number `_done` (from 0).
        self._waiting: deque[tuple[Event, int] | Entry | Command] = deque()
        self._events = 0  # among the waiting
        self._entries = 0
        self._entries_lost = 0
        self._done = 0
        self._rung = False
        self._latest: dict[tuple[str | None, str], list[Event]] = {}
        self._lost = 0
        self._lost_ever = 0
        self._appended = threading.Condition(self._lock)
        self._wanted: Event | None = None

    # The registry's side

    def want(self, event: Event) -> None:
        """Somebody who follows the journal wants `event`. On the loop thread, like `take_in`."""
        self._wanted = event

    def take_in(self, version: int) -> None:
        """Everybody was asked about the present event: queue it if it is wanted."""
        event, self._wanted = self._wanted, None
        if event is not None:
            self.put(event, version)

    def put(self, event: Event, version: int = NOW) -> None:
        """Queue `event`. Never waits and never raises.

        Args:
            event: what happened.
            version: of the subscriptions when it did.
        """
        with self._lock:
            if self._events < self.limit and not self._lost and not self._latest:
                self._waiting.append((event, version))
                self._events += 1
            else:
                self._overflow(event)
            ring, self._rung = not self._rung, True
        if ring:
            self.ring()

    def note(self, entry: Entry) -> None:
        """Queue an entry of the trail. Never waits and never raises."""
        with self._lock:
            if self._entries >= self.limit:
                self._entries_lost += 1
                return
            self._waiting.append(entry)
            self._entries += 1
            ring, self._rung = not self._rung, True
        if ring:
            self.ring()

    def _overflow(self, event: Event) -> None:
        if not event.critical:
            self._lose(1)
            return
        # A transition is two events, the change of state and the one that names the new state.
        kept = self._latest.setdefault((event.scope, event.connection), [])
        if event.event == "state_change" or len(kept) > 1:
            self._lose(len(kept))
            kept.clear()
        kept.append(event)

    def _lose(self, count: int) -> None:
        self._lost += count
        self._lost_ever += count

    def order(self, do: Callable[[], None]) -> None:
        """Have the store do something, after all events that were queued before."""
        with self._lock:
            self._waiting.append(Command(do))
            self._rung = True
        self.ring()

    # The store's side

    def peek(self, limit: int) -> Batch | Command | None:
        """What is to be done next: events, a command, or nothing.

        It stays in the queue until `advance` or `obeyed`. Once nothing is left, the next `put`
        rings.
        """
        with self._lock:
            if not self._waiting:
                self._rung = False
                return None
            first = self._waiting[0]
            if isinstance(first, Command):
                return first
            batch = Batch(self._done)
            for item in islice(self._waiting, limit):
                if isinstance(item, Command):
                    break
                if isinstance(item, tuple):
                    batch.items.append(item[0])
                    batch.versions.append(item[1])
                else:
                    batch.items.append(item)
            return batch

    def advance(self, number: int) -> None:
        """All before `number` are in the file. What is said twice changes nothing."""
        with self._lock:
            while self._done < number and self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, Command):
                    continue
                self._done += 1
                if isinstance(item, tuple):
                    self._events -= 1
                else:
                    self._entries -= 1
            if self._entries_lost and self._entries < self.limit:
                self._waiting.append(self._make_trail_gap(self._entries_lost))
                self._entries += 1
                self._entries_lost = 0
            if (self._latest or self._lost) and self._events < self.limit:
                self._let_in_latest()
            self._appended.notify_all()

    def _let_in_latest(self) -> None:
        gap = [self._make_gap(self._lost)] if self._lost else []
        latest = [event for events in self._latest.values() for event in events]
        self._waiting.extend((event, NOW) for event in (*gap, *latest))
        self._events += len(gap) + len(latest)
        self._latest.clear()
        self._lost = 0

    def obeyed(self, command: Command) -> None:
        """`command`, which stands in front, has been carried out."""
        with self._lock:
            if self._waiting and self._waiting[0] is command:
                self._waiting.popleft()

    # For anybody

    @property
    def waiting(self) -> int:
        """Events that are not in the file yet."""
        with self._lock:
            return self._events + sum(map(len, self._latest.values()))

    @property
    def idle(self) -> bool:
        """Whether nothing waits: no event and no entry of the trail."""
        with self._lock:
            return not (self._events or self._entries or self._latest)

    @property
    def lost(self) -> int:
        """Events that were dropped because too many waited."""
        return self._lost_ever

    def wait(self, timeout: float) -> bool:
        """Wait until all that is queued now is in the file; False if that takes longer."""
        deadline = time.monotonic() + timeout
        with self._lock:
            target = self._done + self._events + self._entries
            # What has overflown comes in behind, under numbers that nobody knows yet.
            overflown = bool(self._latest or self._lost)

            def done() -> bool:
                if overflown:
                    return not (self._events or self._entries or self._latest or self._lost)
                return self._done >= target

            return self._appended.wait_for(done, max(0.0, deadline - time.monotonic()))

    def clear(self) -> None:
        """Forget what waits; in the child of a fork it is the parent's to append."""
        self._lock = threading.Lock()
        self._appended = threading.Condition(self._lock)
        self._waiting = deque(item for item in self._waiting if isinstance(item, Command))
        self._events = self._entries = self._entries_lost = self._done = 0
        self._latest = {}
        self._lost = 0
        self._rung = False


def _trail_gap(lost: int) -> Entry:
    return Entry(entry="trail_gap", at=time.time_ns() // 1000, data={"lost": lost})


def _silent(*_: Any) -> None:
    """No store is there to be told."""
