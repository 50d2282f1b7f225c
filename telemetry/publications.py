"""Publications: one event on its way to those who subscribed to it."""

from __future__ import annotations

import time
from typing import Final

from . import hook_names, metrics, names
from .context import Trace, traceparent
from .enrichers import adorn
from .faults import swallow
from .foreign import AttributeValue, Context, Span
from .hooks import attached, execute
from .providers import tracer

__all__ = ["Publication", "publish"]


class Publication:
    """One event on its way to its subscribers: what `publish` began and `end` finishes.

    Attributes:
        context: holds the ``publish`` span; None when nobody is tracing.
        traceparent: the same as W3C text, for the event's `trace` field.

    Threads: `end` from any, once; later calls do nothing.
    """

    __slots__ = ("_metadata", "_span", "context", "traceparent")

    context: Context | None
    traceparent: str | None

    def __init__(
        self,
        span: Span | None = None,
        context: Context | None = None,
        traceparent: str | None = None,
        metadata: dict[str, str | None] | None = None,
    ) -> None:
        self._span = span
        self._metadata = metadata
        self.context = context
        self.traceparent = traceparent

    def end(self, matched: int, queued: int) -> None:
        """The event matched so many subscriptions, and so many mailboxes took it."""
        span, self._span = self._span, None
        metadata, self._metadata = self._metadata, None
        if metadata is not None:
            execute(
                hook_names.EVENT_PUBLISHED,
                {"system_time": time.time(), "matched": matched, "queued": queued},
                metadata,
            )
        if span is None:
            return
        try:
            span.set_attributes({names.MATCHED: matched, names.QUEUED: queued})
            span.end()
        except Exception as error:  # noqa: BLE001 - dispatch must not fail for its span
            swallow("ending a publish span", error)


class _Untraced(Publication):
    """Of a publication that nobody looks at; one for all."""

    __slots__ = ()

    def end(self, matched: int, queued: int) -> None:
        pass


_UNTRACED: Final = _Untraced()


def publish(
    parent: Context | None,
    *,
    event: str,
    event_id: str,
    connection: str,
    scope: str | None,
    state: str | None = None,
    previous: str | None = None,
    fanout: int = 1,
) -> Publication:
    """Count an event and begin its span, ``publish {event}``, a PRODUCER.

    Args:
        parent: the context of its cause: what `transition()` returned for a state change, what
            `capture()` returned for anything else. None makes no span.
        event: the event's name.
        event_id: its id.
        connection: the circuit's name.
        scope: the circuit's scope, None for the default one.
        state, previous: the state it tells of and the one before, if any; samplers in a collector
            can go by them.
        fanout: how many subscriptions it matched. It goes along with `Publication.traceparent`.

    Returns:
        The publication, to be ended after dispatch: ``publication.end(matched=3, queued=3)``.

    Failure: none; a fault of telemetry is logged.
    Threads: any.
    """
    metadata: dict[str, str | None] | None = None
    try:
        metrics.published.add(event)
        metrics.register()
        heard = attached(hook_names.EVENT_PUBLISHED)
        if parent is None and not heard:
            return _UNTRACED
        about = {"event": event, "event_id": event_id, "connection": connection, "scope": scope}
        if heard:
            metadata = about
        if parent is None or (spans := tracer(names.NOTIFICATION)) is None:
            return _UNTRACED if metadata is None else Publication(metadata=metadata)
        from opentelemetry.trace import SpanKind, set_span_in_context

        attributes: dict[str, AttributeValue] = {
            names.EVENT: event,
            names.EVENT_ID: event_id,
            names.CIRCUIT_NAME: connection,
        }
        if scope is not None:
            attributes[names.CIRCUIT_SCOPE] = scope
        if state is not None:
            attributes[names.STATE] = str(state)
        if previous is not None:
            attributes[names.STATE_FROM] = str(previous)
        adorn(attributes, hook_names.EVENT_PUBLISHED, about)
        span = spans.start_span(
            names.PUBLISH.of(event), parent, kind=SpanKind.PRODUCER, attributes=attributes
        )
        context = set_span_in_context(span, parent)
        text = traceparent(context)
        return Publication(span, context, None if text is None else Trace(text, fanout), metadata)
    except Exception as error:  # noqa: BLE001 - dispatch must not fail for its span
        swallow("tracing a publication", error)
        return _UNTRACED if metadata is None else Publication(metadata=metadata)
