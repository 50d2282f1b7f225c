"""The registry actor: takes what happened to the subscriptions that want it."""

from __future__ import annotations

import logging
from typing import Any

from brama.actors import InlineActor
from brama.circuits import Bells, Publish, Record
from brama.telemetry import publish, traceparent

from .index import Index
from .subscription import Subscription

__all__ = ["Registry"]

logger = logging.getLogger("brama.notifier")


class Registry(InlineActor):
    """Looks each event up in the index and queues it to those who match, in order.

    It owns nothing: the index and the subscriptions are the system's, what is under way stands in
    the logs of the breakers until it is marked as published. A new incarnation asks for all that
    is not, and carries on.
    """

    def __init__(self, index: Index[Subscription], bells: Bells) -> None:
        super().__init__()
        self._index = index
        self._bells = bells

    def on_start(self) -> None:
        self._bells.resend()

    def on_receive(self, message: Any) -> Any:
        if type(message) is Publish:
            return self._publish(message)
        return super().on_receive(message)

    def _publish(self, message: Publish) -> None:
        for record in message.records:
            if record.published:  # a predecessor was faster
                continue
            if record.lost:
                logger.warning(
                    "the log of connection %r was full: %d events before %s were dropped",
                    record.connection,
                    record.lost,
                    record.events[0],
                )
            for place, name in enumerate(record.events):
                matched = self._index.match(name, record.connection, record.scope, record.version)
                if matched:
                    _queue(record, place, matched)
            record.published = True
        message.done()


def _queue(record: Record, place: int, matched: list[Subscription]) -> None:
    event_id = record.event_id(place)
    publication = publish(
        record.context,
        event=record.events[place],
        event_id=event_id,
        connection=record.connection,
        scope=record.scope,
        state=record.data.get("new_state"),
    )
    event = record.event(place, publication.traceparent or traceparent(record.context))
    queued = 0
    for subscription in matched:
        try:
            queued += subscription.offer(event)
        except Exception:
            # One that is broken must not keep the event from the others.
            logger.exception("subscription %s could not take an event", subscription.name)
    publication.end(matched=len(matched), queued=queued)
