"""The numbers of critical events, followed connection by connection; pure."""

from __future__ import annotations

import attrs

from brama.circuits import Event

__all__ = ["Numbers", "Step"]

Key = tuple[str, str | None, str]


@attrs.frozen
class Step:
    """What the number of an event says.

    Attributes:
        behind: it is not beyond the last one: the event came out of sequence, or again.
        missing: how many numbers lie between it and the last one.
        first: nothing of its connection was seen before.
    """

    behind: bool = False
    missing: int = 0
    first: bool = False


NEXT = Step()


class Numbers:
    """Remembers the last number of each source, scope and connection.

    In a new epoch numbers begin with one, or go on from the last of the epoch before.
    """

    def __init__(self) -> None:
        self._last: dict[Key, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def follow(self, event: Event) -> Step:
        """Look at the number of the next event; one without a number is always in sequence."""
        if event.seq is None:
            return NEXT
        key = (event.source, event.scope, event.connection)
        last = self._last.get(key)
        if last is not None and (event.epoch, event.seq) <= last:
            return Step(behind=True)
        self._last[key] = (event.epoch, event.seq)
        if last is None:
            return Step(missing=event.seq - 1, first=True)
        epoch, number = last
        # An epoch that begins anew has nothing to do with the numbers before it.
        before = 0 if event.epoch > epoch and event.seq <= number else number
        return Step(missing=event.seq - before - 1)
