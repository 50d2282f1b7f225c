"""Our own histograms as data points of the SDK, appended to what its readers have collected.

Reached through `export` only, for it needs the SDK.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import attrs
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from .histograms import Histogram, Series, Values
from .names import SCHEMA_URL
from .providers import version

__all__ = ["Points"]


class Points:
    """The histograms as one exporter is to see them.

    Args:
        histograms: what there is to show.
        resource: of the provider.
        delta: the exporter wants what happened since its last export, not since the start.

    Threads: one at a time, the exporter's.
    """

    def __init__(
        self, histograms: Iterable[Histogram], resource: Resource, *, delta: bool = False
    ) -> None:
        self._histograms = tuple(histograms)
        self._resource = resource
        self._delta = delta
        self._last: dict[tuple[str, Values], Series] = {}
        self._since: dict[str, int] = {}

    def append(self, data: MetricsData) -> MetricsData:
        """`data` with the histograms that have anything to show."""
        now = time.time_ns()
        ours: dict[str, list[Metric]] = {}
        for histogram in self._histograms:
            points = self._points(histogram, now)
            if points:
                ours.setdefault(histogram.metric.scope, []).append(
                    _metric(histogram, points, delta=self._delta)
                )
        if not ours:
            return data
        return MetricsData(resource_metrics=self._merge(data.resource_metrics, ours))

    def _merge(
        self, resources: Sequence[ResourceMetrics], ours: dict[str, list[Metric]]
    ) -> list[ResourceMetrics]:
        """Into what is there: the encoder keeps one entry per resource, and one per scope."""
        resources = resources or [ResourceMetrics(self._resource, [], self._resource.schema_url)]
        first, *others = resources
        scopes: list[ScopeMetrics] = []
        for scope in first.scope_metrics:
            more = ours.pop(scope.scope.name, [])
            scopes.append(replace(scope, metrics=[*scope.metrics, *more]))
        for name, metrics in ours.items():
            scope_of_ours = InstrumentationScope(name, version(), SCHEMA_URL)
            scopes.append(ScopeMetrics(scope_of_ours, metrics, SCHEMA_URL))
        return [replace(first, scope_metrics=scopes), *others]

    def _points(self, histogram: Histogram, now: int) -> list[HistogramDataPoint]:
        since = self._since.get(histogram.metric.name, histogram.since)
        points = []
        for values, series in histogram.snapshot().items():
            shown = series
            if self._delta:
                key = (histogram.metric.name, values)
                shown = _difference(series, self._last.get(key))
                self._last[key] = series
            if shown.count:
                points.append(
                    HistogramDataPoint(
                        attributes=dict(histogram.attributes(values)),
                        start_time_unix_nano=since,
                        time_unix_nano=now,
                        count=shown.count,
                        sum=shown.sum,
                        bucket_counts=shown.counts,
                        explicit_bounds=histogram.boundaries,
                        min=shown.min,
                        max=shown.max,
                    )
                )
        if self._delta:
            self._since[histogram.metric.name] = now
        return points


def _difference(series: Series, last: Series | None) -> Series:
    if last is None or last.count > series.count:  # it began anew in between
        return series
    return attrs.evolve(
        series,
        counts=[now - then for now, then in zip(series.counts, last.counts, strict=True)],
        sum=series.sum - last.sum,
        count=series.count - last.count,
    )


def _metric(histogram: Histogram, points: list[HistogramDataPoint], *, delta: bool) -> Metric:
    return Metric(
        name=histogram.metric.name,
        description=histogram.metric.description,
        unit=histogram.metric.unit,
        data=HistogramData(
            data_points=points,
            aggregation_temporality=AggregationTemporality.DELTA
            if delta
            else AggregationTemporality.CUMULATIVE,
        ),
    )
