"""The file of a journal, as its store uses it: places of writers, appends, reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from brama.circuits import Event

from .connection import close, connect, described, last_id, transaction
from .entries import Entry, write
from .errors import JournalDamagedError, JournalError, JournalForeignError, JournalGoneError
from .folder import PARTS, held
from .options import JournalOptions
from .owners import Owner, alive
from .place import Place, look_at, place_of, save_log
from .rows import INSERT, Stored, heads_of, row_of

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Claim", "JournalFile", "stored"]

CONFIRMATIONS, PAUSE = 3, 0.02
"""Looks, and the seconds between them, before it is believed that a file was written over."""

SELECT = "SELECT id, event, connection, scope, body FROM events "


@attrs.frozen
class Claim:
    """A place among the writers of a journal.

    Attributes:
        source: its name.
        fresh: it has only now become the owner's, who has appended nothing yet.
        clean: its last owner ended in good order, and every event of his is there.
        heads: the last epoch and number of each connection, by scope ('' for none) and name.
    """

    source: str
    fresh: bool
    clean: bool
    heads: dict[tuple[str, str], tuple[int, int]] = attrs.field(factory=dict, eq=False)


class JournalFile:
    """One SQLite file that several processes share.

    Threads: any; one at a time. Failure: a `JournalError`, and what was begun has not happened.
    """

    def __init__(self, options: JournalOptions) -> None:
        self.options = options
        self.path: Path = options.path
        # Invariant: held around every use of the connection. A fork takes it, so that the child
        # inherits neither a transaction nor an open file: SQLite must not be carried into a child.
        self.lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._place: Place | None = None
        self._seen = 0
        self._sync = ""
        self._patience = options.busy_timeout
        self._forbidden = ""

    # Opening and closing

    @contextmanager
    def use(self, *, durable: bool = False) -> Generator[sqlite3.Connection, None, None]:
        """The connection, for as long as the block lasts.

        Args:
            durable: what is committed in it has to be confirmed by the disk.

        Raises:
            JournalError: not now, or something in the block went wrong.
        """
        with self.lock, described(self.path):
            if self._forbidden:
                raise JournalError(f"the journal {self.path}: {self._forbidden}")
            if self._db is None:
                self._open()
            else:
                self._stay()
            assert self._db is not None
            self._synchronous(self._db, durable=durable)
            yield self._db

    def _open(self) -> None:
        self._place = place_of(self.path)  # of what may turn out to be damaged
        self._seen = 0
        if self._place is not None:
            self._look()
        self._db = connect(self.path, self._patience)
        self._sync = ""
        self._place = place_of(self.path)

    def _stay(self) -> None:
        """See that the file is still the one that was opened.

        Without this look SQLite would go on writing into a file that nobody can find, or that
        somebody has written another one over.
        """
        found = place_of(self.path)
        if found == self._place:
            return
        if found is None or not found.same(self._place):
            self._close()
            raise JournalGoneError(f"the journal {self.path} was deleted or replaced")
        self._place = found
        self._look()

    def _look(self) -> None:
        wrong, seen = look_at(self.path, self._seen)
        for _ in range(CONFIRMATIONS):
            if not wrong:
                self._seen = seen
                return
            time.sleep(PAUSE)  # what it saw may have been half written
            wrong, seen = look_at(self.path, self._seen)
        if self._db is not None:
            save_log(self.path)  # for SQLite, when it closes, would write it into what is there now
        self._close()
        if wrong == "foreign":
            raise JournalForeignError(f"{self.path} is an SQLite file and not a journal of Brama")
        if wrong == "older":
            raise JournalDamagedError(
                f"the journal {self.path} was written over with an older copy of it"
            )
        import sqlite3

        raise sqlite3.DatabaseError("file is not a database")  # what that means, `described` knows

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            close(db)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        with self.lock:
            self._close()

    def hurry(self, seconds: float) -> None:
        """From now on wait no longer than so for a file that another process holds."""
        with self.lock:
            self._patience = min(self.options.busy_timeout, seconds)
            if self._db is not None:
                # Not by opening it anew: a later release may have moved the file on meanwhile, and
                # what is open goes on.
                self._db.execute(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")

    def check(self) -> None:
        """Look the whole file through.

        Raises:
            JournalDamagedError: it is not sound.
        """
        with self.use() as db:
            found = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            raise JournalDamagedError(f"the journal {self.path} is damaged: {'; '.join(found)}")

    def set_aside(self) -> Path | None:
        """Rename a damaged file, so that a new one can be begun; None if it is gone."""
        with self.lock:
            self._close()
            with held(self.path.parent):
                found = place_of(self.path)
                if found is None or not found.same(self._place):
                    return None  # another process was faster, and may have begun a new one
                # The millisecond tells two of them apart.
                aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time() * 1000)}")
                try:
                    self.path.rename(aside)
                except FileNotFoundError:
                    return None
                for suffix in PARTS:
                    part = self.path.with_name(self.path.name + suffix)
                    if part.exists():
                        part.rename(aside.with_name(aside.name + suffix))
            return aside

    # Writers

    def claim(self, owner: Owner, entry: Entry | None = None) -> Claim:
        """Take the place of a writer who is gone, or a new one.

        Args:
            owner: who is to write.
            entry: puts it on the trail.

        Raises:
            JournalError: not now.
        """
        with self.use() as db:
            owner.hold()
            with transaction(db):
                rows = db.execute("SELECT source, owner, clean FROM sources").fetchall()
                taken = {source: (other, clean) for source, other, clean in rows}
                number = 1
                while True:
                    source = f"{self.options.source}-{number}"
                    other, clean = taken.get(source, (None, 1))
                    if other == owner.id:
                        return Claim(source, fresh=False, clean=False)
                    if not alive(self.path, other):
                        break
                    number += 1
                # It is not clean from its first append on: nobody minds one who has done nothing.
                db.execute(
                    "INSERT INTO sources VALUES (?, ?, 0, 1) ON CONFLICT (source) DO UPDATE "
                    "SET owner = excluded.owner, written = 0",
                    (source, owner.id),
                )
                if entry is not None:
                    data = {**entry.data, "clean": bool(clean)}
                    told = attrs.evolve(entry, subject=source, data=data)
                    write(db, source, [(told, last_id(db))])
            heads = {
                (scope, connection): (epoch, seq)
                for scope, connection, epoch, seq in db.execute(
                    "SELECT scope, connection, epoch, seq FROM heads WHERE source = ?", (source,)
                )
            }
        return Claim(source, fresh=True, clean=bool(clean), heads=heads)

    def leave(self, source: str, owner: Owner, *, clean: bool, entry: Entry | None = None) -> None:
        """Give the place of a writer back.

        Args:
            source: the place.
            owner: who leaves.
            clean: all that it has published is in the file.
            entry: puts it on the trail.
        """
        with self.use(durable=self.options.sync != "never") as db, transaction(db):
            db.execute("UPDATE sources SET owner = NULL WHERE owner = ?", (owner.id,))
            if clean:
                db.execute("UPDATE sources SET clean = 1 WHERE source = ?", (source,))
            db.execute("UPDATE durables SET owner = NULL WHERE owner = ?", (owner.id,))
            if entry is not None:
                write(db, source, [(entry, last_id(db))])

    # Events

    def append(
        self, source: str, owner: Owner, number: int, items: Sequence[Event | Entry]
    ) -> range:
        """Append `items`; all of them are in the file when this returns, or none.

        Args:
            source: the writer's place.
            owner: who holds it.
            number: how many the owner has appended before the first of these. What the file has
                already, because the answer to an earlier append was lost, is left out.
            items: what happened, and entries of the trail, in order.

        Returns:
            The ids of those events that were not in the file yet.

        Raises:
            LookupError: the place is no longer the owner's.
            JournalError: they could not be written.
        """
        durable = self.options.sync == "always" or (
            self.options.sync == "critical"
            and any(isinstance(item, Event) and item.critical for item in items)
        )
        with self.use(durable=durable) as db:
            with transaction(db):
                row = db.execute(
                    "SELECT written FROM sources WHERE source = ? AND owner = ?", (source, owner.id)
                ).fetchone()
                if row is None:
                    raise LookupError(source)
                new = items[max(0, row[0] - number) :]
                fresh = [item for item in new if isinstance(item, Event)]
                db.executemany(INSERT, [row_of(event, source) for event in fresh])
                db.executemany(
                    "INSERT INTO heads VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                    "SET epoch = excluded.epoch, seq = excluded.seq",
                    [
                        (source, scope, connection, epoch, seq)
                        for (scope, connection), (epoch, seq) in heads_of(fresh).items()
                    ],
                )
                db.execute(
                    "UPDATE sources SET written = ?, clean = 0 WHERE source = ?",
                    (max(row[0], number + len(items)), source),
                )
                last = last_id(db)
                if len(fresh) < len(new):
                    write(db, source, _placed(new, last - len(fresh)))
            self._stay()  # else it was written into a file that is gone
            return range(last - len(fresh) + 1, last + 1)

    def read(self, after: int, limit: int) -> list[Stored]:
        """Up to `limit` events with ids beyond `after`, in order."""
        with self.use() as db:
            return stored(db, "WHERE id > ? ORDER BY id LIMIT ?", (after, limit))

    def last(self) -> int:
        """The id of the last event, 0 if there never was one."""
        with self.use() as db:
            return last_id(db)

    def removed(self) -> int:
        """The id of the last event that retention has removed."""
        with self.use() as db:
            return int(db.execute("SELECT max(through) FROM retention").fetchone()[0])

    def data_version(self) -> int:
        """Another number whenever another process has written."""
        with self.use() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def _synchronous(self, db: sqlite3.Connection, *, durable: bool) -> None:
        wanted = "FULL" if durable else "NORMAL" if self.options.sync != "never" else "OFF"
        if wanted != self._sync:
            db.execute(f"PRAGMA synchronous = {wanted}")
            self._sync = wanted

    # Around a fork

    def before_fork(self, timeout: float = 5.0) -> bool:
        """Close the file and keep it closed; False if it is stuck in a write."""
        if not self.lock.acquire(timeout=timeout):
            return False
        self._close()
        return True

    def after_fork_in_parent(self, held: bool) -> None:
        if held:
            self.lock.release()

    def after_fork_in_child(self, held: bool) -> None:
        """What the child inherits is a closed file, or one that it must never touch."""
        self.lock = threading.RLock()
        if not held:
            _inherited.append(self._db)  # never closed here: that is the parent's to do
            self._db = None
            self._forbidden = "the process was forked while a write to it hung; start this one anew"


_inherited: list[object] = []


def stored(db: sqlite3.Connection, rest: str, values: Sequence[object]) -> list[Stored]:
    """The events that ``SELECT …`` with that `rest` finds."""
    return [Stored(*row) for row in db.execute(SELECT + rest, values)]


def _placed(items: Iterable[Event | Entry], position: int) -> Iterator[tuple[Entry, int]]:
    """The entries among `items`, each with the last event before it, `position` at first."""
    for item in items:
        if isinstance(item, Entry):
            yield item, position
        else:
            position += 1
