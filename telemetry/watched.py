"""Exporters whose failures are counted, and that may be shut down twice.

Reached through `export` only, for it needs the SDK.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from .health import ExportHealth
from .metrics import histograms
from .points import Points

__all__ = ["Exporter", "WatchedLogs", "WatchedMetrics", "WatchedSpans"]


class Exporter(Protocol):
    """Whatever can be told to give up."""

    def shutdown(self) -> Any: ...


class WatchedSpans(SpanExporter):
    """An exporter of spans."""

    def __init__(self, exporter: SpanExporter, health: ExportHealth) -> None:
        self._exporter = exporter
        self._health = health
        self._down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._health.settle(result is SpanExportResult.SUCCESS, len(spans))
        return result

    def shutdown(self) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class WatchedLogs(LogRecordExporter):
    """An exporter of log records."""

    def __init__(self, exporter: LogRecordExporter, health: ExportHealth) -> None:
        self._exporter = exporter
        self._health = health
        self._down = False

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        result: LogRecordExportResult = LogRecordExportResult.FAILURE
        try:
            result = self._exporter.export(batch)
        finally:
            self._health.settle(result is LogRecordExportResult.SUCCESS, len(batch))
        return result

    def shutdown(self) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the SDK's

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class WatchedMetrics(MetricExporter):
    """An exporter of metrics, which gets our own histograms along.

    The reader asks it for the preferences of the one that it watches.
    """

    def __init__(self, exporter: MetricExporter, health: ExportHealth, resource: Resource) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        self._exporter: Any = exporter  # the SDK gives its keyword arguments no types
        self._health = health
        self._down = False
        preferred = exporter._preferred_temporality or {}
        self._points = Points(
            histograms,
            resource,
            delta=preferred.get(Histogram) is AggregationTemporality.DELTA,
        )

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result: MetricExportResult = MetricExportResult.FAILURE
        data = self._points.append(metrics_data)
        try:
            result = self._exporter.export(data, timeout_millis, **kwargs)
        finally:
            self._health.settle(result is MetricExportResult.SUCCESS, _count(data))
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def _count(data: MetricsData) -> int:
    return sum(
        len(scope.metrics) for resource in data.resource_metrics for scope in resource.scope_metrics
    )
