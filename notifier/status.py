"""What a subscription says of itself."""

from __future__ import annotations

import attrs

from brama.circuits import ConnectionKind

__all__ = ["SubscriptionStatus"]


@attrs.frozen(kw_only=True)
class SubscriptionStatus:
    """A subscription at one instant: a frozen snapshot.

    Attributes:
        id: unique in its system.
        name: of the handler, for people.
        events, connection, scope, kind: what it asks for; None is any.
        filtered: it has a filter of its own, too.
        durable: the name under which the journal keeps its position, or None.
        state: ``"active"``, ``"closed"``, ``"quarantined"`` (its handler failed too often) or
            ``"disconnected"`` (its backlog was full, and it asked for that).
        queued: events that wait for the handler, with those that it is at work on.
        lag: seconds since the oldest of them happened; 0 when none waits.
        delivered: events that the handler has dealt with.
        failures: how often it has raised.
        dropped: events that it will never see: lost by a full backlog, or given up.
        filter_failures: how often the filter has raised or taken too long.
    """

    id: int
    name: str
    events: tuple[str, ...] | None
    connection: str | None
    scope: str | None
    kind: ConnectionKind | None
    filtered: bool
    durable: str | None
    state: str
    queued: int
    lag: float
    delivered: int
    failures: int
    dropped: int
    filter_failures: int
