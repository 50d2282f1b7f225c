"""What becomes of subscriptions and their deliveries, put on the audit trail of the journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import attrs

from brama.circuits import Event, acting_person

from .losses import Letter
from .options import Options

__all__ = ["Witness"]

EVERY = 1.0
"""Seconds between two entries of what one overflowing subscription loses."""


class Named(Protocol):
    """What is asked of a subscription to put it on the trail."""

    @property
    def id(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def durable(self) -> str | None: ...


class Seen(Named, Protocol):
    """And what of its beginning and its end."""

    options: Options
    state: str
    why: str | None
    left: int
    delivered: int
    failures: int
    dropped: int


class Witness:
    """Sees subscriptions begin, fail, lose and end.

    Args:
        note: puts an entry on the trail; it never waits and never raises.
        clock: monotonic seconds.
        rouse: has somebody call `settle`; it never waits and never raises.

    Threads: from any, also under the lock of a subscription.
    """

    def __init__(
        self,
        note: Callable[..., None],
        clock: Callable[[], float] = time.monotonic,
        rouse: Callable[[], None] = lambda: None,
    ) -> None:
        self._note = note
        self._clock = clock
        self._rouse = rouse
        # Reentrant, for a finalizer may end one subscription while another loses: each touches its
        # own.
        self._lock = threading.RLock()
        # Invariant: under the lock. What was lost since the last entry, when that was, and by whom.
        self._lost: dict[int, tuple[int, float, Named]] = {}

    def subscribed(self, one: Seen) -> None:
        """It begins, with these options."""
        options = attrs.asdict(
            one.options,
            recurse=False,
            filter=lambda field, value: value != field.default and field.name != "durable",
        )
        self._say("subscribed", one, by=acting_person(), options=options or None)

    def ended(self, one: Seen) -> None:
        """It has ended."""
        with self._lock:
            count = self._lost.pop(one.id, (0, 0.0, one))[0]
        self._say_lost(one, count)
        self._say(
            "unsubscribed",
            one,
            by=acting_person(),
            state=one.state,
            why=one.why,
            left=one.left or None,
            delivered=one.delivered,
            failures=one.failures,
            dropped=one.dropped,
        )

    def failed(
        self, one: Named, events: Iterable[Event], tries: int, error: BaseException, *, again: bool
    ) -> None:
        """Its handler has raised over `events`."""
        for event in events:
            self._about("delivery_failed", one, event, tries=tries, error=error, again=again)

    def dead(self, one: Named, letters: Iterable[Letter]) -> None:
        """These are given up."""
        for letter in letters:
            for event in letter.events:
                self._about("dead_letter", one, event, tries=letter.failures, error=letter.error)

    def lost(self, one: Named, count: int) -> None:
        """So many had no room. One that loses all the time is told of once a second."""
        now = self._clock()
        with self._lock:
            before, told, _ = self._lost.get(one.id, (0, -EVERY, one))
            count += before
            due = now - told >= EVERY
            self._lost[one.id] = (0, now, one) if due else (count, told, one)
        if due:
            self._say_lost(one, count)
        elif not before:
            self._rouse()

    def settle(self) -> float | None:
        """Tell of what was lost a second ago and is not on the trail, though nothing more is lost.

        Returns:
            Seconds until there is something to tell; None if nothing is kept back.
        """
        now = self._clock()
        with self._lock:
            kept = {id: lost for id, lost in self._lost.items() if lost[0]}
            due = {id: lost for id, lost in kept.items() if now - lost[1] >= EVERY}
            self._lost.update((id, (0, now, one)) for id, (_, _, one) in due.items())
        for count, _, one in due.values():
            self._say_lost(one, count)
        waits = [told + EVERY - now for id, (_, told, _) in kept.items() if id not in due]
        return min(waits, default=None)

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()
        self._lost.clear()

    def _say_lost(self, one: Named, count: int) -> None:
        if count:
            self._say("events_lost", one, count=count, why="overflow")

    def _about(self, entry: str, one: Named, event: Event, **fields: Any) -> None:
        self._say(
            entry,
            one,
            connection=event.connection or None,
            scope=event.scope,
            event_id=event.event_id,
            event=event.event,
            **fields,
        )

    def _say(self, entry: str, one: Named, **fields: Any) -> None:
        subject = one.durable or f"subscription {one.id}"
        self._note(entry, subject=subject, handler=one.name, durable=one.durable, **fields)
