"""How far the durable subscriptions have come, as the file of the journal keeps it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .connection import last_id, transaction
from .file import JournalFile
from .owners import Owner, alive

__all__ = ["Position", "Positions"]


@attrs.frozen
class Position:
    """How far a durable subscription has come.

    Attributes:
        position: id of the last event that it has acknowledged.
        handed: id of the last one that it was given.
        n: deliveries so far.
    """

    position: int
    handed: int
    n: int


class Positions:
    """The positions in one file, each held by one process at a time.

    Threads and failure: those of the file.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file

    def claim(self, name: str, owner: Owner, *, anew: bool = False) -> tuple[Position, bool] | None:
        """Be the one that delivers to the durable subscription `name`; None if another one is.

        Args:
            name: of the subscription.
            owner: who is to deliver.
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
                return Position(last, last, 0), not anew
            if row[0] not in (None, owner.id) and alive(self._file.path, row[0]):
                return None
            db.execute("UPDATE durables SET owner = ? WHERE name = ?", (owner.id, name))
            return Position(*row[1:]), False

    def save(self, owner: Owner, positions: Iterable[tuple[str, Position]]) -> None:
        """Keep positions that `owner` holds; one never goes back."""
        rows = [
            (at.position, at.handed, at.n, name, owner.id, at.position) for name, at in positions
        ]
        with self._file.use() as db, transaction(db):
            db.executemany(
                "UPDATE durables SET position = ?, handed = ?, n = ? "
                "WHERE name = ? AND owner = ? AND position <= ?",
                rows,
            )

    def release(self, name: str, owner: Owner) -> None:
        """Let another process deliver to the durable subscription `name`."""
        with self._file.use() as db, transaction(db):
            db.execute(
                "UPDATE durables SET owner = NULL WHERE name = ? AND owner = ?", (name, owner.id)
            )

    def forget(self, name: str) -> bool:
        """Forget how far `name` has come; False if it is unknown or somebody delivers to it."""
        with self._file.use() as db, transaction(db):
            row = db.execute("SELECT owner FROM durables WHERE name = ?", (name,)).fetchone()
            if row is None or alive(self._file.path, row[0]):
                return False
            db.execute("DELETE FROM durables WHERE name = ?", (name,))
            return True
