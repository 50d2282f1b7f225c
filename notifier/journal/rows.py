"""An event as a row of the journal, and back; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from brama.circuits import Event

__all__ = ["INSERT", "Stored", "heads_of", "microseconds", "row_of"]

INSERT = (
    "INSERT INTO events (source, scope, connection, event, at, epoch, seq, event_id, body) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Since 1970, exactly: a float would lose the last digit."""
    return (time - _1970) // _MICROSECOND


def row_of(event: Event, source: str) -> tuple[Any, ...]:
    """The values for `INSERT`.

    Args:
        event: what happened.
        source: the place in the journal that it is written from.
    """
    if event.source != source:  # it happened before the journal knew its place
        event = event.placed(source)
    return (
        source,
        event.scope,
        event.connection,
        event.event,
        microseconds(event.timestamp),
        event.epoch,
        event.seq,
        event.event_id,
        event.to_json(),
    )


def heads_of(events: Iterable[Event]) -> dict[tuple[str, str], tuple[int, int]]:
    """The last numbers of each connection among `events`, by scope ('' for none) and name."""
    return {
        (event.scope or "", event.connection): (event.epoch, event.seq)
        for event in events
        if event.seq is not None
    }


@attrs.frozen
class Stored:
    """One row that was read.

    Attributes:
        id: its place in the journal.
        event, connection, scope: what decides whether anybody wants it.
        body: the event as JSON, which is parsed only for those who do.
    """

    id: int
    event: str
    connection: str
    scope: str | None
    body: str

    def read(self, *, redelivered: bool = False) -> Event:
        """The event itself.

        Args:
            redelivered: it was given out before, and nobody has said that it was handled.
        """
        event = Event.from_json(self.body)
        return event.delivery(event.n, redelivered=True) if redelivered else event
