"""Handler invocations: their spans, their times, and the word on the hook bus."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextvars import Token
from types import TracebackType
from typing import Any, Final

from . import hook_names, metrics, names
from .context import Trace, context_of, is_sampled, mark
from .enrichers import adorn
from .faults import error_type, swallow
from .flags import options, watching
from .foreign import AttributeValue, Context, Span
from .hooks import Occurrence, attached
from .links import links
from .log_events import record_exception
from .providers import current_meter_provider, tracer

__all__ = ["FANOUT_WITH_PARENT", "Batch", "Process", "process"]

_modules = sys.modules

Batch = Sequence[tuple[str | None, float | None]]
BATCH_LINKS: Final = 128
"""What the SDK keeps of them, unless it is told otherwise."""

FANOUT_WITH_PARENT: Final = 64
"""Up to this many subscribers a `process` span is a child of its `publish` span, so that viewers
which ignore links show one tree. Beyond it the tree would be unreadable: links only."""


class Process:
    """One handler invocation; its span, if it has one, is current inside the ``with`` block.

    A plain ``with``, in functions of either colour. Enter and leave it in one frame, and do not
    ``yield`` to someone else's code inside: a span that stays current there leaks into it.

    An exception makes the span ERROR with its `error.type` and goes on its way. A cancellation,
    or anything else that is no `Exception`, leaves the status unset: nothing failed.

    This class itself does nothing; it stands for a handler that nobody watches.
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


class _Watched(Process):
    """One that is timed and, if its event is traced, has a span."""

    __slots__ = (
        "_announced",
        "_attached",
        "_batch",
        "_began",
        "_child",
        "_event",
        "_metadata",
        "_publish",
        "_span",
        "_token",
    )

    def __init__(
        self,
        event: str,
        publish: Context | None,
        metadata: dict[str, Any],
        *,
        child: bool,
        batch: Batch | None = None,
    ) -> None:
        self._event = event
        self._publish = publish
        self._metadata = metadata
        self._child = child
        self._batch = batch
        self._span: Span | None = None
        self._attached: Context | None = None
        self._token: Token[Context] | None = None
        self._announced: Occurrence | None = None
        self._began = 0.0

    def __enter__(self) -> None:
        try:
            if self._publish is not None:
                self._begin_span(self._publish)
            if attached_to_any():
                self._announced = Occurrence(hook_names.EVENT_PROCESS, self._metadata)
                self._announced.__enter__()
        except Exception as error:  # noqa: BLE001 - the handler must run
            swallow("beginning a process span", error)
        self._began = time.perf_counter()

    def _begin_span(self, publish: Context) -> None:
        spans = tracer(names.NOTIFICATION)
        if spans is None:
            return
        # As they are: a statement of import takes as long as the rest of what is done here.
        api, contexts = _modules["opentelemetry.trace"], _modules["opentelemetry.context"]
        # Always one of these two and never the frame's own context: whatever was current
        # where the worker was started has nothing to do with this event.
        parent = publish if self._child else contexts.Context()
        attributes = _attributes(self._metadata)
        causes: list[Context | str | None] = [publish]
        if self._batch is not None:
            attributes[names.BATCH_SIZE] = len(self._batch)
            causes = [traceparent for traceparent, _ in self._batch]
        adorn(attributes, f"{hook_names.EVENT_PROCESS}.start", self._metadata)
        self._span = spans.start_span(
            names.PROCESS.of(self._event),
            parent,
            kind=api.SpanKind.CONSUMER,
            attributes=attributes,
            links=[] if options().relationship == "none" else links(causes, "publish", BATCH_LINKS),
        )
        self._attached = api.set_span_in_context(self._span, parent)
        self._token = contexts.attach(self._attached)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._began
        try:
            self._detach(exc)
            if exc is None:
                metrics.processed.record(seconds, self._event, "")
            elif isinstance(exc, Exception):
                mark(exc, self._attached)
                metrics.processed.record(seconds, self._event, error_type(exc))
            self._end_span(exc)
        except Exception as error:  # noqa: BLE001 - the handler's own outcome counts
            swallow("ending a process span", error)
        if self._announced is not None:
            self._announced.__exit__(exc_type, exc, traceback)

    def _end_span(self, exc: BaseException | None) -> None:
        span = self._span
        if isinstance(exc, Exception):
            recording = span is not None and span.is_recording()
            record_exception(
                exc,
                span if recording else None,
                severity="warning",
                context=self._attached,
                attributes={
                    names.SUBSCRIPTION: self._metadata["subscription"],
                    names.EVENT: self._event,
                },
                occurrence=f"{hook_names.EVENT_PROCESS}.exception",
                metadata=self._metadata,
            )
            if span is not None and recording:
                from opentelemetry.trace import StatusCode

                span.set_attribute(names.ERROR_TYPE, error_type(exc))
                span.set_status(StatusCode.ERROR, str(exc))
        if span is not None:
            span.end()

    def _detach(self, exc: BaseException | None) -> None:
        if self._token is None:
            return
        contexts = _modules["opentelemetry.context"]
        # A coroutine that the collector closes leaves this block in whatever context the
        # collector runs in. There is nothing to restore there, and trying would log an error.
        if isinstance(exc, GeneratorExit) and contexts.get_current() is not self._attached:
            return
        contexts.detach(self._token)


def _attributes(metadata: dict[str, Any]) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        names.EVENT: metadata["event"],
        names.SUBSCRIPTION: metadata["subscription"],
        names.CIRCUIT_NAME: metadata["connection"],
        names.DELIVERY: metadata["n"],
        names.REDELIVERED: metadata["redelivered"],
    }
    if metadata["scope"] is not None:
        attributes[names.CIRCUIT_SCOPE] = metadata["scope"]
    if metadata["lag"] is not None:
        attributes[names.LAG] = metadata["lag"]
    return attributes


def attached_to_any() -> bool:
    """Whether anyone hears of invocations."""
    return (
        attached(f"{hook_names.EVENT_PROCESS}.start")
        or attached(f"{hook_names.EVENT_PROCESS}.stop")
        or attached(f"{hook_names.EVENT_PROCESS}.exception")
    )


def _record_lag(lag: float | None, event: str) -> float | None:
    """`lag` as it counts."""
    if lag is None:
        return None
    if lag < 0:
        metrics.skewed.add()
        lag = 0.0
    metrics.lags.record(lag, event)
    return lag


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
    fanout: int | None = None,
    batch: Batch | None = None,
) -> Process:
    """One handler invocation: its times, and its span, ``process {event}``, a CONSUMER.

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
        fanout: how many subscriptions the event matched; by default what `traceparent` remembers
            of it.
        batch: of several events that are handled together, which the rest tells the first of: the
            `traceparent` and the `lag` of each. Its span is a root, with links to all of theirs.

    Failure: none of its own; the handler's exceptions pass through.
    Threads: any; see `Process` for where to enter and leave it.
    """
    try:
        if batch is not None:
            sampled = (text for text, _ in batch if text is not None and is_sampled(text))
            traceparent = next(sampled, None)
        traced = (
            traceparent is not None
            and tracer(names.NOTIFICATION) is not None
            and is_sampled(traceparent)
        )
        if not traced and not watching.deliveries and current_meter_provider() is None:
            return _UNPROCESSED
        if batch is not None:
            for _, late in batch[1:]:
                _record_lag(late, event)
        lag = _record_lag(lag, event)
        went_to: int = getattr(traceparent, "fanout", 1) if fanout is None else fanout
        metadata = {
            "event": event,
            "subscription": subscription,
            "connection": connection,
            "scope": scope,
            "n": n,
            "redelivered": redelivered,
            "lag": lag,
        }
        publish: Context | None = None
        if traced and traceparent is not None:
            if isinstance(traceparent, Trace):
                publish = traceparent.context()
            else:
                publish = context_of(traceparent)
        alone = batch is None and went_to <= FANOUT_WITH_PARENT
        child = alone and options().relationship == "child"
        return _Watched(event, publish, metadata, child=child, batch=batch)
    except Exception as error:  # noqa: BLE001 - the handler must run
        swallow("tracing a handler", error)
        return _UNPROCESSED
