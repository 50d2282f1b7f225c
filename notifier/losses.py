"""What is said of events that reach no handler: in the log, and on the hook bus."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Literal

import attrs

from brama.circuits import Event
from brama.telemetry import attached, execute, hook_names, line

__all__ = [
    "Letter",
    "Loss",
    "announce_loss",
    "say_dead",
    "say_disconnected",
    "say_ended",
    "say_failing",
    "say_overflow",
    "say_quarantined",
    "say_spilled",
]

Loss = Literal["overflow", "handler_failed", "quarantined", "ended"]
"""Why: the backlog was full, the handler failed over it for good, its subscription was
quarantined while it waited, or whoever was to get it is gone."""

# All of these are called outside of locks: who listens to a log or to the bus is a user's code.
logger = logging.getLogger("brama.notifier")


@attrs.frozen
class Letter:
    """An event that is given up, or a list of them; `error` is that of its last failure."""

    events: tuple[Event, ...]
    error: BaseException | None
    failures: int


def say_dead(subscription: str, letters: Iterable[Letter]) -> None:
    """These events could not be delivered."""
    for letter in letters:
        first = letter.events[0]
        what = f"{first.event} of connection {first.connection!r}"
        if len(letter.events) > 1:
            what = f"a batch of {len(letter.events)} events from {what} on"
        line(
            logger,
            hook_names.EVENT_DROPPED,
            "error" if any(one.critical for one in letter.events) else "warning",
            _about(subscription, "handler_failed", first.event),
            "dead letter: %s could not be delivered to subscription %s "
            "and is given up after %d failure(s)",
            what,
            subscription,
            letter.failures,
            exc_info=letter.error,
        )
        for one in letter.events:
            announce_loss(subscription, "handler_failed", one.event)


def say_overflow(
    subscription: str, event: str, lost: int, waiting: int, overflow: str, *, first: bool
) -> None:
    """The backlog was full, and `lost` were dropped over `event`; said aloud the first time."""
    if first:
        line(
            logger,
            hook_names.EVENT_DROPPED,
            "warning",
            _about(subscription, "overflow", event),
            "subscription %s does not keep up: %d events are waiting, and some are dropped "
            "(overflow=%r); make its handler faster or subscribe to fewer events",
            subscription,
            waiting,
            overflow,
        )
    announce_loss(subscription, "overflow", event, count=lost)


def say_spilled(subscription: str, waiting: int) -> None:
    """The journal feeds it from now on, so that nothing is lost."""
    logger.warning(
        "subscription %s does not keep up: %d critical events are waiting, and further "
        "ones come to it from the journal",
        subscription,
        waiting,
    )


def say_disconnected(subscription: str, lost: int) -> None:
    """The backlog was full, and its owner wants it to end then."""
    announce_loss(subscription, "overflow", count=lost)
    line(
        logger,
        hook_names.EVENT_DROPPED,
        "warning",
        _about(subscription, "overflow"),
        "subscription %s is disconnected: it does not keep up, and %d events are lost to it",
        subscription,
        lost,
    )


def say_failing(subscription: str, error: BaseException) -> None:
    """Its handler has failed, for the first time in a row; the event comes again."""
    logger.warning(
        "the handler of subscription %s has failed: %r; it gets the event again, and others are "
        "not touched",
        subscription,
        error,
        exc_info=error,
    )


def say_quarantined(subscription: str, lost: int) -> None:
    """Its handler failed too often, and gets nothing any more."""
    about: dict[str, str | None] = {
        "subscription": subscription,
        "reason": "its handler failed too often",
    }
    _announce(hook_names.SUBSCRIPTION_QUARANTINED, {"system_time": time.time()}, about)
    announce_loss(subscription, "quarantined", count=lost)
    line(
        logger,
        hook_names.SUBSCRIPTION_QUARANTINED,
        "critical",
        about,
        "subscription %s is quarantined: its handler failed too often within a minute; "
        "%d events that waited are lost to it. Mend the handler and subscribe again",
        subscription,
        lost,
    )


def say_ended(subscription: str, why: str, lost: int) -> None:
    """Whoever it delivered to is gone."""
    if lost:
        announce_loss(subscription, "ended", count=lost)
        line(
            logger,
            hook_names.EVENT_DROPPED,
            "warning",
            _about(subscription, "ended"),
            "subscription %s has ended: %s; %d events are dead letters",
            subscription,
            why,
            lost,
        )


def announce_loss(
    subscription: str, reason: Loss, event: str | None = None, *, count: int = 1
) -> None:
    """So many events were lost to `subscription`. Never raises.

    Threads: any, outside of locks: listeners are users' code.
    """
    if count:
        _announce(
            hook_names.EVENT_DROPPED,
            {"system_time": time.time(), "count": count},
            _about(subscription, reason, event),
        )


def _about(subscription: str, reason: Loss, event: str | None = None) -> dict[str, str | None]:
    return {"event": event, "subscription": subscription, "reason": reason}


def _announce(event: str, measurements: dict[str, float], metadata: dict[str, str | None]) -> None:
    if not attached(event):
        return
    try:
        execute(event, measurements, metadata)
    except BaseException:
        # A signal's exception passes through the bus; the registry and its loop must go on.
        logger.exception("a listener of %s raised", event)
