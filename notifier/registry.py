"""The registry actor: takes what happened to the subscriptions that want it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from brama.actors import InlineActor
from brama.circuits import EVENTS, Bells, Event, Publish, Record
from brama.telemetry import publish, traceparent

from .index import Index, Listener
from .journal import Follower, Journal, Tap

__all__ = ["Registry", "keep"]

logger = logging.getLogger("brama.notifier")


class Registry(InlineActor):
    """Looks each event up in the index and queues it to those who match, in order.

    It owns nothing: the index and the subscriptions are the system's, what is under way stands in
    the logs of the breakers until it is marked as published. A new incarnation asks for all that
    is not, and carries on.
    """

    # Each record brings the context of its own cause.
    carries_context = False

    def __init__(
        self, index: Index[Listener], bells: Bells, journal: Journal | None = None
    ) -> None:
        super().__init__()
        self._index = index
        self._bells = bells
        self._journal = journal

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
                    record.events[0] if record.events else "now",
                )
                self._tell_of_gap(record)
            for place, name in enumerate(record.events):
                matched = self._index.match(
                    name, record.connection, record.scope, record.version, record.kind
                )
                if matched:
                    self._queue(record, place, matched)
            record.published = True
        message.done()

    def _tell_of_gap(self, record: Record) -> None:
        """To whoever may miss something: nobody knows any more what it was."""
        gap = record.gap("" if self._journal is None else self._journal.source)
        for listener in _concerned(record, self._index):
            _offer(listener, gap)
        if self._journal is not None:
            self._journal.intake.take_in(record.version)

    def _queue(self, record: Record, place: int, matched: list[Listener]) -> None:
        event_id = record.event_id(place)
        publication = publish(
            record.context,
            event=record.events[place],
            event_id=event_id,
            connection=record.connection,
            scope=record.scope,
            state=record.data.get("new_state"),
            previous=record.data.get("previous_state"),
            fanout=len(matched),
        )
        journal = self._journal
        event = record.event(
            place,
            publication.traceparent or traceparent(record.context),
            "" if journal is None else journal.source,
            event_id,
        )
        left_out = 0
        for subscription in matched:
            try:  # as _offer, without a call for each
                if not subscription.offer(event):
                    left_out += 1
            except Exception:  # noqa: BLE001 - reported
                _report(subscription)
                left_out += 1
        listening = len(matched)
        queued = listening - left_out
        if journal is not None:
            journal.intake.take_in(record.version)
            listening -= sum(isinstance(one, Tap | Follower) for one in matched)
        publication.end(matched=listening, queued=queued)


def _concerned(record: Record, index: Index[Listener]) -> dict[Listener, None]:
    """Whoever may miss something of what is missing before `record`."""
    found: dict[Listener, None] = {}
    for name in EVENTS:
        matched = index.match(name, record.connection, record.scope, record.version, record.kind)
        found.update(dict.fromkeys(matched))
    return found


def _offer(listener: Listener, event: Event) -> bool:
    """Queue it; whether it was. One that is broken must not keep the event from the others."""
    try:
        return listener.offer(event)
    except Exception:  # noqa: BLE001 - reported
        _report(listener)
        return False


def _report(listener: Listener) -> None:
    logger.exception("subscription %s could not take an event", listener.name)


def keep(records: Iterable[Record], index: Index[Listener], journal: Journal) -> None:
    """Queue to the journal what no registry will publish any more, because the system has stopped.

    Handlers do not hear of it, but for the durable ones, when they are there again.
    """
    for record in records:
        if record.published:
            continue
        if record.lost:
            gap = record.gap(journal.source)
            for one in _concerned(record, index):
                if isinstance(one, Tap | Follower):
                    one.offer(gap)
            journal.intake.take_in(record.version)
        for place, name in enumerate(record.events):
            event: Event | None = None
            for one in index.match(
                name, record.connection, record.scope, record.version, record.kind
            ):
                if isinstance(one, Tap | Follower):
                    event = event or record.event(
                        place, traceparent(record.context), journal.source
                    )
                    one.offer(event)
            journal.intake.take_in(record.version)
        record.published = True
