"""Whether a system is well: the faults it remembers, and how its stop went."""

from __future__ import annotations

import threading
import time
from typing import Literal

from attrs import frozen

from .cell import Cell
from .ending import leftover

__all__ = ["Faults", "Health", "StopReport"]

# How long a loss of the tree or the loop keeps the health degraded, in seconds.
_MEMORY = 60.0

# Losses that are remembered by their text.
_LOSSES = 8


@frozen
class Health:
    """Whether a system is well: ``ok`` or ``degraded``, with the reasons, or not at work.

    That is ``idle`` before its first start, for which nothing was needed so far, and ``stopped``
    after a stop.
    """

    status: Literal["ok", "degraded", "idle", "stopped"]
    reasons: tuple[str, ...] = ()
    dead_letters: int = 0
    tree_restarts: int = 0
    """How often the whole tree had to be started again, by exhaustion or because the loop died."""
    quarantined: int = 0
    """Children that are set aside at this moment."""
    unstoppable: int = 0
    """Threads and tasks that had to be left behind since the system was made."""


@frozen
class StopReport:
    """How a stop went."""

    complete: bool
    """True when everything has ended."""
    killed: tuple[str, ...] = ()
    """Actors that did not end in good order within the time."""
    unstoppable: tuple[str, ...] = ()
    """Threads and tasks that go on after all."""
    elapsed: float = 0.0


class Faults:
    """What is wrong with one system.

    Threads: any.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # Invariant: guards all below
        self._losses: list[tuple[float, str]] = []
        # What lasts until it is taken back: by a key, usually the child it is about.
        self._lasting: dict[object, str] = {}
        # What goes on although it was killed; looked at again each time that somebody asks.
        self._leftovers: dict[Cell, str] = {}
        self.losses = 0
        self.unstoppable = 0

    def lost(self, why: str) -> None:
        """The tree or the loop is gone; remembered for a minute."""
        with self._lock:
            self.losses += 1
            self._losses = [*self._losses[1 - _LOSSES :], (time.monotonic(), why)]

    def report(self, key: object, text: str) -> None:
        """Something is wrong until `forget` is called with the same key."""
        with self._lock:
            self._lasting[key] = text

    def forget(self, key: object) -> None:
        with self._lock:
            self._lasting.pop(key, None)

    def left_behind(self, cell: Cell, who: str) -> None:
        """A thread or a task could not be stopped."""
        with self._lock:
            # Of those that have ended by now, none is kept until somebody asks.
            self._leftovers = {one: it for one, it in self._leftovers.items() if leftover(one)}
            if cell not in self._leftovers:
                self.unstoppable += 1
            self._leftovers[cell] = who

    @property
    def lasting(self) -> int:
        return len(self._lasting)

    def leftovers(self) -> tuple[str, ...]:
        """The threads and tasks that go on at this moment although they were killed."""
        with self._lock:
            return tuple(who for cell, who in self._leftovers.items() if leftover(cell))

    def reasons(self) -> tuple[str, ...]:
        """What is wrong at this moment, in words."""
        oldest = time.monotonic() - _MEMORY
        with self._lock:
            # One that has come to its end after all is no fault any more.
            for cell in [cell for cell in self._leftovers if leftover(cell) is None]:
                del self._leftovers[cell]
            return (
                *(text for at, text in self._losses if at >= oldest),
                *self._lasting.values(),
                *(f"cannot be stopped: {who}" for who in self._leftovers.values()),
            )
