"""The spans of a state change: the transition, its publication, its handlers.

    failing call            the user's own span, from which `capture()` took the context
    └─ transition open      `transition`, made where the change is managed, dated when it happened
       └─ publish state_change       `publish`, one per event with subscribers
          └─ process state_change    `process`, one per handler invocation

Each step takes the context of the one before it and gives its own. None means that nobody is
tracing this, and goes through the whole chain at the price of a test.

Spans are started and ended by hand: `start_as_current_span` costs microseconds without an SDK,
and marks every ancestor as failed when an exception passes through.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Final

from . import metrics, names
from .context import context_of, is_sampled, traceparent
from .faults import error_type, swallow
from .pools import pool
from .providers import tracer

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AttributeValue

__all__ = ["FANOUT_WITH_PARENT", "Process", "Publication", "process", "publish", "transition"]

FANOUT_WITH_PARENT: Final = 64
"""Up to this many subscribers a `process` span is a child of its `publish` span, so that viewers
which ignore links show one tree. Beyond it the tree would be unreadable: links only."""


def transition(
    parent: Context | None,
    *,
    connection: str,
    scope: str | None,
    previous: str,
    new: str,
    reason: str | None,
    time_ns: int,
    failure_count: int | None = None,
    duration: float | None = None,
) -> Context | None:
    """Count a state change and make its span, ``transition {new}``.

    Args:
        parent: what `capture()` returned where it happened; None makes no span.
        connection: the circuit's name; on the span only, the metric has its pool.
        scope: the circuit's scope, None for the default one.
        previous: the state that was left.
        new: the state that was entered.
        reason: why, if there is a reason.
        time_ns: when it happened, `time.time_ns()`; the span starts there and ends now.
        failure_count: failures counted at that moment.
        duration: seconds that the circuit had been in `previous`.

    Returns:
        A context that holds the span, to be given to `publish`; None when nobody is tracing.

    Failure: none; a fault of telemetry is logged, and the state change is counted all the same.
    Threads: any.
    """
    try:
        pool_name = pool(connection)
        metrics.transitions.add(pool_name, new, previous)
        metrics.register()
        if parent is None or (spans := tracer(names.CIRCUIT)) is None:
            return None
        from opentelemetry.trace import set_span_in_context

        attributes: dict[str, AttributeValue] = {
            names.CIRCUIT_NAME: connection,
            names.POOL: pool_name,
            names.STATE: new,
            names.STATE_FROM: previous,
        }
        if scope is not None:
            attributes[names.CIRCUIT_SCOPE] = scope
        if reason is not None:
            attributes[names.REASON] = reason
        if failure_count is not None:
            attributes[names.FAILURES] = failure_count
        if duration is not None:
            attributes[names.STATE_DURATION] = duration
        span = spans.start_span(
            names.TRANSITION.of(new), parent, attributes=attributes, start_time=time_ns
        )
        # A clock that was set back in between must not make a span that ends before it starts.
        span.end(max(time_ns, time.time_ns()))
        return set_span_in_context(span, parent)
    except Exception as error:  # noqa: BLE001 - a state change must not fail for its span
        swallow("tracing a transition", error)
        return None


class Publication:
    """One event on its way to its subscribers: what `publish` began and `end` finishes.

    Attributes:
        context: holds the ``publish`` span; None when nobody is tracing.
        traceparent: the same as W3C text, for the event's `trace` field.

    Threads: `end` from any, once; later calls do nothing.
    """

    __slots__ = ("_span", "context", "traceparent")

    context: Context | None
    traceparent: str | None

    def __init__(
        self,
        span: Span | None = None,
        context: Context | None = None,
        traceparent: str | None = None,
    ) -> None:
        self._span = span
        self.context = context
        self.traceparent = traceparent

    def end(self, matched: int, queued: int) -> None:
        """The event matched so many subscriptions, and so many mailboxes took it."""
        span = self._span
        if span is None:
            return
        self._span = None
        try:
            span.set_attributes({names.MATCHED: matched, names.QUEUED: queued})
            span.end()
        except Exception as error:  # noqa: BLE001 - dispatch must not fail for its span
            swallow("ending a publish span", error)


_UNTRACED: Final = Publication()


def publish(
    parent: Context | None,
    *,
    event: str,
    event_id: str,
    connection: str,
    scope: str | None,
    state: str | None = None,
) -> Publication:
    """Count an event and begin its span, ``publish {event}``, a PRODUCER.

    Args:
        parent: the context of its cause: what `transition()` returned for a state change, what
            `capture()` returned for anything else. None makes no span.
        event: the event's name.
        event_id: its id.
        connection: the circuit's name.
        scope: the circuit's scope, None for the default one.
        state: the state it tells of, if any; samplers in a collector can go by it.

    Returns:
        The publication, to be ended after dispatch: ``publication.end(matched=3, queued=3)``.

    Failure: none; a fault of telemetry is logged.
    Threads: any.
    """
    try:
        metrics.published.add(event)
        metrics.register()
        if parent is None or (spans := tracer(names.NOTIFICATION)) is None:
            return _UNTRACED
        from opentelemetry.trace import SpanKind, set_span_in_context

        attributes: dict[str, AttributeValue] = {
            names.EVENT: event,
            names.EVENT_ID: event_id,
            names.CIRCUIT_NAME: connection,
        }
        if scope is not None:
            attributes[names.CIRCUIT_SCOPE] = scope
        if state is not None:
            attributes[names.STATE] = state
        span = spans.start_span(
            names.PUBLISH.of(event), parent, kind=SpanKind.PRODUCER, attributes=attributes
        )
        context = set_span_in_context(span, parent)
        return Publication(span, context, traceparent(context))
    except Exception as error:  # noqa: BLE001 - dispatch must not fail for its span
        swallow("tracing a publication", error)
        return _UNTRACED


class Process:
    """The span of one handler invocation, current inside the ``with`` block.

    A plain ``with``, in functions of either colour. Enter and leave it in one frame, and do not
    ``yield`` to someone else's code inside: a span that stays current there leaks into it.

    An exception makes the span ERROR with its `error.type` and goes on its way. A cancellation,
    or anything else that is no `Exception`, leaves the status unset: nothing failed.

    This class itself does nothing; it stands for a handler that nobody traces.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


_UNPROCESSED: Final = Process()


class _Recorded(Process):
    __slots__ = ("_attached", "_attributes", "_child", "_event", "_publish", "_span", "_token")

    def __init__(
        self,
        event: str,
        publish: Context,
        attributes: dict[str, AttributeValue],
        *,
        child: bool,
    ) -> None:
        self._event = event
        self._publish = publish
        self._attributes = attributes
        self._child = child
        self._span: Span | None = None
        self._attached: Context | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> None:
        try:
            spans = tracer(names.NOTIFICATION)
            if spans is None:
                return
            from opentelemetry.context import Context, attach
            from opentelemetry.trace import Link, SpanKind, get_current_span, set_span_in_context

            # Always one of these two and never the frame's own context: whatever was current
            # where the worker was started has nothing to do with this event.
            parent = self._publish if self._child else Context()
            self._span = spans.start_span(
                names.PROCESS.of(self._event),
                parent,
                kind=SpanKind.CONSUMER,
                attributes=self._attributes,
                links=[Link(get_current_span(self._publish).get_span_context())],
            )
            self._attached = set_span_in_context(self._span, parent)
            self._token = attach(self._attached)
        except Exception as error:  # noqa: BLE001 - the handler must run
            swallow("beginning a process span", error)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._detach(exc)
            span = self._span
            if span is None:
                return
            if isinstance(exc, Exception) and span.is_recording():
                from opentelemetry.trace import StatusCode

                span.set_attribute(names.ERROR_TYPE, error_type(exc))
                span.record_exception(exc)
                span.set_status(StatusCode.ERROR, str(exc))
            span.end()
        except Exception as error:  # noqa: BLE001 - the handler's own outcome counts
            swallow("ending a process span", error)

    def _detach(self, exc: BaseException | None) -> None:
        if self._token is None:
            return
        from opentelemetry.context import detach, get_current

        # A coroutine that the collector closes leaves this block in whatever context the
        # collector runs in. There is nothing to restore there, and trying would log an error.
        if isinstance(exc, GeneratorExit) and get_current() is not self._attached:
            return
        detach(self._token)


def process(
    *,
    event: str,
    traceparent: str | None,
    subscription: str,
    connection: str,
    scope: str | None,
    n: int,
    redelivered: bool,
    lag: float | None = None,
    fanout: int = 1,
) -> Process:
    """The span of one handler invocation, ``process {event}``, a CONSUMER.

    Example:
        >>> with process(event="state_change", traceparent=None, subscription="pager",
        ...              connection="payment_api", scope=None, n=1, redelivered=False):
        ...     pass  # the handler runs here

    Args:
        event: the event's name.
        traceparent: of its publication; None, or one that is not sampled, makes no span.
        subscription: the subscription's name.
        connection: the circuit's name.
        scope: the circuit's scope, None for the default one.
        n: the delivery's number in its subscription.
        redelivered: whether the handler is given the event again.
        lag: seconds from the event to now; a negative one, by a clock set back, counts as 0.
        fanout: how many subscriptions the event matched.

    Failure: none of its own; the handler's exceptions pass through.
    Threads: any; see `Process` for where to enter and leave it.
    """
    try:
        if traceparent is None or tracer(names.NOTIFICATION) is None or not is_sampled(traceparent):
            return _UNPROCESSED
        attributes: dict[str, AttributeValue] = {
            names.EVENT: event,
            names.SUBSCRIPTION: subscription,
            names.CIRCUIT_NAME: connection,
            names.DELIVERY: n,
            names.REDELIVERED: redelivered,
        }
        if scope is not None:
            attributes[names.CIRCUIT_SCOPE] = scope
        if lag is not None:
            attributes[names.LAG] = max(0.0, lag)
        child = fanout <= FANOUT_WITH_PARENT
        return _Recorded(event, context_of(traceparent), attributes, child=child)
    except Exception as error:  # noqa: BLE001 - the handler must run
        swallow("tracing a handler", error)
        return _UNPROCESSED
