"""Who wants which event: a pure index, apart from the actor that uses it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Generic, Protocol, TypeVar

from brama.circuits import ALL, EVENTS, Event, mask_of

__all__ = ["Index", "Listener", "Wants"]


class Wants(Protocol):
    """What the index asks of a subscription."""

    born: int

    @property
    def events(self) -> tuple[str, ...] | None: ...

    @property
    def connection(self) -> str | None: ...

    @property
    def scope(self) -> str | None: ...


class Listener(Wants, Protocol):
    """What the registry asks of whoever wants events: a subscription, or the journal."""

    @property
    def name(self) -> str: ...

    def offer(self, event: Event) -> bool:
        """Take `event`; whether it was queued for a handler. It must not wait."""
        ...


S = TypeVar("S", bound=Wants)
Place = tuple[str | None, str | None, str | None]


class Index(Generic[S]):
    """Finds the subscriptions to an event in time that grows with the matches alone.

    A subscription stands in one bucket for each of its events: (event, connection, scope), where
    None stands for any. An event looks into the eight buckets it may match. A bucket is a tuple
    that is replaced as a whole, so a reader sees it before a change or after, never in between.

    Threads: `add` and `remove` from any, they take one lock; `match` and `mask` take none.

    Attributes:
        version: grows with every change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._lock = threading.Lock()
        # Invariant: written under the lock.
        self._buckets: dict[Place, tuple[S, ...]] = {}
        self._masks: dict[tuple[str | None, str | None], int] = {}
        self._counts: dict[tuple[str | None, str | None], Counter[int]] = {}
        self._everywhere: Counter[int] = Counter()

    def add(self, subscription: S) -> None:
        """From now on `subscription` matches what happens after this call has returned."""
        with self._lock:
            # Its birth is one ahead of what any event under way has seen.
            subscription.born = self.version + 1
            for place in _places(subscription):
                self._buckets[place] = (*self._buckets.get(place, ()), subscription)
            self._count(subscription, 1)
            self.version += 1

    def remove(self, subscription: S) -> None:
        """`subscription` matches nothing any more. Idempotent."""
        with self._lock:
            found = False
            for place in _places(subscription):
                bucket = self._buckets.get(place, ())
                kept = tuple(other for other in bucket if other is not subscription)
                found = found or len(kept) < len(bucket)
                if kept:
                    self._buckets[place] = kept
                else:
                    self._buckets.pop(place, None)
            if found:
                self._count(subscription, -1)
                self.version += 1

    def match(self, event: str, connection: str, scope: str | None, version: int) -> list[S]:
        """The subscriptions to this event that were there at `version`, each once."""
        buckets = self._buckets
        found: list[S] = []
        for one in (event, None):
            for two in (connection, None):
                bucket = buckets.get((one, two, None))
                if bucket:
                    found += bucket
                if scope is not None:
                    bucket = buckets.get((one, two, scope))
                    if bucket:
                        found += bucket
        return [subscription for subscription in found if subscription.born <= version]

    def mask(self, connection: str, scope: str | None) -> int:
        """The kinds of events that anybody wants of this connection, as bits."""
        masks = self._masks
        found = masks.get((None, None), 0) | masks.get((connection, None), 0)
        if scope is not None:
            found |= masks.get((None, scope), 0) | masks.get((connection, scope), 0)
        return found

    def wants_anywhere(self, event: str) -> bool:
        """Whether anybody wants this kind of event of any connection."""
        return self._everywhere[EVENTS[event].bit] > 0

    def after_fork(self) -> None:
        """In the child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()

    def _count(self, subscription: S, step: int) -> None:
        place = (subscription.connection, subscription.scope)
        wanted = mask_of(subscription.events)
        counts = self._counts.setdefault(place, Counter())
        mask = 0
        bit = 1
        while bit <= ALL:
            if wanted & bit:
                counts[bit] += step
                self._everywhere[bit] += step
            if counts[bit] > 0:
                mask |= bit
            bit <<= 1
        if mask:
            self._masks[place] = mask
        else:
            self._masks.pop(place, None)
            del self._counts[place]


def _places(subscription: Wants) -> list[Place]:
    names: tuple[str | None, ...] = subscription.events or (None,)
    return [(name, subscription.connection, subscription.scope) for name in names]
