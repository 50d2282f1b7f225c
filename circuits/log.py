"""The log of a breaker: what happened and has not yet reached every subscriber."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brama.telemetry import Context, SpanContext

from .connection_kind import ConnectionKind
from .events import SCHEMA_VERSION, Event, Severity, assembled, severity_of, utc
from .fields import Fields
from .severity import Severities

__all__ = ["Log", "Record"]

LIMIT = 1024
OTHER = ConnectionKind.OTHER


class Record:
    """One happening: one event, or the two that every transition is.

    Attributes:
        source: names the system that it happened in.
        connection, scope, kind: whom it happened to; it has no kind if it is of no connection.
        events: the names, in the order of their numbers; none if it only tells of a loss.
        number: number of the first event in its epoch.
        seq: number of the first event among the critical ones; None if they are not.
        wall, monotonic: when, by the two clocks.
        data: what the events carry.
        context: the caller's tracing context while tracing is on.
        rules: of severity, as they were at that instant.
        version: version of the subscriptions at that instant; later ones do not see it.
        lost: events that this log could not keep before this one.
        evidence: the spans of the failing calls that led to it.
        published: set by the registry once every matching subscription has it.
        traced: `context` is that of the transition's own span by now.
        told: telemetry has been told of the transition.
    """

    __slots__ = (
        "connection",
        "context",
        "data",
        "epoch",
        "events",
        "evidence",
        "kind",
        "lost",
        "monotonic",
        "number",
        "published",
        "rules",
        "scope",
        "seq",
        "source",
        "told",
        "traced",
        "version",
        "wall",
    )

    def __init__(
        self,
        source: str,
        connection: str,
        scope: str | None,
        kind: ConnectionKind | None,
        events: tuple[str, ...],
        epoch: int,
        number: int,
        seq: int | None,
        wall: float,
        monotonic: float,
        data: dict[str, Any],
        context: Context | None,
        version: int,
        rules: Severities | None = None,
    ) -> None:
        self.source = source
        self.connection = connection
        self.scope = scope
        self.kind = kind
        self.events = events
        self.epoch = epoch
        self.number = number
        self.seq = seq
        self.wall = wall
        self.monotonic = monotonic
        self.data = data
        self.context = context
        self.version = version
        self.rules = rules
        self.lost = 0
        self.published = False
        self.evidence: tuple[SpanContext, ...] = ()
        self.traced = False
        self.told = False

    def event_id(self, place: int) -> str:
        """Unique, and the same whenever the event is made again."""
        return f"{self.source}-{self.epoch:x}-{self.number + place}"

    def event(
        self, place: int, trace: str | None, source: str = "", event_id: str | None = None
    ) -> Event:
        """The `place`-th event; the same values at every call, so that its id is, too.

        Args:
            place: which of the record's events.
            trace: the ``traceparent`` of its cause.
            source: a name of the system that outlives the process; its own one if empty.
            event_id: what `event_id` gives, for those who have asked already.
        """
        name = self.events[place]
        return assembled(
            {
                "event": name,
                "connection": self.connection,
                "scope": self.scope,
                "timestamp": utc(self.wall),
                "monotonic": self.monotonic,
                "epoch": self.epoch,
                "seq": None if self.seq is None else self.seq + place,
                "event_id": event_id or self.event_id(place),
                "severity": self._severity(name, self.data),
                "data": self.data,
                "trace": trace,
                "source": source or self.source,
                "kind": self.kind or OTHER,
                "schema_version": SCHEMA_VERSION,
                "n": 0,
                "redelivered": False,
            }
        )

    def gap(self, source: str = "") -> Event:
        """What tells that events before this record were lost; the same at every call."""
        data = Fields({"lost": self.lost})
        return Event(
            event="gap",
            connection=self.connection,
            scope=self.scope,
            timestamp=utc(self.wall),
            monotonic=self.monotonic,
            epoch=self.epoch,
            seq=None,
            event_id=f"{self.source}-{self.epoch:x}-{self.number}-gap",
            severity=self._severity("gap", data),
            data=data,
            trace=None,
            source=source or self.source,
            kind=self.kind or OTHER,
        )

    def _severity(self, name: str, data: Mapping[str, Any]) -> Severity:
        if self.rules is None:
            return severity_of(name, data.get("new_state"))
        return self.rules.of(name, data, self.connection, self.scope, self.kind)

    @property
    def ruled(self) -> Severity | None:
        """What a rule says of the transition; None if there is none for it."""
        if self.rules is None:
            return None
        return self.rules.ruled("state_change", self.data, self.connection, self.scope, self.kind)


class Log:
    """The records of one breaker, bounded; there while its circuit has something to manage.

    Those in front may be under way to the registry (`take`): they are neither dropped nor changed
    any more, for they will be published. The bound is that of the records behind them.

    Invariant: used under the lock of the breaker only.

    Attributes:
        records: oldest first; trimmed from the front once they are published.
        rung: the connection actor has been told and has not looked yet. `Bells` keeps one bell in
            its mailbox whoever rings; this spares a flood of calls the lock that all bells share.
        lost: events dropped since the last record was kept.
        minor: how many of the records that are not under way are not critical.
        taken: how many of the records, from the front, are under way.
    """

    __slots__ = ("lost", "minor", "records", "rung", "taken")

    def __init__(self, first: Record) -> None:
        self.records = [first]
        self.rung = False
        self.lost = 0
        self.minor = 0 if first.seq is not None else 1
        self.taken = 0

    def append(self, record: Record) -> None:
        """Keep `record`. A full log keeps the critical ones that are newest and counts the rest."""
        records = self.records
        if len(records) - self.taken < LIMIT:
            record.lost, self.lost = self.lost, 0
            records.append(record)
            self.minor += record.seq is None
            return
        self.trim()
        if len(records) - self.taken >= LIMIT and record.seq is None:
            self.lost += len(record.events)
            return
        record.lost, self.lost = self.lost, 0
        records.append(record)
        self.minor += record.seq is None
        if len(records) - self.taken > LIMIT:
            # The oldest that is not critical makes room, else the oldest; the one behind it
            # tells of the gap, and of any gap that the dropped one would have told of.
            # Counted, because a search through a full log at every transition would hold the lock
            # so long that the actor which empties it hardly gets a turn.
            place = self.taken
            if self.minor:
                while records[place].seq is not None:
                    place += 1
                self.minor -= 1
            dropped = records.pop(place)
            records[place].lost += dropped.lost + len(dropped.events)

    def take(self) -> list[Record]:
        """What is to be published next: the records that are under way, else all there are.

        One part at a time, so that what is under way is bounded, too.
        """
        self.trim()
        if not self.taken:
            self.taken = len(self.records)
            self.minor = 0
        return self.records[: self.taken]

    def trim(self) -> None:
        """Forget the published records at the front."""
        records = self.records
        kept = next((i for i, record in enumerate(records) if not record.published), len(records))
        if self.minor:
            self.minor -= sum(record.seq is None for record in records[self.taken : kept])
        self.taken = max(0, self.taken - kept)
        del records[:kept]
