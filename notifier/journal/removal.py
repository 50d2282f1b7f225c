"""Takes out of the file of a journal what its rules let go."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from .connection import last_id, transaction
from .entries import Entry, write
from .file import JournalFile
from .retention import Extent, Plan

if TYPE_CHECKING:
    import sqlite3

__all__ = ["RETENTION", "extent", "remove"]

RETENTION = {"events": "retention", "trail": "trail_retention"}
"""What keeps a record of what was removed, for each table that only grows otherwise."""

CHUNK = 5_000
"""Rows that one transaction removes: others want to write, too."""

SKEW = 300.0
"""Seconds by which clocks may differ. What is stamped later than that was stamped wrongly."""


def extent(file: JournalFile, now: float, table: str = "events") -> Extent:
    """How much there is, with what is too old at `now`, a POSIX time.

    Args:
        file: of the journal.
        now: the time.
        table: `events` or `trail`.
    """
    with file.use() as db:
        first = db.execute(f"SELECT min(id) FROM {table}").fetchone()[0]
        gone = _removed(db, table)
        last = last_id(db, table)
        expired = 0
        if file.options.max_age is not None:
            expired = _expired(db, table, last, now, file.options.max_age)
        pages, free, size = (
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return Extent(
        first=gone + 1 if first is None else first,
        last=last,
        expired=expired,
        bytes=(pages - free) * size,
    )


def remove(file: JournalFile, plan: Plan, table: str = "events", source: str | None = None) -> int:
    """Remove what `plan` says, a part at a time; how many rows have gone.

    Args:
        file: of the journal.
        plan: what is to go.
        table: `events` or `trail`.
        source: the place of the writer who does it, for the trail.
    """
    gone = 0
    while True:
        with file.use() as db, transaction(db):
            first = db.execute(f"SELECT min(id) FROM {table}").fetchone()[0]
            if first is None or first > plan.through:
                break
            through = min(plan.through, first + CHUNK - 1)
            if through > _removed(db, table):
                _record(db, table, first, through, plan.reason, source)
            gone += db.execute(f"DELETE FROM {table} WHERE id <= ?", (through,)).rowcount
    with file.use() as db:
        # execute() would stop at its first page: it takes each for a row.
        db.executescript("PRAGMA incremental_vacuum")
    return gone


def _record(
    db: sqlite3.Connection, table: str, first: int, through: int, reason: str, source: str | None
) -> None:
    """Allow the rows up to `through` to be deleted."""
    kept = RETENTION[table]
    now, removed = time.time_ns() // 1000, through - first + 1
    # Before the row, whose trigger would tell of it, and does not know who removes.
    told = Entry(
        entry="retention_ran",
        at=now,
        process=os.getpid(),
        subject=table,
        first=first,
        last=through,
        data={"removed": removed, "reason": reason},
    )
    write(db, source, [(told, last_id(db))])
    db.execute(f"INSERT INTO {kept} VALUES (?, ?, ?, ?)", (through, now, removed, reason))
    db.execute(f"DELETE FROM {kept} WHERE through < ?", (through,))


def _removed(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT max(through) FROM {RETENTION[table]}").fetchone()[0])


def _expired(db: sqlite3.Connection, table: str, last: int, now: float, age: float) -> int:
    """The id of the last row that is older than `age` seconds at `now`, 0 if none.

    Rows are removed from the front, and a row is at least as old as one that was appended behind
    it, whatever its stamp says. So one from the future, which a clock that was wrong has made, does
    not keep those behind it; but one that seems to be too old does not take those before it along.
    """
    cutoff = int((now - age) * 1_000_000)
    # By id and not by the index on time: it stops at the first that may stay.
    row = db.execute(
        f"SELECT id FROM {table} NOT INDEXED WHERE at BETWEEN ? AND ? ORDER BY id LIMIT 1",
        (cutoff, int((now + SKEW) * 1_000_000)),
    ).fetchone()
    end = last + 1 if row is None else int(row[0])
    row = db.execute(
        f"SELECT id FROM {table} NOT INDEXED WHERE id < ? AND at < ? ORDER BY id DESC LIMIT 1",
        (end, cutoff),
    ).fetchone()
    return 0 if row is None else int(row[0])
