"""What has changed of late among the circuits of one system, and which are not closed.

Whoever watches very many circuits need not look at those of which there is nothing to say. A change
costs the circuit one step: it is left in a bounded tray, and numbered by whoever looks next. While
nobody looks the oldest are lost, which the next look finds out; it then asks all circuits.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .options import Key
from .state import State

__all__ = ["CAME", "LIMIT", "MOVED", "WENT", "Feed", "Numbered", "Tray"]

LIMIT: Final = 4096
"""Changes that are remembered, of all circuits together."""

MOVED, CAME, WENT = range(3)

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


class Feed:
    """The last changes, numbered without gap, and the circuits that are not closed.

    Args:
        tray: the present tray of the system; in the child of a fork it is another one.
        scan: asks all circuits: those that are not closed.

    Threads: any.
    """

    def __init__(self, tray: Callable[[], Tray], scan: Callable[[], dict[Key, State]]) -> None:
        self._tray = tray
        self._scan = scan
        # Not from 0: whoever comes back with the number of an earlier process must be told so.
        self._version = time.time_ns() // 1000
        self._members = 0
        self._astray: dict[Key, State] = {}
        self._entries: deque[Numbered] = deque(maxlen=LIMIT)
        # Invariant: everything above is touched under it, and it is held while all are asked.
        self._lock = threading.Lock()

    def look(self) -> tuple[int, int, list[Key]]:
        """The number of the last change, how often a circuit has come or gone, and which are not
        closed."""
        with self._lock:
            self._take_over()
            return self._version, self._members, list(self._astray)

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
        """Empty the tray, and ask all circuits if something of it was lost."""
        entries = self._tray().entries
        taken: list[Entry] = []
        while True:
            try:
                taken.append(entries.popleft())
            except IndexError:
                # Left in front: what has come meanwhile stands behind it.
                entries.appendleft(MARK)
                break
        whole = bool(taken) and taken[0] is MARK
        if not whole:
            self._version += 1  # which nobody has seen, so that all that is older is too old
            self._members += 1
            self._entries.clear()
        self._number(taken[1:] if whole else taken)
        if not whole:
            self._astray = self._scan()

    def _number(self, taken: list[Entry]) -> None:
        for entry in taken:
            kind, key, _, state, _, _ = entry
            self._version += 1
            self._entries.append((self._version, entry))
            self._members += kind != MOVED
            if kind == WENT or state is State.CLOSED:
                self._astray.pop(key, None)
            else:
                self._astray[key] = state

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it."""
        self._lock = threading.Lock()
