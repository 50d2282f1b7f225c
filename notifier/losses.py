"""What is announced of events that reach no handler: on the hook bus of `brama.telemetry`."""

from __future__ import annotations

import logging
import time
from typing import Literal

from brama.telemetry import attached, execute, hook_names

__all__ = ["Loss", "announce_loss", "announce_quarantine"]

Loss = Literal["overflow", "handler_failed", "quarantined", "ended"]
"""Why: the backlog was full, the handler failed over it for good, its subscription was
quarantined while it waited, or whoever was to get it is gone."""

logger = logging.getLogger("brama.notifier")


def announce_loss(
    subscription: str, reason: Loss, event: str | None = None, *, count: int = 1
) -> None:
    """So many events were lost to `subscription`. Never raises.

    Threads: any, outside of locks: listeners are users' code.
    """
    _announce(
        hook_names.EVENT_DROPPED,
        {"system_time": time.time(), "count": count},
        {"event": event, "subscription": subscription, "reason": reason},
    )


def announce_quarantine(subscription: str) -> None:
    """`subscription` gets nothing any more."""
    _announce(
        hook_names.SUBSCRIPTION_QUARANTINED,
        {"system_time": time.time()},
        {"subscription": subscription, "reason": "its handler failed too often"},
    )


def _announce(event: str, measurements: dict[str, float], metadata: dict[str, str | None]) -> None:
    if not attached(event):
        return
    try:
        execute(event, measurements, metadata)
    except BaseException:
        # A signal's exception passes through the bus; the registry and its loop must go on.
        logger.exception("a listener of %s raised", event)
