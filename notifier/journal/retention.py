"""What a journal may forget: a pure plan, from its rules and a few numbers."""

from __future__ import annotations

import attrs

from .options import JournalOptions

__all__ = ["Extent", "Plan", "plan"]

MINIMUM = 0.01
"""Of the events, removed at once at least, so that a full journal is not swept at every append."""


@attrs.frozen
class Extent:
    """How much a table of a journal holds, the events or the trail.

    Attributes:
        first, last: ids of its first and last row; `first` is last + 1 when it is empty.
        expired: id of the last row that is older than the rules keep, 0 if none.
        bytes: used by the file, free pages within it left out.
    """

    first: int
    last: int
    expired: int
    bytes: int

    @property
    def count(self) -> int:
        """Ids have no gaps, for retention removes from the front only."""
        return self.last - self.first + 1


@attrs.frozen
class Plan:
    """Remove all events up to `through`, because of `reason`."""

    through: int
    reason: str


def plan(options: JournalOptions, extent: Extent) -> Plan | None:
    """What is to be removed now; None is nothing.

    The newest event always stays. Events of equal size are assumed where `max_bytes` asks how many
    must go.
    """
    if extent.count <= 1:
        return None
    found: list[tuple[int, str]] = []
    if extent.expired >= extent.first:
        found.append((extent.expired, "age"))
    margin = max(1, int(extent.count * MINIMUM))
    if options.max_events is not None and extent.count > options.max_events:
        surplus = extent.count - options.max_events
        found.append((extent.first - 1 + max(surplus, min(margin, options.max_events)), "count"))
    if options.max_bytes is not None and extent.bytes > options.max_bytes:
        share = 1 - options.max_bytes / extent.bytes
        found.append((extent.first - 1 + max(int(extent.count * share), margin), "size"))
    if not found:
        return None
    through, reason = max(found)
    return Plan(min(through, extent.last - 1), reason)
