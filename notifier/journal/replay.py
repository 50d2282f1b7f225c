"""The events in a journal, to iterate over: in a thread, on asyncio or on trio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any, Self

import trio

from brama.circuits import Event, check_events, check_name, check_scope, seconds
from brama.telemetry import ConfigError

from .connection import close, connect_readonly, described
from .file import stored
from .rows import Stored, microseconds

__all__ = ["Moment", "Replay"]

PAGE = 500
LAST = (1 << 63) - 1
"""The largest number of SQLite."""

Moment = datetime | timedelta | float | None


class Replay:
    """The events of a range of time, in the order in which they were appended.

    It reads a page at a time and holds nothing open in between, so it may take as long as it likes,
    and be iterated over more than once. What is appended behind the range meanwhile comes, too.

    Example:
        >>> for event in brama.replay(since=timedelta(hours=1)): ...
        >>> async for event in brama.replay(since=yesterday): ...

    Args:
        path: of the journal.
        since: the first moment: a time with its zone, a POSIX time, or a duration before now.
        until: the moment before which it ends.
        events, connection, scope: what it is limited to; None is any.

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
        connection: str | None = None,
        scope: str | None = None,
    ) -> None:
        self._path = path
        conditions: list[str] = []
        self._values: list[Any] = []

        def limit(condition: str, *values: Any) -> None:
            conditions.append(condition)
            self._values.extend(values)

        if since is not None:
            limit("at >= ?", _moment("since", since))
        if until is not None:
            limit("at < ?", _moment("until", until))
        names = check_events(events)
        if names is not None:
            limit(f"event IN ({', '.join('?' * len(names))})", *names)
        if connection is not None:
            limit("connection = ?", check_name("connection", connection))
        if scope is not None:
            limit("scope = ?", check_scope(scope))
        self._where = "".join(f" AND {condition}" for condition in conditions)

    def rows(self, after: int = 0, limit: int = PAGE) -> list[Stored]:
        """Up to `limit` of them, those with ids beyond `after`, in order."""
        rest = f"WHERE id > ?{self._where} ORDER BY id LIMIT ?"
        return self._query(rest, (after, *self._values, limit))

    def _query(self, rest: str, values: tuple[Any, ...]) -> list[Stored]:
        with described(self._path):
            db = connect_readonly(self._path)
            try:
                return stored(db, rest, values)
            finally:
                close(db)

    def last(self, count: int) -> list[Stored]:
        """The last `count` of them, in order."""
        rest = f"WHERE 1{self._where} ORDER BY id DESC LIMIT ?"
        return self._query(rest, (*self._values, count))[::-1]

    def find(self, event_id: str) -> Stored | None:
        """The one with that id; it reads the whole range for it."""
        found = self._query(
            f"WHERE event_id = ?{self._where} ORDER BY id LIMIT 1", (event_id, *self._values)
        )
        return found[0] if found else None

    def __iter__(self) -> Iterator[Event]:
        after = 0
        while rows := self.rows(after):
            for row in rows:
                yield row.read()
            after = rows[-1].id

    def __aiter__(self) -> AsyncIterator[Event]:
        return _Pages(self)

    def __repr__(self) -> str:
        return f"<Replay of {self._path}>"


class _Pages:
    """The pages of a `Replay`, each read in a thread."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._page: Iterator[Stored] = iter(())
        self._after = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        row = next(self._page, None)
        if row is None:
            self._page = iter(await _in_thread(self._replay, self._after))
            row = next(self._page, None)
        if row is None:
            raise StopAsyncIteration
        self._after = row.id
        return row.read()


async def _in_thread(replay: Replay, after: int) -> list[Stored]:
    if trio.lowlevel.in_trio_run():
        return await trio.to_thread.run_sync(replay.rows, after)
    return await asyncio.to_thread(replay.rows, after)


def _moment(option: str, value: Any) -> int:
    """Microseconds since 1970; times beyond all that SQLite can count are its first or last."""
    return max(-LAST, min(LAST, _microseconds(option, value)))


def _microseconds(option: str, value: Any) -> int:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(
                option, "a time with its zone", value, hint="Write datetime.now(timezone.utc)."
            )
        return microseconds(value)
    if isinstance(value, timedelta):
        return int((time.time() - seconds(option, value, zero=True)) * 1_000_000)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ConfigError(option, "a datetime, a timedelta or a POSIX time", value)
    return int(min(max(value, -1e13), 1e13) * 1_000_000)  # a product beyond all floats is no int
