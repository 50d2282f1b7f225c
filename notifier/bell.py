"""How whoever delivers from a subscription is told that there is something to deliver."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["BELL", "Bell", "Deliverer"]


class Deliverer(Protocol):
    """Whoever takes events from a subscription, an actor's ref for the most part."""

    def tell(self, message: Any) -> None: ...


class Bell:
    """To a deliverer: the queue of its subscription is no longer empty."""


BELL = Bell()
