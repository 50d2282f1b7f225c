"""What must not be forked in the middle: a child has only the thread that forked."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["Held", "hold_around_forks", "renew_in_child"]


class Held(Protocol):
    """Something with locks, which are taken before a fork and given back after it."""

    def _before_fork(self) -> None: ...

    def _after_fork_in_parent(self) -> None: ...

    def _after_fork_in_child(self) -> None: ...


# Invariant: changed in single steps and read as a copy: others come and go while a thread forks.
_held: dict[int, weakref.ref[Held]] = {}
_forking: list[Held] = []  # those whose locks the fork under way holds
_turn = threading.Lock()  # Invariant: held from before a fork to its end, for `_forking` is of one.
_renewals: dict[Callable[[], None], None] = {}
_watches = False


def hold_around_forks(one: Held) -> None:
    """Hold the locks of `one` around every fork, for as long as it lives."""
    id_ = id(one)
    _held[id_] = weakref.ref(one, lambda _: _held.pop(id_, None))
    _watch()


def renew_in_child(renew: Callable[[], None]) -> None:
    """Call `renew` in every forked child, before what is held there is let go. Idempotent."""
    _renewals[renew] = None
    _watch()


def _watch() -> None:
    """Not before somebody has a lock to hold: the import leaves no trace in the process."""
    global _watches
    if not _watches and hasattr(os, "register_at_fork"):
        _watches = True
        os.register_at_fork(
            before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
        )


def _before() -> None:
    _turn.acquire()
    _forking.extend(one for ref in tuple(_held.values()) if (one := ref()) is not None)
    for one in _forking:
        one._before_fork()


def _after_in_parent() -> None:
    for one in _forking:
        one._after_fork_in_parent()
    _forking.clear()
    _turn.release()


def _after_in_child() -> None:
    for renew in _renewals:
        renew()
    for one in _forking:
        one._after_fork_in_child()
    _forking.clear()
    _turn.release()
