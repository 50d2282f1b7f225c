"""Orders: what somebody has told a circuit or the system to do, and on whose behalf."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs

from .options import check_name

__all__ = ["Order", "Ordered", "acting_as", "acting_person"]

_person: ContextVar[str | None] = ContextVar("brama_acting_person", default=None)


@attrs.frozen(kw_only=True)
class Order:
    """Something that was ordered, for whoever keeps a record of it.

    Attributes:
        order: the name of the method that was called.
        connection, scope: of the circuit or group; None for the whole system.
        reason: as it was given.
        by: on whose behalf.
        options: whatever else was given.
    """

    order: str
    connection: str | None = None
    scope: str | None = None
    reason: str | None = None
    by: str | None = attrs.field(factory=_person.get)
    options: Mapping[str, Any] = attrs.field(factory=dict, hash=False)


Ordered = Callable[[Order], object]
"""Told of every order before it takes effect. It must neither wait nor raise."""


@contextmanager
def acting_as(person: str) -> Generator[None, None, None]:
    """What is ordered, configured and subscribed inside is on behalf of `person`, says the trail.

    Example:
        >>> with brama.acting_as("ana"):
        ...     payments.force_open("deploy 118")

    Args:
        person: a name, 1 to 255 printable characters.

    Raises:
        ConfigError: no such name.

    Threads: it holds for this task, or thread, and those that it starts with its context, as
        asyncio's and trio's are.
    """
    token = _person.set(check_name("person", person))
    try:
        yield
    finally:
        _person.reset(token)


def acting_person() -> str | None:
    """On whose behalf the caller acts, if somebody has said so."""
    return _person.get()
