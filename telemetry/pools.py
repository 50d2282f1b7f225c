"""Pools: the bounded names under which connections appear in metrics."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from .faults import LOGGER
from .forks import renew_after_fork

__all__ = ["OTHER", "Pools", "have_pools", "pool", "reset"]

LIMIT: Final = 200
OTHER: Final = "other"


class Pools:
    """Names for metrics: the first `limit` connections keep theirs, later ones are ``other``.

    A metric has one series per set of attributes, and the SDK stops at 2 000 sets; a hundred
    thousand connections must not be a hundred thousand series. Spans name the connection.

    Example:
        >>> pools = Pools(limit=1)
        >>> pools.name("search"), pools.name("mail"), pools.name("search")
        ('search', 'other', 'search')

    Threads: any.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[str, str] = {}
        self._warned = False
        # Invariant: _known and _warned change under this lock only; membership is read without
        # it, for a name that is in the set never leaves it. Reentrant, for a finalizer may ask in
        # the middle of it: at worst one more name is known.
        self._lock = threading.RLock()
        renew_after_fork(self)

    def name(self, connection: str) -> str:
        """The pool of `connection`; warns once, when the first one has to be ``other``."""
        if connection in self._known:
            return connection
        with self._lock:
            if connection in self._known or len(self._known) < self._limit:
                self._known[connection] = connection
                return connection
            first, self._warned = not self._warned, True
        if first:
            LOGGER.warning(
                "more than %d connections: %r and later ones are counted as pool=%r in metrics",
                self._limit,
                connection,
                OTHER,
            )
        return OTHER

    def have(self, names: Sequence[str]) -> list[bool]:
        """Which of `names` are pools of their own; says nothing of those that are ``other``.

        For very many: of a hundred thousand it takes some 5 ms.
        """
        known = self._known
        if len(known) < self._limit:
            for name in names:
                if len(known) >= self._limit:
                    break
                self.name(name)
        return list(map(known.__contains__, names))

    def after_fork(self) -> None:
        """Whoever held the lock is not there to release it."""
        self._lock = threading.RLock()


_pools = Pools()


def pool(name: str) -> str:
    """The bounded name of connection `name` in metrics: itself, or ``other`` beyond 200.

    Example:
        >>> pool("payment_api")
        'payment_api'

    Threads: any; about 0.1 µs for a known name.
    """
    return _pools.name(name)


def have_pools(names: Sequence[str]) -> list[bool]:
    """Which of these connections are pools of their own; the others are ``other``."""
    return _pools.have(names)


def reset() -> None:
    """Forget every name; for tests."""
    global _pools
    _pools = Pools()
