"""Which processes are alive: a lock that the operating system gives back when its holder dies.

A lease that expires by the clock would have a process that starts again wait for its own former
self. A lock on a file has not: it is gone at the very instant at which the process is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

__all__ = ["Owner", "alive"]

_CLOEXEC = getattr(os, "O_CLOEXEC", 0)  # Windows has none, and hands nothing on

try:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

except ImportError:  # pragma: no cover - Windows
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(  # type: ignore[attr-defined]  # of Windows only
            descriptor,
            msvcrt.LK_NBLCK,  # type: ignore[attr-defined]  # as above
            1,
        )


def _file(journal: Path, id: str) -> Path:
    return journal.with_name(f"{journal.name}-owner-{id}")


class Owner:
    """This process, or one of several systems in it, as the owner of places in a journal.

    Attributes:
        id: unique for all times.
    """

    def __init__(self, journal: Path) -> None:
        self.id = uuid4().hex[:12]
        self._path = _file(journal, self.id)
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Be alive, for others to see. Idempotent.

        Raises:
            OSError: the folder cannot be written.
        """
        if self._descriptor is not None and self._path.exists():
            return
        self._close()
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | _CLOEXEC, 0o644)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Be no owner any more. Idempotent."""
        if self._descriptor is not None:
            self._close()
            with suppress(OSError):
                self._path.unlink()

    def after_fork(self) -> None:
        """In the child: the lock is the parent's, and holds for as long as it lives."""
        self._close()

    def _close(self) -> None:
        # Closing a copy of the descriptor gives up nothing; unlocking would, for the parent, too.
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        self._close()


def alive(journal: Path, id: str | None) -> bool:
    """Whether the owner with this id still lives; what it leaves behind is tidied away."""
    if id is None:
        return False
    path = _file(journal, id)
    try:
        descriptor = os.open(path, os.O_RDWR | _CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it cannot be told: rather wait for one that is dead
    try:
        _lock(descriptor)
    except OSError:
        return True
    else:
        with suppress(OSError):
            path.unlink()
        return False
    finally:
        os.close(descriptor)
