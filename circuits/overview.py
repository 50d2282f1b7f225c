"""What a console is told: all circuits at a glance, a page of them, and what has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from brama.telemetry import TelemetryHealth

from .summary import CircuitSummary, Transition
from .sums import CallTotals

__all__ = ["Changes", "Listing", "Overview"]


@attrs.frozen(kw_only=True)
class Overview:
    """All circuits of a system at one instant.

    Attributes:
        taken_at: POSIX time.
        version: number of the last change; what `System.changes` goes on from.
        circuits: how many are registered.
        states: how many are in each state, as the clock says.
        pools: for each pool, how many are in each state that occurs.
        worst: those that are not closed or have failed of late, highest error rate first, of equal
            ones that with more calls.
        recent: the last transitions, newest first.
        totals: the calls of all circuits. Of very many a look adds up a part: None as long as not
            all of them were looked at, and see `CallTotals.as_of`.
        dropped: events that did not reach a subscriber, in this process, by reason.
        telemetry: whether what is exported arrives.
    """

    taken_at: float
    version: int
    circuits: int
    states: Mapping[str, int]
    pools: Mapping[str, Mapping[str, int]]
    worst: tuple[CircuitSummary, ...]
    recent: tuple[Transition, ...]
    totals: CallTotals | None
    dropped: Mapping[str, int]
    telemetry: TelemetryHealth

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "taken_at": self.taken_at,
            "version": self.version,
            "circuits": self.circuits,
            "states": dict(self.states),
            "pools": {pool: dict(states) for pool, states in self.pools.items()},
            "worst": [one.to_dict() for one in self.worst],
            "recent": [one.to_dict() for one in self.recent],
            "totals": None if self.totals is None else attrs.asdict(self.totals),
            "dropped": dict(self.dropped),
            "telemetry": self.telemetry.to_dict(),
        }


@attrs.frozen(kw_only=True)
class Listing:
    """A page of circuits, by name and then by scope, or the worst first.

    Attributes:
        circuits: of this page.
        matching: how many there are on all pages.
        cursor: for the next page; None behind the last one.
        version: see `Overview.version`; changes from there on may not be on the page.
    """

    circuits: tuple[CircuitSummary, ...]
    matching: int
    cursor: str | None
    version: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "circuits": [one.to_dict() for one in self.circuits],
            "matching": self.matching,
            "cursor": self.cursor,
            "version": self.version,
        }


@attrs.frozen(kw_only=True)
class Changes:
    """What has changed since a version.

    Attributes:
        version: to ask for next.
        circuits: those that have changed their state, are to be open for another time, or were
            registered, as they are now.
        removed: the keys (scope and name) of those that are registered no more.
        complete: False if the changes since then are no longer known: list the circuits anew, and
            go on from `version`.
        more: there are further ones; ask again at once.
    """

    version: int
    circuits: tuple[CircuitSummary, ...] = ()
    removed: tuple[tuple[str | None, str], ...] = ()
    complete: bool = True
    more: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "version": self.version,
            "circuits": [one.to_dict() for one in self.circuits],
            "removed": [list(key) for key in self.removed],
            "complete": self.complete,
            "more": self.more,
        }
