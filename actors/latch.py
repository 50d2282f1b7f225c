"""A flag that is set once and can be waited for: the light stand-in for ``threading.Event``."""

from __future__ import annotations

import threading
from typing import Protocol

__all__ = ["OVER", "Latch", "after_fork", "latch_of", "release"]

# Invariant: guards the creation of every latch and of its event. One lock for all, because almost
# no latch is ever asked for and an idle actor must stay small.
_making = threading.Lock()


def after_fork() -> None:
    """In the child of a fork: no thread of the parent holds the lock any more."""
    global _making
    _making = threading.Lock()


class Latch:
    """What pykka wants of ``actor_stopped``: ``is_set``, ``set``, ``wait``. Never cleared.

    A ``threading.Event`` costs about 600 bytes; this costs 48 until somebody waits, and nothing
    before somebody asks for it, see `latch_of`.

    Threads: every method may be called from any thread.
    """

    __slots__ = ("_event", "_set")

    def __init__(self) -> None:
        self._set = False
        self._event: threading.Event | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        # The flag before the event: a waiter that makes its event afterwards looks at the flag
        # again.
        self._set = True
        event = self._event
        if event is not None:
            event.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Block the thread until set, at most ``timeout`` seconds; returns whether it is set."""
        if not self._set:
            with _making:
                if self._event is None:
                    self._event = threading.Event()
            if not self._set:
                self._event.wait(timeout)
        return self._set


class Latched(Protocol):
    """Whoever is over one day, and has a latch once somebody asked for it."""

    _latch: Latch | None


OVER = Latch()
"""The latch of all whose own nobody had asked for when they ended."""
OVER.set()


def latch_of(owner: Latched) -> Latch:
    """The latch of `owner`, the same one at every call while it lives. Any thread."""
    latch = owner._latch
    if latch is None:
        with _making:
            latch = owner._latch
            if latch is None:
                latch = owner._latch = Latch()
    return latch


def release(owner: Latched) -> None:
    """Set the latch of `owner`, for good. Any thread."""
    with _making:
        if owner._latch is None:
            owner._latch = OVER
    owner._latch.set()
