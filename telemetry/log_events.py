"""Log records with an `event_name`, for machines, through OpenTelemetry's logs API."""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING, Final

from . import names
from .enrichers import adorn
from .faults import error_type, swallow, unwrapped
from .flags import admit
from .names import LogEventName
from .providers import logger
from .severity import Severity, severity_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AnyValue, AttributeValue

    from .hooks import Metadata

__all__ = ["emit", "record_exception", "wants_span_events"]

TEXTS: Final = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARN",
    "error": "ERROR",
    "critical": "FATAL",
}
"""What each severity is to OpenTelemetry."""
OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"


def emit(
    event: LogEventName,
    *,
    occurrence: str,
    metadata: Metadata,
    severity: Severity,
    body: str,
    attributes: dict[str, AttributeValue],
    context: Context | None = None,
    time_ns: int | None = None,
) -> None:
    """Emit one log event, correlated with the span in `context`. Nothing without a provider.

    Args:
        event: its name and scope.
        occurrence: the name on the hook bus by which it is enriched and graded.
        metadata: what enrichers and severity providers are given.
        severity: unless a severity provider says otherwise.
        body: for people.
        attributes: for machines; enrichers add to them.
        context: holds the span that it belongs to.
        time_ns: when it happened; by default now.

    Failure: none; a fault of telemetry is logged. As many as spans are made per second, the rest
    is counted.
    Threads: any.
    """
    try:
        target = logger(event.scope)
        if target is None:
            return
        severity = severity_of(occurrence, severity, metadata)
        if severity == "off":
            return
        if admit(event.name) is None:
            return
        adorn(attributes, occurrence, metadata)
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.context import Context

        values: dict[str, AnyValue] = {**attributes}
        target.emit(
            LogRecord(
                timestamp=time.time_ns() if time_ns is None else time_ns,
                # An empty one would be taken for none, and the emitter's own current span used.
                context=context if context is not None else Context(),
                severity_text=TEXTS[severity],
                severity_number=SeverityNumber[TEXTS[severity]],
                body=body,
                attributes=values,
                event_name=event.name,
            )
        )
    except Exception as error:  # noqa: BLE001 - what is logged must not fail for its log
        swallow("emitting a log event", error)


def _wanted() -> set[str]:
    return {word.strip() for word in os.environ.get(OPT_IN, "").split(",")}


def wants_span_events() -> bool:
    """Whether what happens during a span is to be an event of it.

    With `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN=logs` it is a log event alone, as the conventions
    will have it.
    """
    return "logs" not in _wanted()


def record_exception(
    error: BaseException,
    span: Span | None,
    *,
    severity: Severity,
    context: Context | None,
    attributes: dict[str, AttributeValue],
    occurrence: str,
    metadata: Metadata,
) -> None:
    """Show an exception as an event of `span`, as a log event, or as both.

    `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`: ``logs`` for a log event, ``logs/dup`` for both. Unset
    it is an event of the span, for most viewers show nothing else; that will change with the
    conventions.
    """
    if span is not None and wants_span_events():
        # Told what the one member of a group is, for the SDK would say "ExceptionGroup".
        inner = unwrapped(error)
        told = {names.EXCEPTION_TYPE: error_type(error), names.EXCEPTION_MESSAGE: str(inner)}
        span.record_exception(error, told if inner is not error else None)
    if _wanted() & {"logs", "logs/dup"}:
        emit(
            names.EXCEPTION,
            occurrence=occurrence,
            metadata=metadata,
            severity=severity,
            body=f"{type(unwrapped(error)).__qualname__}: {unwrapped(error)}",
            context=context,
            attributes={
                **attributes,
                names.EXCEPTION_TYPE: error_type(error),
                names.EXCEPTION_MESSAGE: str(unwrapped(error)),
                names.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(error)),
                names.ERROR_TYPE: error_type(error),
            },
        )
