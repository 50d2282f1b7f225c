"""Metrics for Prometheus, which fetches them over HTTP. Needs the extra `prometheus`.

Reached through `export` only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, start_http_server

from .environment import Scrape
from .metrics import histograms
from .points import Points

__all__ = ["serve"]


class _Reader(PrometheusMetricReader):
    """The exporter's reader, which gets our own histograms along."""

    def __init__(self, registry: CollectorRegistry, points: Points) -> None:
        # Three labels on every series, of which dashboards make no use.
        super().__init__(scope_info_enabled=False, registry=registry)
        self._points = points

    def _receive_metrics(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> None:
        if metrics_data is not None:
            metrics_data = self._points.append(metrics_data)
        super()._receive_metrics(metrics_data, timeout_millis, **kwargs)


def serve(scrape: Scrape, resource: Resource) -> tuple[MetricReader, Callable[[], None], int]:
    """Listen, with a registry of its own; the reader, how to stop listening, and the port."""
    registry = CollectorRegistry()
    reader = _Reader(registry, Points(histograms, resource))
    server, thread = start_http_server(scrape.port, scrape.host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1.0)

    return reader, stop, server.server_port
