"""Taking turns where somebody may come again in the middle of his own.

The garbage collector and signals run foreign code between any two steps of ours, in our own
thread. What that code does may lead back here: a finalizer that makes a guarded call counts it.
With a plain lock it would wait for itself for ever; with a reentrant one it would find things half
done.
"""

from __future__ import annotations

import threading

__all__ = ["Turn"]


class Turn:
    """A lock that tells whoever holds it already, further out on the stack, that he does.

    Example:
        >>> turn = Turn()
        >>> with turn as mine, turn as again:
        ...     print(mine, again)
        True False

    With False nothing may be changed; leave what is to be done where whoever has the turn finds it.

    Threads: any; those of others wait.
    """

    __slots__ = ("_depth", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0  # Invariant: changed under the lock.

    def __enter__(self) -> bool:
        self._lock.acquire()
        self._depth += 1
        return self._depth == 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self._lock.release()

    def enter_at_once(self) -> bool:
        """Enter if nobody is in; leave by `leave`, and only after True."""
        if not self._lock.acquire(blocking=False):
            return False
        if self._depth:
            self._lock.release()
            return False
        self._depth += 1
        return True

    def leave(self) -> None:
        """What ``with`` does at its end."""
        self.__exit__()
