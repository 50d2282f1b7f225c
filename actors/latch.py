"""A flag that is set once and can be waited for: the light stand-in for ``threading.Event``."""

from __future__ import annotations

import threading

__all__ = ["Latch", "after_fork"]

# Invariant: guards the creation of every latch's event. One lock for all, because almost no latch
# is ever waited for and an idle actor must stay small.
_making = threading.Lock()


def after_fork() -> None:
    """In the child of a fork: no thread of the parent holds the lock any more."""
    global _making
    _making = threading.Lock()


class Latch:
    """What pykka wants of ``actor_stopped``: ``is_set``, ``set``, ``wait``. Never cleared.

    A ``threading.Event`` costs about 600 bytes; this costs 48 until somebody waits.

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
