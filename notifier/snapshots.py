"""The beginning of a subscription that asks for the state of what is there already."""

from __future__ import annotations

from collections.abc import Iterable

from brama.circuits import Event

__all__ = ["Snapshots"]


class Snapshots:
    """What happened before a snapshot was taken, and comes after it, is in the snapshot.

    The subscription is in the index before the first snapshot is taken, so that nothing is missed.
    What arrives until the last is taken is held back, and of each connection what its snapshot
    tells of is left out, whenever it comes.

    Threads: under the lock of the subscription.
    """

    def __init__(self) -> None:
        self._held: list[Event] | None = []
        self._taken: dict[tuple[str | None, str], tuple[int, int]] = {}

    def begin(self, snapshots: Iterable[Event]) -> list[Event]:
        """All snapshots are taken; what the subscription begins with."""
        begun: list[Event] = []
        for one in snapshots:
            begun.append(one)
            self._taken[one.scope, one.connection] = one.epoch, _number(one) or 0
        held, self._held = self._held or [], None
        return begun + [event for event in held if not self.leaves_out(event)]

    def leaves_out(self, event: Event) -> bool:
        """Whether `event` is not to be queued: not yet, or because a snapshot tells of it."""
        if self._held is not None:
            self._held.append(event)
            return True
        key = event.scope, event.connection
        taken = self._taken.get(key)
        number = _number(event)
        if taken is None or number is None:
            return False
        if (event.epoch, number) <= taken:
            return True
        del self._taken[key]  # in the order of the connection, so all others are later
        return False

    @property
    def done(self) -> bool:
        """Whether nothing can come any more that is to be left out."""
        return self._held is None and not self._taken


def _number(event: Event) -> int | None:
    """The event's number in its epoch; None for one that stands between two numbers."""
    last = event.event_id.removesuffix("-snapshot").rpartition("-")[2]
    return int(last) if last.isdecimal() else None
