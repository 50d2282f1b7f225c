"""What has changed of late among the circuits of one system.

Whoever watches very many circuits need not look at those of which there is nothing to say. A change
costs the circuit one step: it is left in a bounded tray, and numbered by whoever looks next. While
nobody looks the oldest are lost, which the next look finds out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .options import Key
from .state import State

__all__ = ["CAME", "LIMIT", "MOVED", "TIMED", "WENT", "Feed", "Numbered", "Tray"]

LIMIT: Final = 4096
"""Changes that are remembered, of all circuits together."""

MOVED, CAME, WENT, TIMED = range(4)
"""Into another state; registered; unregistered; open as before, until another time."""

COUNTED = (CAME, WENT)

Entry = tuple[int, Key, State, State, str | None, float]
"""Kind, scope and name, the state before and after, why, POSIX time. A plain tuple of what is there
already, because it is made in the middle of a transition."""

Numbered = tuple[int, Entry]

MARK: Final[Any] = None


class Tray:
    """Where circuits leave their changes; `leave` takes an `Entry`.

    Threads: any. The entries of one circuit are left under its lock, and so in order.
    """

    __slots__ = ("entries", "leave")

    def __init__(self, limit: int = LIMIT) -> None:
        # Whoever looks leaves a mark behind, the oldest: as long as it is there, nothing was lost.
        self.entries: deque[Entry] = deque(maxlen=limit + 1)
        self.leave: Callable[[Entry], None] = self.entries.append

    def take(self) -> tuple[list[Entry], bool]:
        """The entries that are there now, oldest first, and whether none was lost since the last
        time; for one thread at a time.

        Not until it is empty: with circuits that are faster than this it would never be.
        """
        entries = self.entries
        there = list(entries.copy())  # in one step
        whole = bool(there) and there[0] is MARK
        known = iter(there)
        for entry in known:
            first = entries.popleft()
            if first is not entry:
                # What has come meanwhile has pushed out some of them, which is no loss. If it has
                # pushed out all, then perhaps others, too: this one is lost, and the tray full.
                any(first is other for other in known)
        # In front: what has come meanwhile stands behind it.
        entries.appendleft(MARK)
        if len(entries) == entries.maxlen:
            # It was full again, perhaps before the mark, which has then pushed out the newest. So
            # the mark goes, or what stands in its place, and the next time sees the loss.
            entries.popleft()
        return there[1:] if whole else there, whole


class Feed:
    """The last changes, numbered without gap.

    Args:
        tray: the present tray of the system; in the child of a fork it is another one.

    Threads: any.
    """

    def __init__(self, tray: Callable[[], Tray]) -> None:
        self._tray = tray
        self.after_fork()

    def look(self) -> tuple[int, int]:
        """The number of the last change, and one that is another whenever a circuit has come or
        gone."""
        with self._lock:
            self._take_over()
            return self._version, self._members

    def since(self, version: int) -> tuple[int, list[Numbered] | None]:
        """The number of the last change, and those after `version`, oldest first; None if they are
        not all remembered."""
        with self._lock:
            self._take_over()
            missing = self._version - version
            if missing < 0 or missing > len(self._entries):
                return self._version, None
            return self._version, list(self._entries)[len(self._entries) - missing :]

    def last(self, moves: int) -> list[Numbered]:
        """The last changes of state, newest first."""
        with self._lock:
            self._take_over()
            entries = list(self._entries)
        found: list[Numbered] = []
        for numbered in reversed(entries):
            if len(found) >= moves:
                break
            if numbered[1][0] == MOVED:
                found.append(numbered)
        return found

    def _take_over(self) -> None:
        """Number what is in the tray."""
        taken, whole = self._tray().take()
        if not whole:
            self._version += 1  # which nobody has seen, so that all that is older is too old
            self._members = self._version
            self._entries.clear()
        for entry in taken:
            self._version += 1
            self._entries.append((self._version, entry))
            if entry[0] in COUNTED:
                self._members = self._version

    def after_fork(self) -> None:
        """In the child: begin anew. Whoever held the lock, perhaps with half of the tray in his
        hands, is not there to release it."""
        # Not from 0: whoever comes back with the number of another process must be told so.
        self._version = time.time_ns() // 1000
        self._members = self._version
        self._entries: deque[Numbered] = deque(maxlen=LIMIT)
        # Invariant: everything above is touched under it.
        self._lock = threading.Lock()
