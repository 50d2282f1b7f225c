"""Where the file of a journal stands on the disk, and whether it is still the same one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from .schema import APPLICATION_ID

__all__ = ["Place", "look_at", "place_of", "save_log"]


class Place(NamedTuple):
    """What the folder says of a file.

    Attributes:
        device, inode: which it is.
        size, changed: of another value after a checkpoint, or when somebody else has written.
    """

    device: int
    inode: int
    size: int
    changed: int

    def same(self, other: Place | None) -> bool:
        """Whether it is that very file, whatever is in it."""
        return other is not None and (self.device, self.inode) == (other.device, other.inode)


def place_of(path: Path) -> Place | None:
    """Where the file at `path` stands; None if there is none, or nothing in it."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path's own stat costs three times as much
    except FileNotFoundError:
        return None
    # One that was cut to nothing is as gone as one that was deleted; SQLite would go on for hours
    # with what it remembers of it.
    if not found.st_size:
        return None
    return Place(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def save_log(path: Path) -> None:
    """Keep what SQLite's log of the file at `path` holds beside it, and empty the log.

    The last connection that is closed copies the log into the file, whatever that is by now. An
    empty log makes it give up. The name is that of a damaged file's, but of no file that is there.

    Raises:
        OSError: the folder cannot be written.
    """
    log = path.with_name(f"{path.name}-wal")
    try:
        if not log.stat().st_size:
            return  # another process was faster
        shutil.copyfile(log, path.with_name(f"{path.name}.damaged-{int(time.time() * 1000)}-log"))
        os.truncate(log, 0)
    except FileNotFoundError:
        return


def look_at(path: Path, seen: int) -> tuple[str, int]:
    """Look into the file itself, past SQLite's log and all that its connections remember.

    Somebody may have copied another file over it, in place. SQLite would not notice, and mix the
    two at its next checkpoint. By SQLite all the same: a descriptor of our own would give up its
    locks when closed.

    Args:
        path: of the file.
        seen: the number that this function has returned for the same file before, 0 at first.

    Returns:
        What is wrong: ``"damaged"``, ``"foreign"``, ``"older"`` (a copy from before), or ``""`` if
        nothing can be said for certain; and a number that never goes back.
    """
    import sqlite3

    db = None
    try:
        db = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True, timeout=0.0)
        id = db.execute("PRAGMA application_id").fetchone()[0]
        if id != APPLICATION_ID:
            # A new journal is empty until its first checkpoint.
            others = id or db.execute("SELECT 1 FROM sqlite_schema").fetchone()
            return ("foreign" if others else ""), seen
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        last = 0 if row is None else int(row[0])
        return ("older" if last < seen else ""), max(last, seen)
    except sqlite3.DatabaseError as error:
        # Anything else may be a checkpoint that is under way.
        return ("damaged" if "not a database" in str(error) else ""), seen
    finally:
        if db is not None:
            db.close()
