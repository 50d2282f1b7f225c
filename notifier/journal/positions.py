"""How far the durable subscriptions have come, as the file of the journal keeps it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from .connection import last_id, transaction
from .entries import Entry, spans, write
from .file import JournalFile
from .owners import Owner, alive

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Position", "Positions", "Told"]


class Told(NamedTuple):
    """How one event has come to its end.

    Attributes:
        id: its row.
        end: handled, filtered out or given up.
        tries: how often the handler was shown it by this process.
        again: an earlier process may have shown it.
        at: when, in POSIX time.
    """

    id: int
    end: str
    tries: int
    again: bool
    at: float


def entries_of(name: str, told: Iterable[Told]) -> list[Entry]:
    """`told` as entries of the trail: one for all that have ended alike.

    Those that were given up have theirs already, with the reason.
    """
    alike: dict[tuple[str, int, bool], list[Told]] = {}
    for one in told:
        if one.end != "given_up":
            alike.setdefault((one.end, one.tries, one.again), []).append(one)
    entries: list[Entry] = []
    for (end, tries, again), those in alike.items():
        ids = [one.id for one in those]
        data: dict[str, Any] = {"count": len(ids)}
        short = spans(ids)
        if short is not None:
            data["ids"] = short
        if end == "delivered":
            data["tries"] = tries
        if again:
            data["redelivered"] = True
        entries.append(
            Entry(
                entry=end,
                at=int(those[-1].at * 1_000_000),
                process=os.getpid(),
                subject=name,
                first=ids[0],
                last=ids[-1],
                data=data,
            )
        )
    return entries


@attrs.frozen
class Position:
    """How far a durable subscription has come.

    Attributes:
        position: id of the last event that it has acknowledged.
        handed: id of the last one that it was given.
        n: deliveries so far.
        told: how those have come to their ends of which the trail does not tell yet.
    """

    position: int
    handed: int
    n: int
    told: tuple[Told, ...] = attrs.field(default=(), eq=False)


class Positions:
    """The positions in one file, each held by one process at a time.

    Threads and failure: those of the file.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def claim(
        self, name: str, owner: Owner, source: str, *, anew: bool = False
    ) -> tuple[Position, bool] | None:
        """Be the one that delivers to the durable subscription `name`; None if another one is.

        Args:
            name: of the subscription.
            owner: who is to deliver.
            source: its place among the writers.
            anew: the file has been begun anew, so what it holds has not been seen.

        Returns:
            How far it has come, and whether the name is new and begins after the last event of now.
        """
        with self._file.use() as db, transaction(db):
            row = db.execute(
                "SELECT owner, position, handed, n FROM durables WHERE name = ?", (name,)
            ).fetchone()
            if row is None:
                last = 0 if anew else last_id(db)
                db.execute(
                    "INSERT INTO durables VALUES (?, ?, ?, ?, 0)", (name, owner.id, last, last)
                )
                self._resumed(db, name, source, Position(last, last, 0))
                return Position(last, last, 0), not anew
            if row[0] not in (None, owner.id) and alive(self._file.path, row[0]):
                return None
            db.execute("UPDATE durables SET owner = ? WHERE name = ?", (owner.id, name))
            position = Position(*row[1:])
            self._resumed(db, name, source, position)
            return position, False

    def _resumed(self, db: sqlite3.Connection, name: str, source: str, position: Position) -> None:
        repeated = position.handed > position.position
        entry = Entry(
            entry="resumed",
            at=time.time_ns() // 1000,
            process=os.getpid(),
            subject=name,
            first=position.position + 1 if repeated else None,
            last=position.handed if repeated else None,
            data={"position": position.position, "delivered": position.n},
        )
        write(db, source, [(entry, last_id(db))])

    def save(self, owner: Owner, source: str, positions: Iterable[tuple[str, Position]]) -> None:
        """Keep positions that `owner` holds, with what they tell; one never goes back."""
        positions = list(positions)
        rows = [
            (at.position, at.handed, at.n, name, owner.id, at.position) for name, at in positions
        ]
        entries = [entry for name, at in positions for entry in entries_of(name, at.told)]
        with self._file.use() as db, transaction(db):
            db.executemany(
                "UPDATE durables SET position = ?, handed = ?, n = ? "
                "WHERE name = ? AND owner = ? AND position <= ?",
                rows,
            )
            if entries:
                last = last_id(db)
                write(db, source, [(entry, last) for entry in entries])

    def release(self, name: str, owner: Owner) -> None:
        """Let another process deliver to the durable subscription `name`."""
        with self._file.use() as db, transaction(db):
            db.execute(
                "UPDATE durables SET owner = NULL WHERE name = ? AND owner = ?", (name, owner.id)
            )

    def forget(self, name: str, source: str | None = None, by: str | None = None) -> bool:
        """Forget how far `name` has come; False if it is unknown or somebody delivers to it."""
        with self._file.use() as db, transaction(db):
            row = db.execute(
                "SELECT owner, position FROM durables WHERE name = ?", (name,)
            ).fetchone()
            if row is None or alive(self._file.path, row[0]):
                return False
            db.execute("DELETE FROM durables WHERE name = ?", (name,))
            entry = Entry(
                entry="position_forgotten",
                at=time.time_ns() // 1000,
                process=os.getpid(),
                by=by,
                subject=name,
                data={"position": row[1]},
            )
            write(db, source, [(entry, last_id(db))])
            return True
