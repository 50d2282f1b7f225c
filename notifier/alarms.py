"""Alarms: events about Brama itself, which handlers get like any other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from brama.circuits import Record, Shared

from .subscription import Subscription

__all__ = ["Alarms", "alarm"]

logger = logging.getLogger("brama.notifier")

SHOWN = 10  # handlers that an alarm names

_numbers = count(1)


def alarm(shared: Shared, fields: Mapping[str, Any]) -> Record:
    """What the registry publishes when a part of Brama fails, or works again.

    Args:
        shared: of the system that it happens in.
        fields: the data of the event `alarm`.
    """
    return Record(
        source=shared.source,
        connection="",
        scope=None,
        kind=None,
        events=("alarm",),
        epoch=0,  # breakers have epochs from 1: no other event has this id
        number=next(_numbers),
        seq=None,
        wall=shared.wall(),
        monotonic=time.monotonic(),
        data=shared.located(fields),
        context=None,
        version=shared.interest.version,
        rules=shared.severities,
    )


class Alarms:
    """What goes wrong with handlers: in the log, and told to the others by an event.

    Args:
        publish: an event `alarm` with these data.

    Threads: any, outside of locks.
    """

    def __init__(self, publish: Callable[[dict[str, Any]], object]) -> None:
        self._publish = publish
        self._overwhelmed: dict[Subscription, float] = {}

    def overwhelmed(self, subscription: Subscription, overwhelmed: bool) -> None:
        """States of connections are lost to it, because there is no journal; or it is over."""
        now = time.monotonic()
        subject, name = f"subscription {subscription.id}", subscription.name
        if overwhelmed:
            self._overwhelmed[subscription] = now
            reason = f"the handler {name} does not keep up: {subscription.queued} events wait"
            logger.error("%s; of further ones the latest state of each connection is kept", reason)
            self._tell(subject, True, reason, 0.0)
            return
        since = self._overwhelmed.pop(subscription, None)
        if since is not None:
            reason = f"the handler {name} has {'ended' if subscription.closed else 'caught up'}"
            logger.warning(reason)
            self._tell(subject, False, reason, now - since)

    def hanging(self, hanging: bool, names: tuple[str, ...], since: float) -> None:
        """Plain handlers wait for a thread because others hang; or none does any more."""
        some = ", ".join(dict.fromkeys(names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
        reason = f"{len(names)} plain handlers hang, and others wait for a thread: {some}"
        if hanging:
            logger.error(reason)
        else:
            logger.warning("no handler waits for a thread any more; these hung: %s", some)
        self._tell("workers", hanging, reason, since)

    def _tell(self, subject: str, failing: bool, reason: str, since: float) -> None:
        status = "failing" if failing else "recovered"
        self._publish(
            {"subject": subject, "status": status, "reason": reason, "since": round(since, 3)}
        )
