"""What waits for one handler, and what is done when that is too much: pure, without a lock."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Literal, cast, get_args

from brama.circuits import EVENTS, ConnectionKind, Event, Fields

__all__ = ["OVERFLOWS", "Backlog", "Gap", "Overflow"]

Overflow = Literal["drop_oldest", "drop_newest", "coalesce", "disconnect"]
"""What happens to events that are not critical when the backlog is full."""

OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)


class Gap:
    """In the place of events that were lost.

    Attributes:
        lost: how many they were.
        last: the newest of them.
    """

    __slots__ = ("at", "last", "lost")

    def __init__(self, at: int, last: Event) -> None:
        self.at = at
        self.lost = 1
        self.last = last

    def event(
        self, connection: str | None, scope: str | None, kind: ConnectionKind | None, number: str
    ) -> Event:
        """What tells of it to a handler that asked for this connection, scope and kind.

        Args:
            connection: None is any.
            scope: None is any.
            kind: None is any.
            number: tells it from all others that the newest of the lost is the last of.
        """
        last = self.last
        return Event(
            event="gap",
            connection=(connection or "") if last.connection == connection else "",
            scope=scope,
            timestamp=last.timestamp,
            monotonic=last.monotonic,
            epoch=0,
            seq=None,
            event_id=f"{last.event_id}-gap-{number}",
            severity=EVENTS["gap"].severity,
            data=Fields({"lost": self.lost}),
            source=last.source,
            kind=kind or ConnectionKind.OTHER,
        )


class Backlog:
    """The events that wait, in order.

    Up to `limit` events that are not critical wait, and up to `critical_limit` that are. Beyond the
    first, `overflow` says what is lost. Beyond the second, nothing but the latest state of each
    connection is kept until all that waits has been handled. What was lost is one `Gap`, in the
    place of the first that is missing.

    Args:
        limit: for events that are not critical.
        critical_limit: for those that are.
        overflow: which are lost beyond `limit`. ``"coalesce"`` keeps the newest of each kind and
            connection, and so may go beyond it by as many as there are of these.

    Attributes:
        queue: all that waits, while it is fewer than `room`; empty otherwise. Whoever delivers may
            take from it, whoever queues may add to it up to `room`, without a way through here.
        room: so many always fit, whatever they are.
        over: keeps the rest; there from the moment when the queue was full until nothing waits.
    """

    __slots__ = ("_critical_limit", "_limit", "_overflow", "over", "queue", "room")

    def __init__(self, limit: int, critical_limit: int, overflow: Overflow) -> None:
        self._limit = limit
        self._critical_limit = critical_limit
        self._overflow: Overflow = overflow
        self.room = min(limit, critical_limit)
        self.queue: deque[Event] = deque()
        self.over: Overflowing | None = None

    def put(self, event: Event) -> int:
        """Queue `event`; how many were lost over it."""
        over = self._counted()
        if over is not None:
            return over.put(event)
        self.queue.append(event)
        return 0

    def _counted(self) -> Overflowing | None:
        """What waits, told apart by kinds, once it is so much that this matters."""
        if self.over is None and len(self.queue) >= self.room:
            self.over = Overflowing(self._limit, self._critical_limit, self._overflow, self.queue)
            self.queue.clear()
        return self.over

    def pop(self) -> Event | Gap | None:
        """What is next; None if nothing waits."""
        if self.over is None:
            return self.queue.popleft() if self.queue else None
        found = self.over.pop()
        if not self.over:
            self.over = None
        return found

    def oldest(self) -> Event | None:
        """The event that has waited longest."""
        if self.over is not None:
            return self.over.oldest()
        try:
            return self.queue[0]
        except IndexError:  # also when it is taken just now
            return None

    @property
    def critical_full(self) -> bool:
        """Whether a further critical event would cost an earlier one."""
        over = self._counted()
        if over is None:
            return False
        return bool(over.latest) or len(over.critical) >= self._critical_limit

    @property
    def disconnects(self) -> bool:
        """Whether a further event that is not critical ends the subscription."""
        if self._overflow != "disconnect":
            return False
        over = self._counted()
        return over is not None and over.minors >= self._limit

    @property
    def missing_states(self) -> bool:
        """Whether states of connections were lost, and those that are kept still wait."""
        return self.over is not None and bool(self.over.latest)

    def clear(self) -> None:
        """Forget all."""
        self.queue.clear()
        self.over = None

    def __len__(self) -> int:
        """Events that wait; a gap is none."""
        return len(self.queue) if self.over is None else len(self.over)

    def __bool__(self) -> bool:
        """Whether there is something to take, be it a gap alone."""
        return bool(self.queue) or self.over is not None


Entry = list[object]
"""An event that waits: its number in the backlog, and the event, or None once it was coalesced."""


class Overflowing:
    """A backlog that has lost something: critical events and others stand apart.

    All are numbered in the order in which they came, and what has the lowest number is next.
    """

    __slots__ = (
        "_limit",
        "_critical_limit",
        "_overflow",
        "_numbers",
        "_tail",
        "_gaps",
        "_late",
        "_newest",
        "critical",
        "latest",
        "minor",
        "minors",
    )  # fmt: skip

    def __init__(
        self, limit: int, critical_limit: int, overflow: Overflow, queued: deque[Event]
    ) -> None:
        self._limit = limit
        self._critical_limit = critical_limit
        self._overflow: Overflow = overflow
        self._numbers = count()
        self._tail = -1  # number of what was queued last
        self._gaps: deque[Gap] = deque()
        self._late: Gap | None = None  # before the latest states
        self._newest: dict[tuple[str | None, str, str], Entry] = {}
        self.critical: deque[tuple[int, Event]] = deque()
        self.minor: deque[Entry] = deque()
        self.minors = 0  # without those that were coalesced
        self.latest: dict[tuple[str | None, str], list[Event]] = {}
        for event in queued:
            self._append(event)

    def _append(self, event: Event) -> None:
        self._tail = number = next(self._numbers)
        if event.seq is not None:
            self.critical.append((number, event))
            return
        entry: Entry = [number, event]
        self.minor.append(entry)
        self.minors += 1
        if self._overflow == "coalesce":
            self._newest[_key(event)] = entry

    def put(self, event: Event) -> int:
        if event.seq is not None:
            if self.latest or len(self.critical) >= self._critical_limit:
                return self._keep_latest(event)
            self._append(event)
            return 0
        if self.latest:  # it must not come before the states that happened before it
            return self._lose_late(1, event)
        if self.minors < self._limit:
            self._append(event)
            return 0
        if self._overflow == "coalesce":
            return self._coalesce(event)
        if self._overflow == "drop_oldest":
            number, oldest = self.minor.popleft()
            self.minors -= 1
            self._lose(cast("int", number), cast("Event", oldest))
            self._append(event)
        else:
            self._lose(next(self._numbers), event)
        return 1

    def _coalesce(self, event: Event) -> int:
        former = self._newest.get(_key(event))
        if former is None or former[1] is None:
            self._append(event)
            return 0
        self._lose(cast("int", former[0]), cast("Event", former[1]))
        former[1] = None
        self.minors -= 1
        self._append(event)
        if len(self.minor) > 2 * self.minors + self._limit:
            self.minor = deque(entry for entry in self.minor if entry[1] is not None)
        return 1

    def _keep_latest(self, event: Event) -> int:
        kept = self.latest.setdefault((event.scope, event.connection), [])
        # A transition is two events, the change of state and the one that names the new state.
        if not kept or kept[-1].data is event.data:
            kept.append(event)
            return 0
        lost = self._lose_late(len(kept), kept[-1])
        kept[:] = [event]
        return lost

    def _lose(self, number: int, event: Event) -> None:
        """`event`, whose number it is, is missing; one gap tells of all that are next to another.

        Where the oldest go, later ones may be missing behind critical events that are still there:
        the gap stands before these then, too.
        """
        gaps = self._gaps
        gap: Gap | None = None
        if gaps and self._overflow != "drop_newest":
            gap = gaps[0]
        elif gaps and self._tail < gaps[-1].at:
            gap = gaps[-1]
        if gap is None:
            gaps.append(Gap(number, event))
        else:
            gap.lost += 1
            gap.at = min(gap.at, number)
            gap.last = event

    def _lose_late(self, lost: int, event: Event) -> int:
        if self._late is None:
            self._late = Gap(0, event)
            self._late.lost = 0
        self._late.lost += lost
        self._late.last = event
        return lost

    def pop(self) -> Event | Gap | None:
        self._skip_coalesced()
        if not self._gaps and not self.critical and not self.minor:
            if self._late is not None:
                late, self._late = self._late, None
                return late
            latest, self.latest = self.latest, {}
            for events in latest.values():
                for event in events:
                    self._append(event)
        gap = self._gaps[0].at if self._gaps else None
        critical = self.critical[0][0] if self.critical else None
        minor = cast("int", self.minor[0][0]) if self.minor else None
        first = min((one for one in (gap, critical, minor) if one is not None), default=None)
        if first is None:
            return None
        if first == gap:
            return self._gaps.popleft()
        if first == critical:
            return self.critical.popleft()[1]
        self.minors -= 1
        entry = self.minor.popleft()
        event = cast("Event", entry[1])
        if self._newest.get(_key(event)) is entry:
            del self._newest[_key(event)]
        return event

    def _skip_coalesced(self) -> None:
        while self.minor and self.minor[0][1] is None:
            self.minor.popleft()

    def oldest(self) -> Event | None:
        self._skip_coalesced()
        heads = [
            cast("tuple[int, Event]", queue[0]) for queue in (self.critical, self.minor) if queue
        ]
        if heads:
            return min(heads, key=lambda head: head[0])[1]
        return next((events[0] for events in self.latest.values()), None)

    def __len__(self) -> int:
        return len(self.critical) + self.minors + sum(map(len, self.latest.values()))

    def __bool__(self) -> bool:
        self._skip_coalesced()
        return bool(self.critical or self.minor or self.latest or self._gaps or self._late)


def _key(event: Event) -> tuple[str | None, str, str]:
    return event.scope, event.connection, event.event
