"""A durable subscription: fed from the journal, wherever it stopped.

It never gets an event any other way. So there is no switch from what it missed to what happens now,
and nothing can be lost or doubled at one.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from brama.circuits import ConnectionKind, Event, covers

from ..inbox import End
from .intake import JOURNALED, Intake
from .positions import Position, Told
from .rows import Stored

__all__ = ["WINDOW", "Follower", "Target"]

WINDOW = 256
"""Events that are given out and not yet handled, at most."""

LOW = WINDOW // 4


class Target(Protocol):
    """What a follower asks of the subscription that it feeds."""

    @property
    def events(self) -> tuple[str, ...] | None: ...

    @property
    def connection(self) -> str | None: ...

    @property
    def scope(self) -> str | None: ...

    @property
    def kind(self) -> ConnectionKind | None: ...

    @property
    def closed(self) -> bool: ...

    @property
    def running(self) -> bool: ...

    on_finished: Callable[[int, End, int], None] | None

    def offer(self, event: Event) -> bool: ...

    def resume(self, n: int) -> None: ...


class Follower:
    """Feeds one subscription, and knows how far it has come.

    Most are durable. The others have had more critical events to handle than their queue takes, and
    get what follows from the file: `lasting` is false, the file knows nothing of them, and events
    of single calls are not for them any more.

    In the index of subscriptions it stands in the subscription's place: what that wants is built
    and journaled.

    Threads: `offer` on the loop thread, `finished` from whoever delivers, the rest in the store.

    Attributes:
        name: under which the journal keeps the position.
        lasting: the subscription is durable.
        ordered: the store has come to its order, and knows whether the name is to be had.
        claimed: this process delivers; else another one does, or it is not known yet.
        changed: the position differs from that in the file.
        ended: its subscription has ended.
    """

    def __init__(
        self,
        name: str,
        target: Target,
        intake: Intake,
        *,
        lasting: bool = True,
        waiting: int = 0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.target = target
        self.lasting = lasting
        self.born = 0
        self.ordered = False
        self.claimed = False
        self.changed = False
        self.ended = False
        self._intake = intake
        self._wall = wall
        self._fresh = False
        self._excluded: set[int] = set()
        self._read_to = 0
        self._repeat_to = 0
        self._lock = threading.Lock()
        # Invariant: under the lock. The ids that were given out and not yet handled, in order; the
        # subscription handles them in the same order, one at a time.
        self._out: deque[int] = deque()
        # How the last of them have come to their ends; not more than `WINDOW`, because no more is
        # given out before this is on the trail.
        self._told: deque[Told] = deque()
        self._gaps: set[int] = set()  # among those that were given out
        self._position = self._handed = self._n = 0
        # Those that the subscription has to handle first: queued before it was fed from here, or
        # given out before the file was begun anew.
        self._stale = waiting
        target.on_finished = self.finished

    # In the index

    @property
    def events(self) -> tuple[str, ...] | None:
        wanted = self.target.events
        if self.lasting:
            return wanted
        return tuple(name for name in JOURNALED if wanted is None or name in wanted)

    @property
    def connection(self) -> str | None:
        return self.target.connection

    @property
    def scope(self) -> str | None:
        return self.target.scope

    @property
    def kind(self) -> ConnectionKind | None:
        return self.target.kind

    def offer(self, event: Event) -> bool:
        """The registry has an event for it: have it journaled."""
        self._intake.want(event)
        return False

    # In the store

    def start(self, at: Position, *, fresh: bool) -> None:
        """Deliver from `at` on.

        Args:
            at: how far it had come.
            fresh: the name is new, so it begins with what happens after it was subscribed.
        """
        with self._lock:
            self._position, self._handed, self._n = at.position, at.handed, at.n
            self._stale += len(self._out)
            self._out.clear()
            self._told.clear()
            self._gaps.clear()
        self._fresh = fresh
        self._excluded.clear()
        self._read_to = at.position
        self._repeat_to = at.handed
        if at.n:
            self.target.resume(at.n)
        self.claimed = True

    @property
    def read_to(self) -> int:
        """Id of the last event that was looked at."""
        return self._read_to

    def room(self) -> int:
        """How many further events may be given out; 0 until a good part has been handled."""
        out = len(self._out) + self._stale
        return 0 if out > LOW else WINDOW - out

    def choose(self, rows: Iterable[Stored], room: int) -> list[tuple[int, Event]]:
        """From rows that come next, up to `room` events to give out."""
        chosen: list[tuple[int, Event]] = []
        for row in rows:
            if len(chosen) == room:
                break
            self._read_to = row.id
            if self._wants(row):
                event = row.read(redelivered=row.id <= self._repeat_to)
                if self.kind in (None, event.kind) or not event.connection:
                    chosen.append((row.id, event))
        with self._lock:
            if not chosen and not self._out and self._read_to > self._position:
                self._position = self._read_to  # all that it has seen it does not want
                self.changed = True
            if chosen:
                self._handed = max(self._handed, chosen[-1][0])
        return chosen

    def _wants(self, row: Stored) -> bool:
        target, events = self.target, self.events
        if row.id in self._excluded:
            self._excluded.discard(row.id)
            return False
        if row.event == "gap":
            # Nobody knows what is missing: it is for whoever may miss something. One without a
            # connection is of the journal itself.
            return row.connection == "" or (
                covers(target.connection, row.connection) and target.scope in (None, row.scope)
            )
        return (
            (events is None or row.event in events)
            and covers(target.connection, row.connection)
            and target.scope in (None, row.scope)
        )

    def appended(self, id: int, version: int) -> None:
        """An event of this process is in the file.

        Args:
            id: of its row.
            version: of the subscriptions when it happened. A new name does not hear of what began
                before it was subscribed and was under way then.
        """
        if self._fresh and version < self.born:
            self._excluded.add(id)

    def give(self, chosen: Iterable[tuple[int, Event]]) -> None:
        """Queue `chosen` to the subscription; their position has been kept."""
        for id, event in chosen:
            with self._lock:
                self._out.append(id)
            if not self.target.offer(event):
                return  # it has ended; the next to take the name gets it

    def gap(self, event: Event) -> None:
        """Tell the subscription of events that retention has removed before it came to them."""
        with self._lock:
            self._out.append(self._read_to)  # as what is missing: nothing else has that number
            self._gaps.add(self._read_to)
        self.target.offer(event)

    def skip_to(self, id: int) -> int:
        """All up to `id` is gone; how many of them, before it, it had not seen."""
        lost = id - self._read_to
        self._read_to = max(self._read_to, id)
        return max(0, lost)

    def position(self) -> Position:
        """How far it has come; what is kept in the file. When it is, say so by `kept`."""
        with self._lock:
            self.changed = False
            return Position(self._position, self._handed, self._n, tuple(self._told))

    def kept(self, position: Position) -> None:
        """`position` is in the file, and what it tells is on the trail."""
        with self._lock:
            for _ in position.told:
                self._told.popleft()

    def farewell(self) -> Position:
        """The last position: nothing was given out beyond what is being handled now."""
        with self._lock:
            handed = self._out[0] if self._out and self.target.running else self._position
            return Position(self._position, handed, self._n, tuple(self._told))

    # The deliverer's side

    def finished(self, n: int, end: End, tries: int) -> None:
        """The first event that was given out has come to its end.

        Args:
            n: deliveries of the subscription so far.
            end: handled, given up, or filtered out.
            tries: how often it was shown to the handler.
        """
        with self._lock:
            if self._stale:
                self._stale -= 1
            elif self._out:
                id = self._out.popleft()
                if id in self._gaps:
                    self._gaps.discard(id)
                elif self.lasting:
                    again = id <= self._repeat_to
                    self._told.append(Told(id, end, tries, again, self._wall()))
                self._position = max(self._position, id)
                self.changed = True
            else:
                return
            self._n = n
            ring = len(self._out) + self._stale in (0, LOW)
        if ring:
            self._intake.ring()

    def after_fork(self) -> None:
        """In the child: the parent delivers, until it is gone."""
        self._lock = threading.Lock()
        self._out.clear()
        self._told.clear()
        self._gaps.clear()
        self._stale = 0
        self.claimed = False
