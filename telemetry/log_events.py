"""Log records with an `event_name`, for machines, through OpenTelemetry's logs API."""

from __future__ import annotations

import os
import time
import traceback
from typing import TYPE_CHECKING, Final, Literal

from . import metrics, names
from .faults import error_type, swallow
from .flags import admit
from .names import LogEventName
from .providers import logger

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span
    from opentelemetry.util.types import AnyValue, AttributeValue

__all__ = ["emit", "record_exception"]

Severity = Literal["INFO", "WARN", "ERROR"]
OPT_IN: Final = "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"


def emit(
    event: LogEventName,
    *,
    severity: Severity,
    body: str,
    attributes: dict[str, AttributeValue],
    context: Context | None = None,
    time_ns: int | None = None,
) -> None:
    """Emit one log event, correlated with the span in `context`. Nothing without a provider.

    Failure: none; a fault of telemetry is logged. As many as spans are made per second, the rest
    is counted.
    Threads: any.
    """
    try:
        target = logger(event.scope)
        if target is None:
            return
        if admit(event.name) is None:
            metrics.held_back.add(event.name)
            return
        from opentelemetry._logs import LogRecord, SeverityNumber
        from opentelemetry.context import Context

        values: dict[str, AnyValue] = {**attributes}
        target.emit(
            LogRecord(
                timestamp=time.time_ns() if time_ns is None else time_ns,
                # An empty one would be taken for none, and the emitter's own current span used.
                context=context if context is not None else Context(),
                severity_text=severity,
                severity_number=SeverityNumber[severity],
                body=body,
                attributes=values,
                event_name=event.name,
            )
        )
    except Exception as error:  # noqa: BLE001 - what is logged must not fail for its log
        swallow("emitting a log event", error)


def record_exception(
    error: BaseException,
    span: Span | None,
    *,
    severity: Severity,
    context: Context | None,
    attributes: dict[str, AttributeValue],
) -> None:
    """Show an exception as an event of `span`, as a log event, or as both.

    `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`: ``logs`` for a log event, ``logs/dup`` for both. Unset
    it is an event of the span, for most viewers show nothing else; that will change with the
    conventions.
    """
    wanted = {word.strip() for word in os.environ.get(OPT_IN, "").split(",")}
    if span is not None and "logs" not in wanted:
        span.record_exception(error)
    if wanted & {"logs", "logs/dup"}:
        emit(
            names.EXCEPTION,
            severity=severity,
            body=f"{type(error).__qualname__}: {error}",
            context=context,
            attributes={
                **attributes,
                names.EXCEPTION_TYPE: error_type(error),
                names.EXCEPTION_MESSAGE: str(error),
                names.EXCEPTION_STACKTRACE: "".join(traceback.format_exception(error)),
                names.ERROR_TYPE: error_type(error),
            },
        )
