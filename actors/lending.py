"""Threads that do an actor's work while it waits for them."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["lend", "lender"]

# The inbox of the actor that waits for the thread, by that thread's ident. Each thread adds and
# takes itself, in one step.
_lent: dict[int, Any] = {}


@contextmanager
def lend(ref: Any) -> Generator[None, None, None]:
    """The caller's thread does the work of the actor behind `ref`, which waits for it meanwhile.

    So a request that it makes of that very actor is refused, as from one of its hooks: the reply
    could never come.
    """
    ident = threading.get_ident()
    _lent[ident] = ref.actor_inbox
    try:
        yield
    finally:
        _lent.pop(ident, None)


def lender() -> Any:
    """The inbox of the actor whose work the caller's thread does; None is nobody's."""
    return _lent.get(threading.get_ident())
