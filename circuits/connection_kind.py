"""The kinds of connections: what stands at the other end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from brama.telemetry import ConfigError, unknown, unknown_kinds

__all__ = ["ConnectionKind", "UnknownKinds", "check_kind", "kind_named"]

REMEMBERED = 100


class ConnectionKind(StrEnum):
    """What a connection is, as `brama.circuit` was told; events carry it and are filtered by it."""

    SESSION = "session"
    """The session of a user."""
    DEVICE = "device"
    """The link to a device."""
    SERVICE = "service"
    """A socket to a service."""
    DATABASE = "database"
    """A connection to a database, or a pool of them."""
    OTHER = "other"
    """Anything else, and what nobody has said."""


_BY_TEXT: Mapping[str, ConnectionKind] = {kind.value: kind for kind in ConnectionKind}


def kind_named(text: str) -> ConnectionKind | None:
    """The kind of that name, or None if there is none."""
    return _BY_TEXT.get(text)


def check_kind(value: Any) -> ConnectionKind | None:
    """`value` as a kind to filter by; None is any.

    Raises:
        ConfigError: there is no such kind, so that nothing could match.
    """
    if value is None:
        return None
    found = kind_named(value) if isinstance(value, str) else None
    if found is None:
        raise unknown("kind", value, tuple(ConnectionKind))
    return found


class UnknownKinds:
    """Takes kinds as they are given, and counts those that there are not.

    What a connection is called is no reason to refuse to guard it: an unknown kind is
    `ConnectionKind.OTHER`.

    Threads: under the lock of the catalogue, or where it does not matter that one is missed.

    Attributes:
        counts: how often each unknown text was given; those beyond the first 100 are counted
            together, as ``"…"``.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def read(self, value: Any) -> ConnectionKind | None:
        """`value` as the kind of a connection; None is not told.

        Raises:
            ConfigError: no text, or an empty one.
        """
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise ConfigError("kind", "one of " + ", ".join(ConnectionKind), value)
        found = kind_named(value)
        if found is None:
            known = value in self.counts or len(self.counts) < REMEMBERED
            self.counts[value[:REMEMBERED] if known else "…"] += 1
            unknown_kinds.add()
            found = ConnectionKind.OTHER
        return found
