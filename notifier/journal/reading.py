"""A range of rows of a journal, to iterate over: in a thread, on asyncio or on trio."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import trio

from brama.circuits import Circuit, check_name, check_scope, is_glob, named, seconds
from brama.telemetry import ConfigError

from .connection import close, connect_readonly, described
from .rows import microseconds

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Moment", "Reading"]

PAGE = 500
LAST = (1 << 63) - 1
"""The largest number of SQLite."""

Moment = datetime | timedelta | float | None

R = TypeVar("R")
V = TypeVar("V")


class Reading(ABC, Generic[R, V]):
    """The rows of one table in a range of time, in the order in which they were appended.

    It reads a page at a time and holds nothing open in between, so it may take as long as it likes,
    and be iterated over more than once. What is appended behind the range meanwhile comes, too.

    Args:
        path: of the journal.
        since: the first moment: a time with its zone, a POSIX time, or a duration before now.
        until: the moment before which it ends.
        connection: a name, a glob or a circuit, as for `brama.subscribe`; None is any.
        scope: None is any.
    """

    def __init__(
        self,
        path: Path,
        *,
        since: Moment = None,
        until: Moment = None,
        connection: str | Circuit | None = None,
        scope: str | None = None,
    ) -> None:
        self._path = path
        self._where = ""
        connection, scope = named(connection, scope)
        self._values: list[Any] = []
        if since is not None:
            self._limit("at >= ?", _moment("since", since))
        if until is not None:
            self._limit("at < ?", _moment("until", until))
        if connection is not None:
            self._limit(*_named("connection", check_name("connection", connection)))
        if scope is not None:
            self._limit("scope = ?", check_scope(scope))

    def _limit(self, condition: str, *values: Any) -> None:
        self._where += f" AND {condition}"
        self._values.extend(values)

    def _among(self, column: str, names: Sequence[str] | None) -> None:
        if names is not None:
            self._limit(f"{column} IN ({', '.join('?' * len(names))})", *names)

    @abstractmethod
    def _select(self, db: sqlite3.Connection, rest: str, values: Sequence[Any]) -> list[R]:
        """The rows that ``SELECT …`` with that `rest` finds."""

    @abstractmethod
    def _id(self, row: R) -> int: ...

    @abstractmethod
    def _value(self, row: R) -> V: ...

    def rows(self, after: int = 0, limit: int = PAGE) -> list[R]:
        """Up to `limit` of them, those with ids beyond `after`, in order."""
        rest = f"WHERE id > ?{self._where} ORDER BY id LIMIT ?"
        return self._query(rest, (after, *self._values, limit))

    def last(self, count: int) -> list[R]:
        """The last `count` of them, in order."""
        rest = f"WHERE 1{self._where} ORDER BY id DESC LIMIT ?"
        return self._query(rest, (*self._values, min(count, LAST)))[::-1]

    def _query(self, rest: str, values: Iterable[Any]) -> list[R]:
        with described(self._path):
            db = connect_readonly(self._path)
            try:
                return self._select(db, rest, tuple(values))
            finally:
                close(db)

    def __iter__(self) -> Iterator[V]:
        after = 0
        while rows := self.rows(after):
            for row in rows:
                yield self._value(row)
            after = self._id(rows[-1])

    def __aiter__(self) -> AsyncIterator[V]:
        return _Pages(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._path}>"


class _Pages(Generic[R, V]):
    """The pages of a `Reading`, each read in a thread."""

    def __init__(self, reading: Reading[R, V]) -> None:
        self._reading = reading
        self._page: Iterator[R] = iter(())
        self._after = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> V:
        row = next(self._page, None)
        if row is None:
            self._page = iter(await _in_thread(self._reading, self._after))
            row = next(self._page, None)
        if row is None:
            raise StopAsyncIteration
        self._after = self._reading._id(row)
        return self._reading._value(row)


async def _in_thread(reading: Reading[R, Any], after: int) -> list[R]:
    if trio.lowlevel.in_trio_run():
        return await trio.to_thread.run_sync(reading.rows, after)
    return await asyncio.to_thread(reading.rows, after)


def _named(column: str, wanted: str) -> tuple[str, str]:
    """The condition that `column` is `wanted`, a name or a glob."""
    if not is_glob(wanted):
        return f"{column} = ?", wanted
    return f"{column} GLOB ?", wanted.replace("[", "[[]")  # a class of characters, to SQLite alone


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
