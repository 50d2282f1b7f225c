"""The plain view: one line for each thing that happens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from .handlers import Delivery
from .stage import Stage

__all__ = ["Lines"]


class Lines:
    """Prints what happens as it happens; for pipes, logs and terminals that cannot be repainted."""

    def __init__(self, stage: Stage, out: TextIO) -> None:
        self._stage = stage
        self._out = out
        self._shown = 0

    def open(self) -> None:
        where = ", ".join(f"{one.name} on port {one.port}" for one in self._stage.upstreams)
        self._line("upstreams", where)
        self._line("spans", f"go to {self._stage.collector.where}")

    def update(self, happened: Sequence[str]) -> None:
        """Show what has happened since the last time, `happened` being the script's part."""
        for text in happened:
            self._line("script", text)
        for delivery in self._stage.handlers.tail.since(self._shown):
            self._shown += 1
            # The ledger hears all that the others hear: only what is special about it is shown.
            if delivery.subscriber != "Ledger" or delivery.outcome or delivery.event.redelivered:
                self._line(
                    delivery.subscriber, described(delivery), delivery.at - self._stage.began
                )

    def close(self) -> None:
        self.update(())
        written = len(self._stage.handlers.book.entries)
        self._line("Ledger", f"{written} critical events written")

    def _line(self, who: str, what: str, at: float | None = None) -> None:
        at = self._stage.elapsed if at is None else at
        print(f"{at:6.1f} s  {who:<10} {what}", file=self._out, flush=True)


def described(delivery: Delivery) -> str:
    """A delivery in a few words."""
    event = delivery.event
    words = f"{event.connection:<9} {event.event:<19} seq {event.seq}"
    if event.event == "state_change":
        words += f"  {event.data['previous_state']} → {event.data['new_state']}"
        if event.data["reason"]:
            words += f", {event.data['reason']}"
    if event.redelivered:
        words += "  redelivered"
    if delivery.outcome:
        words += f"  {delivery.outcome}"
    return words
