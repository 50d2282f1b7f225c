"""The audit trail of a journal, to iterate over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brama.circuits import Circuit, Event
from brama.telemetry import ConfigError

from .connection import has_trail
from .entries import COLUMNS, Entry, check_entries, holds, read
from .reading import Moment, Reading

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Trail"]


class Trail(Reading[Entry, Entry]):
    """The entries of the audit trail in a range of time, in the order in which they were written.

    Example:
        >>> for entry in brama.trail(since=timedelta(hours=1), entries=["order_given"]):
        ...     print(entry.timestamp, entry.by, entry.subject, entry.connection)
        >>> for entry in brama.trail(event=event): ...      # who got it, when, after how many tries

    Args:
        path: of the journal.
        since, until, connection, scope: as for `Replay`.
        entries: names from `brama.notifier.ENTRIES`, or wildcards; None is all.
        subject: only of this: a subscription, an order, a table; see `ENTRIES`.
        by: only on behalf of this person.
        event: only what concerns this event, given as itself or by its id.

    Raises:
        ConfigError: a wrong argument.
        JournalError: while iterating, the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        since: Moment = None,
        until: Moment = None,
        entries: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        subject: str | None = None,
        by: str | None = None,
        event: Event | str | None = None,
    ) -> None:
        super().__init__(path, since=since, until=until, connection=connection, scope=scope)
        self._among("entry", check_entries(entries))
        for option, column, value in (("subject", "subject", subject), ("by", "person", by)):
            if value is not None:
                if not isinstance(value, str):
                    raise ConfigError(option, "a str", value)
                self._limit(f"{column} = ?", value)
        if event is not None:
            if not isinstance(event, Event | str):
                raise ConfigError("event", "an event or its id", event)
            id = event.event_id if isinstance(event, Event) else event
            self._limit(_ABOUT, id, id, id, id)

    def _select(self, db: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[Entry]:
        if not has_trail(db):
            return []
        db.create_function("brama_holds", 2, holds, deterministic=True)
        return [read(row) for row in db.execute(f"SELECT {COLUMNS} FROM trail {rest}", values)]

    def _id(self, row: Entry) -> int:
        return row.id

    def _value(self, row: Entry) -> Entry:
        return row


_ROW = "(SELECT id FROM events WHERE event_id = ? LIMIT 1)"
_ABOUT = (
    f"(event_id = ? OR (first <= {_ROW} AND last >= {_ROW} "
    "AND (entry NOT IN ('retention_ran', 'change_refused') OR subject = 'events') "
    f"AND brama_holds(json_extract(data, '$.ids'), {_ROW})))"
)
"""Whether an entry is about the event with that id."""
