"""How a deliverer waits for more to come, before it delivers what fills no batch."""

from __future__ import annotations

from typing import Any, Protocol

from .subscription import Subscription

__all__ = ["FLUSH", "Flush", "lingers"]


class Flush:
    """To a deliverer: what waits has waited long enough."""


FLUSH = Flush()


class Timed(Protocol):
    """An actor that can send itself something later."""

    def after(self, seconds: float, message: Any, *, key: Any = None) -> Any: ...


def lingers(actor: Timed, subscription: Subscription, message: object) -> bool:
    """Whether there is nothing to do but to wait; then the actor has been set an alarm clock.

    Args:
        actor: delivers.
        subscription: what it delivers from.
        message: what it was told; `FLUSH` ends the waiting.
    """
    if message is FLUSH:
        subscription.flush()
    wait = subscription.lingers
    if wait is None:
        return False
    if subscription.waits and subscription.timed is not actor:
        # Set once: a further event must not put it off. By each actor, because it ends with it.
        subscription.timed = actor
        actor.after(wait, FLUSH, key=FLUSH)
    return True
