"""The events in a journal, to iterate over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brama.circuits import Circuit, ConnectionKind, Event, check_kind, event_names

from .file import stored
from .reading import Moment, Reading
from .rows import Stored

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Replay"]


class Replay(Reading[Stored, Event]):
    """The events of a range of time, in the order in which they were appended.

    It reads a page at a time and holds nothing open in between, so it may take as long as it likes,
    and be iterated over more than once. What is appended behind the range meanwhile comes, too.

    Example:
        >>> for event in brama.replay(since=timedelta(hours=1)): ...
        >>> async for event in brama.replay(since=yesterday, connection="payment_*"): ...

    Args:
        path: of the journal.
        since: the first moment: a time with its zone, a POSIX time, or a duration before now.
        until: the moment before which it ends.
        events: names or wildcards, as for `brama.subscribe`; None is any.
        connection: a name, a glob or a circuit; None is any.
        scope: None is any.
        kind: of connection; None is any.

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
        events: Iterable[str] | None = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
        kind: ConnectionKind | str | None = None,
    ) -> None:
        super().__init__(path, since=since, until=until, connection=connection, scope=scope)
        self._among("event", event_names(events))
        wanted = check_kind(kind)
        if wanted is not None:  # what was written before there were kinds is of none that was told
            said = f"coalesce(json_extract(body, '$.kind'), '{ConnectionKind.OTHER}')"
            self._limit(f"connection != '' AND {said} = ?", wanted.value)

    def find(self, event_id: str) -> Stored | None:
        """The one with that id; it reads the whole range for it."""
        found = self._query(
            f"WHERE event_id = ?{self._where} ORDER BY id LIMIT 1", (event_id, *self._values)
        )
        return found[0] if found else None

    def _select(self, db: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[Stored]:
        return stored(db, rest, values)

    def _id(self, row: Stored) -> int:
        return row.id

    def _value(self, row: Stored) -> Event:
        return row.read()
