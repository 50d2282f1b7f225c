"""What metrics show of a system beyond its circuits: actors, their mailboxes, deliveries."""

from __future__ import annotations

from brama.actors import ActorSystem
from brama.telemetry import metric_names, source

__all__ = ["Figures"]

Counts = dict[tuple[str, ...], float]


class Figures:
    """Reads the figures when metrics are collected, for as long as this lives.

    Threads: any; it stops nothing, so the figures need not be of the same instant.
    """

    def __init__(self, actors: ActorSystem) -> None:
        self._actors = actors
        source(metric_names.ACTORS, self.actors)
        source(metric_names.MAILBOX, self.mailboxes)

    def actors(self) -> Counts:
        """Actors that are alive, by class."""
        found: Counts = {}
        for cell in list(self._actors.cells):
            key = (cell.ref.actor_class.__qualname__,)
            found[key] = found.get(key, 0) + 1
        return found

    def mailboxes(self) -> Counts:
        """Messages that wait, by class."""
        found: Counts = {}
        for cell in list(self._actors.cells):
            key = (cell.ref.actor_class.__qualname__,)
            found[key] = found.get(key, 0) + cell.length
        return found
