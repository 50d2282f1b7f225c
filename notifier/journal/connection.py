"""Opens the SQLite file of a journal: its settings, its version, its soundness."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .entries import Entry, write
from .errors import JournalDamagedError, JournalError, JournalForeignError
from .folder import clear_leftovers
from .schema import APPLICATION_ID, MIGRATIONS, VERSION

if TYPE_CHECKING:
    import sqlite3

# Imported where it is used: a service without a journal does not pay for it.

__all__ = [
    "close",
    "connect",
    "connect_readonly",
    "described",
    "has_trail",
    "last_id",
    "transaction",
]

LEAST = (3, 38, 0)
"""Version of SQLite that has all that the tables need: STRICT, unixepoch()."""

_DAMAGE = ("malformed", "not a database", "file is encrypted")
_HEAD = b"SQLite format 3\0"

_held: dict[sqlite3.Connection, tuple[int, int]] = {}
"""The files that connections of this process have open, by device and inode. Each connection adds
and takes itself, in one step."""


@contextmanager
def described(path: Path) -> Generator[None, None, None]:
    """Turn what SQLite raises into a `JournalError` that says what it is about."""
    import sqlite3

    try:
        yield
    except sqlite3.DatabaseError as error:
        if not any(word in str(error) for word in _DAMAGE):
            raise JournalError(f"the journal {path}: {error}") from error
        if not _was_one(path):
            raise JournalForeignError(
                f"{path} is no SQLite file, and so no journal of Brama; it is left alone: give the "
                "journal another path, or move the file away"
            ) from error
        raise JournalDamagedError(f"the journal {path}: {error}") from error
    except OSError as error:
        raise JournalError(f"the journal {path}: {error}") from error


def _was_one(path: Path) -> bool:
    """Whether the file begins as SQLite's do: only what has been a journal can be a damaged one.

    Zeros count, too: they are what a crash of the machine, or a truncation, leaves of a first page.
    """
    try:
        found = path.stat()
        # POSIX: closing any descriptor of a file gives up all locks of the process on it. So one
        # that a connection holds is not looked at; it was a journal when that was opened.
        if (found.st_dev, found.st_ino) in list(_held.values()):
            return True
        with path.open("rb") as file:
            head = file.read(len(_HEAD))
    except OSError:
        return False
    return _HEAD.startswith(head) or not any(head)


def connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    """A connection to the journal at `path`, which is made if there is none.

    Raises:
        JournalDamagedError: it is an SQLite file, and not a sound one.
        JournalForeignError: something else has made the file, or a later release.
        JournalError: it cannot be opened now.
    """
    import sqlite3

    if sqlite3.sqlite_version_info < LEAST:
        raise JournalError(
            f"a journal needs SQLite {'.'.join(map(str, LEAST))} or newer, "
            f"and this Python has {sqlite3.sqlite_version}"
        )
    with described(path):
        clear_leftovers(path)
        db = _opened(path, busy_timeout)
        try:
            _prepare(db, path)
        except BaseException:
            close(db)
            raise
        return db


def connect_readonly(path: Path, busy_timeout: float = 5.0) -> sqlite3.Connection:
    """A connection that changes nothing, to a journal that must be there.

    Raises:
        JournalError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise JournalError(f"there is no journal at {path}")
    with described(path):
        # Not mode=ro: a reader of a file in WAL mode has to write into the shared memory.
        try:
            return _read(path, busy_timeout)
        except JournalError:
            raise
        except Exception as error:
            if not _at_rest(path, error):
                raise
            return _read(path, busy_timeout, immutable=True)


def _read(path: Path, busy_timeout: float, *, immutable: bool = False) -> sqlite3.Connection:
    db = _opened(path, busy_timeout, immutable=immutable)
    try:
        db.execute("PRAGMA query_only = ON")
        _identify(db, path)
    except BaseException:
        close(db)
        raise
    return db


def _at_rest(path: Path, error: Exception) -> bool:
    """Whether it is only that we may not write there, and nobody else writes now, either.

    Whoever writes has a WAL beside the file; the last one to close it takes that along.
    """
    import sqlite3

    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) and not any(
        path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal")
    )


def _opened(path: Path, busy_timeout: float, *, immutable: bool = False) -> sqlite3.Connection:
    import sqlite3

    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?immutable=1" if immutable else path,
        timeout=busy_timeout,
        isolation_level=None,
        check_same_thread=False,
        uri=immutable,
    )
    found = path.stat()
    _held[db] = found.st_dev, found.st_ino
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if db.execute("SELECT 1 FROM sqlite_schema").fetchone():
        _identify(db, path)  # before anything in it is changed
    else:
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes hold in an empty file only
    # Before anything is locked: changing the mode needs the file to itself, once.
    if db.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise JournalError(f"the journal {path}: its file system does not allow SQLite's WAL mode")
    db.execute("PRAGMA journal_size_limit = 67108864")
    if version != VERSION:
        _migrate(db, path)
    _identify(db, path)


def _identify(db: sqlite3.Connection, path: Path) -> None:
    id = db.execute("PRAGMA application_id").fetchone()[0]
    if id == 0 and not db.execute("SELECT 1 FROM sqlite_schema").fetchone():
        raise JournalError(f"{path} is empty: no journal was begun there yet")
    if id != APPLICATION_ID:
        raise JournalForeignError(f"{path} is an SQLite file and not a journal of Brama")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalForeignError(
            f"the journal {path} has version {version}, and this release knows {VERSION}; "
            "a later release of Brama has made it"
        )


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    with transaction(db):
        # Under the lock, because another process may have been faster.
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            raise JournalForeignError(f"{path} is an SQLite file and not a journal of Brama")
        for number in range(version, VERSION):
            for statement in _statements(MIGRATIONS[number]):
                db.execute(statement)
        if version < VERSION:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {VERSION}")
            made = Entry(
                entry="schema_migrated",
                at=time.time_ns() // 1000,
                process=os.getpid(),
                data={"old": version, "new": VERSION},
            )
            write(db, None, [(made, last_id(db))])


def has_trail(db: sqlite3.Connection) -> bool:
    """Whether the file has an audit trail; one that only an earlier release has written has not."""
    return db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'trail'").fetchone() is not None


def last_id(db: sqlite3.Connection, table: str = "events") -> int:
    """The id of the last row that ever was, 0 if there never was one."""
    # Not max(id): the numbers go on when retention has removed all.
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])


def _statements(script: str) -> Iterator[str]:
    import sqlite3

    # executescript() would commit what is under way.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None, None, None]:
    """A write transaction: the whole of it, or nothing."""
    import sqlite3

    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # What broke may have ended the transaction already, a full disk for one.
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error:
                pass
        raise


def close(db: sqlite3.Connection) -> None:
    """Close `db`, whatever state its file is in."""
    import sqlite3

    try:
        db.close()
    except sqlite3.Error:
        pass
    finally:
        _held.pop(db, None)
