"""Telemetry kept in memory, for tests: what Brama tells while a block runs.

Reached through `brama.telemetry.testing` and the fixtures of the pytest plug-in. Nothing global is
set: providers of the block's own stand before the application's, for Brama alone, and are withdrawn
at its end.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from . import flags, metrics, names, providers
from .captured import Arrivals, CapturedLogs, CapturedSpans
from .captured_metrics import CapturedMetrics
from .environment import check_of_the_sdk
from .flags import Options

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["CapturedTelemetry", "capture_telemetry", "capturing"]


class CapturedTelemetry:
    """What `capture_telemetry` gives.

    Attributes:
        spans, logs, metrics: each kind as plain dicts.
    """

    def __init__(self, spans: Arrivals, logs: Arrivals) -> None:
        self.spans = CapturedSpans(spans)
        self.logs = CapturedLogs(logs, self.spans)
        self.metrics = CapturedMetrics()


_captures = 0


def capturing() -> bool:
    """Whether a test captures what would otherwise be exported."""
    return _captures > 0


@contextmanager
def _enabled() -> Generator[None, None, None]:
    """Let the SDK make providers, whatever `OTEL_SDK_DISABLED` says: machines for tests set it."""
    disabled = os.environ.pop("OTEL_SDK_DISABLED", None)
    try:
        yield
    finally:
        if disabled is not None:
            os.environ["OTEL_SDK_DISABLED"] = disabled


@contextmanager
def capture_telemetry(
    *,
    spans: flags.Spans = "exceptional",
    span_relationship: flags.Relationship = "child",
) -> Generator[CapturedTelemetry, None, None]:
    """Keep the spans, log events and metrics that Brama makes in the block.

    Example:
        >>> with capture_telemetry() as told:
        ...     brama.circuit("orders").open_circuit("a test")
        ...     span, = told.spans.wait_for("transition open")
        >>> span["attributes"]["brama.circuit.reason"]
        'a test'

    It needs no collector and sets no global provider. The application's own spans go where they
    went; those of Brama that have one of them as their parent keep it. `brama.telemetry.configure`
    does nothing in the block, no rate limits what is made, and `OTEL_SDK_DISABLED` does not hold.

    Args:
        spans: of guarded calls, as for `brama.telemetry.configure`.
        span_relationship: of handlers, as there.

    Raises:
        ConfigError: an option has a wrong value.
    """
    global _captures
    options = Options(spans, 1.0, None, span_relationship)
    check_of_the_sdk(os.environ)
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    ended, emitted = Arrivals(), Arrivals()

    class Spans(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            ended.add(span)

    class Logs(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            emitted.add(log_record)

        def shutdown(self) -> None:
            """Nothing is held."""

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return True

    with _enabled():
        tracers = TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False)
        loggers = LoggerProvider(Resource.get_empty(), shutdown_on_exit=False)
    # What the first span of a process has to load would hold up the first of this test so long
    # that others, which look for it, would go without it.
    tracers.get_tracer(names.CIRCUIT, providers.version()).start_span("first").end()
    tracers.add_span_processor(Spans())
    loggers.add_log_record_processor(Logs())
    providers.enforce(tracers)
    meters = NoOpMeterProvider()
    metrics.deliver_exactly(meters)  # else it would be given samples of all times
    former = flags.options()
    providers.choose(tracers, meters, loggers)
    flags.use(options)
    _captures += 1
    try:
        yield CapturedTelemetry(ended, emitted)
    finally:
        _captures -= 1
        flags.use(former)
        providers.withdraw(tracers, meters, loggers)
        # Whoever is late finds them silent.
        providers.retire(tracers)
        providers.retire(loggers)
