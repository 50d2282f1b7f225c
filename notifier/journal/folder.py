"""The folder of a journal: what SQLite keeps beside the file, and who may move any of it."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["PARTS", "clear_leftovers", "held"]

PARTS = ("-wal", "-shm")
"""Endings of the files that SQLite keeps beside that of a journal."""

PATIENCE = 1.0

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where nobody can delete an open file
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held(folder: Path) -> Generator[None, None, None]:
    """No other process of Brama moves or deletes files of a journal here while the block lasts.

    Raises:
        OSError: the folder is not there, or another process has held it for a second.
    """
    if fcntl is None:  # pragma: no cover - Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        try:
            yield
        finally:
            # Closing alone would not do: a child that was forked meanwhile has a copy.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def clear_leftovers(path: Path) -> None:
    """Delete what SQLite has kept beside a file that was deleted, or cut to nothing.

    A process that has it open still uses and locks all of it; SQLite would take it for a part of
    the new file, which could then not be used for as long as that process lives.

    Raises:
        OSError: the folder cannot be read or written.
    """
    parts = [path.with_name(path.name + suffix) for suffix in PARTS]
    if not any(part.exists() for part in parts):
        return  # the usual case: no process has it open, or nobody ever had
    if not _is_empty(path):
        return
    with held(path.parent):
        # In this order: SQLite writes the file before it makes any of its parts. So those that are
        # there while the file is empty belong to an older one.
        left = [part for part in parts if part.exists()]
        if _is_empty(path):
            for part in (*left, path) if left else ():
                part.unlink(missing_ok=True)


def _is_empty(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True
