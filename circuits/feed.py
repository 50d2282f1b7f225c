"""What has changed of late among the circuits of one system, and which are not closed.

Kept as it happens, at the price of two steps for each change, so that whoever watches very many
circuits need not look at those of which there is nothing to say. Nothing is kept for a circuit that
is closed.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from .options import Key
from .state import State

__all__ = ["CAME", "LIMIT", "MOVED", "WENT", "Entry", "Feed"]

LIMIT: Final = 4096
"""Changes that are remembered, of all circuits together."""

MOVED, CAME, WENT = range(3)

Entry = tuple[int, int, Key, State, State, str | None, float]
"""Number, kind, scope and name, the state before and after, why, POSIX time. A plain tuple, because
it is made in the middle of a transition."""


class Feed:
    """The last changes, numbered without gap, and the circuits that are not closed.

    Attributes:
        version: number of the last change.
        members: how often a circuit has come or gone.
        astray: the registered circuits that are not closed, by scope and name: no circuit is kept
            alive here.

    Threads: any. `moved`, `came` and `went` are called under the lock of the breaker.
    """

    __slots__ = ("_entries", "_lock", "astray", "members", "version")

    def __init__(self, limit: int = LIMIT) -> None:
        # Not from 0: whoever comes back with the number of an earlier process must be told so.
        self.version = time.time_ns() // 1000
        self.members = 0
        self.astray: dict[Key, State] = {}
        self._entries: deque[Entry] = deque(maxlen=limit)
        # Invariant: entries are appended and numbered under it. The last lock that is taken.
        self._lock = threading.Lock()

    def moved(self, whose: Key, previous: State, new: State, reason: str | None, at: float) -> None:
        """A circuit has changed its state."""
        if new is State.CLOSED:
            self.astray.pop(whose, None)
        else:
            self.astray[whose] = new
        with self._lock:
            self.version = number = self.version + 1
            self._entries.append((number, MOVED, whose, previous, new, reason, at))

    def came(self, whose: Key, state: State, at: float) -> None:
        """A circuit is registered."""
        if state is not State.CLOSED:
            self.astray[whose] = state
        with self._lock:
            self.members += 1
            self.version = number = self.version + 1
            self._entries.append((number, CAME, whose, state, state, None, at))

    def went(self, whose: Key, state: State, at: float) -> None:
        """A circuit is registered no more."""
        self.astray.pop(whose, None)
        with self._lock:
            self.members += 1
            self.version = number = self.version + 1
            self._entries.append((number, WENT, whose, state, state, None, at))

    def since(self, version: int) -> list[Entry] | None:
        """The changes after that number, oldest first; None if they are not all remembered."""
        with self._lock:
            missing = self.version - version
            if missing < 0 or missing > len(self._entries):
                return None
            return list(self._entries)[len(self._entries) - missing :]

    def last(self, moves: int) -> list[Entry]:
        """The last changes of state, newest first."""
        with self._lock:
            entries = list(self._entries)
        found: list[Entry] = []
        for entry in reversed(entries):
            if len(found) >= moves:
                break
            if entry[1] == MOVED:
                found.append(entry)
        return found
