"""`configure()`: send Brama's telemetry, and the application's, to an OTLP endpoint.

The only module of Brama, beside the tests' receiver, that imports OpenTelemetry's SDK and its
exporters; nothing imports this module before `brama.telemetry.configure` is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SpanExporter,
    SpanExportResult,
)

from . import providers
from .environment import Environment, Otlp, Sampler, Signal, read, withheld
from .faults import LOGGER
from .handle import Outlet, Telemetry, check_deadline
from .health import ExportHealth, hush
from .metrics import register

__all__ = ["configure"]


def configure(
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    deadline: float = 2.0,
    environ: Mapping[str, str] = os.environ,
) -> Telemetry:
    """Set up tracing and metrics by the standard `OTEL_*` variables, and return the handle.

    Example:
        >>> telemetry = configure(environ={"OTEL_SDK_DISABLED": "true"})
        >>> telemetry.exporting
        False

    It installs OpenTelemetry's global providers, so that the application's own spans arrive as
    well. It does nothing, and says so in one INFO line, when the application has installed
    providers itself, when `OTEL_SDK_DISABLED` is true, or when `OTEL_CONFIG_FILE` is set. Asked
    again while it is exporting, it returns the handle it gave before.

    Given a provider, it sets up nothing: Brama uses that one until the handle's `shutdown`, and
    leaves flushing and shutting it down to whoever made it.

    Args:
        endpoint: base URL of the collector for all signals, such as ``http://localhost:4318``;
            goes before `OTEL_EXPORTER_OTLP_ENDPOINT`.
        service_name: goes before `OTEL_SERVICE_NAME`.
        tracer_provider: for Brama's spans, instead of the global one.
        meter_provider: for Brama's metrics, instead of the global one.
        deadline: seconds that a flush, a shutdown or the exit of the process may take.
        environ: where the variables are read; default `os.environ`.

    Variables: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_{TRACES,METRICS}_EXPORTER`
    (``otlp``, ``console``, ``none``; default ``otlp``),
    `OTEL_EXPORTER_OTLP_[{TRACES,METRICS}_]{ENDPOINT,PROTOCOL,HEADERS,TIMEOUT,COMPRESSION,
    CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY}`, `OTEL_TRACES_SAMPLER[_ARG]`, `OTEL_BSP_*`,
    `OTEL_METRIC_EXPORT_{INTERVAL,TIMEOUT}`; what else the SDK knows, it reads from `os.environ`
    itself. Protocol: ``http/protobuf``, unless said otherwise or the endpoint is at port 4317.

    Raises:
        ConfigError: a variable or an argument has a wrong value; nothing has been set up then.

    Failure: a collector that is down costs the service nothing but what is lost; one line a
    minute says so.
    Threads: any; call it once, early, and after a fork only in workers (gunicorn: `post_fork`).
    """
    check_deadline(deadline)
    if tracer_provider is not None or meter_provider is not None:
        return _borrow(tracer_provider, meter_provider, deadline)
    reason = withheld(environ)
    if reason is not None:
        return _nothing(reason, deadline)
    settings = read(environ, endpoint=endpoint, service_name=service_name)
    if _Installed.handle is not None and _Installed.handle.exporting:
        LOGGER.info("telemetry is configured already; the handle from then is returned")
        return _Installed.handle
    if _is_foreign(providers.global_tracer_provider(), _Installed.tracers) or _is_foreign(
        providers.global_meter_provider(), _Installed.meters
    ):
        return _nothing("the application has its own provider, which Brama uses", deadline)
    _Installed.handle = _install(settings, deadline)
    return _Installed.handle


class _Installed:
    """What this process has installed. The API can set a global provider once, never unset it."""

    handle: Telemetry | None = None
    tracers: trace.TracerProvider | None = None
    meters: metrics.MeterProvider | None = None


def _is_foreign(provider: object | None, ours: object | None) -> bool:
    return provider is not None and provider is not ours


def _nothing(reason: str, deadline: float) -> Telemetry:
    LOGGER.info("telemetry sets nothing up: %s", reason)
    return Telemetry(deadline=deadline)


def _borrow(
    tracers: trace.TracerProvider | None, meters: metrics.MeterProvider | None, deadline: float
) -> Telemetry:
    providers.choose(tracers, meters)
    register()
    return Telemetry(deadline=deadline, release=lambda: providers.withdraw(tracers, meters))


def _install(settings: Environment, deadline: float) -> Telemetry:
    hush()
    resource = Resource.create(dict(settings.resource))
    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None
    outlets: list[Outlet] = []
    if settings.traces.exporters:
        tracers, outlet = _traces(settings, resource)
        outlets.append(outlet)
        if providers.global_tracer_provider() is None:
            _Installed.tracers = tracers
            trace.set_tracer_provider(tracers)
        else:
            LOGGER.info(
                "telemetry was configured before in this process: Brama's own spans are exported, "
                "the application's are not, for OpenTelemetry keeps the first provider it is given"
            )
    if settings.metrics.exporters:
        meters, outlet = _metrics(settings, resource)
        outlets.append(outlet)
        if providers.global_meter_provider() is None:
            _Installed.meters = meters
            metrics.set_meter_provider(meters)

    def release() -> None:
        providers.withdraw(tracers, meters)
        if tracers is not None:
            providers.retire(tracers)

    providers.choose(tracers, meters)
    register()
    return Telemetry(outlets, deadline=deadline, release=release)


def _traces(settings: Environment, resource: Resource) -> tuple[TracerProvider, Outlet]:
    """The SDK's tracer provider, and its way out."""
    health = ExportHealth("traces", _where(settings.traces))
    exporters = [
        _WatchedSpans(_span_exporter(name, settings.traces.otlp), health)
        for name in settings.traces.exporters
    ]
    provider = TracerProvider(
        sampler=_sampler(settings.sampler), resource=resource, shutdown_on_exit=False
    )
    for exporter in exporters:
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=settings.batch.queue,
                schedule_delay_millis=settings.batch.delay,
                max_export_batch_size=settings.batch.size,
            )
        )
    return provider, _outlet("traces", provider, exporters, health)


def _metrics(settings: Environment, resource: Resource) -> tuple[MeterProvider, Outlet]:
    """The SDK's meter provider, and its way out."""
    health = ExportHealth("metrics", _where(settings.metrics))
    exporters = [
        _WatchedMetrics(_metric_exporter(name, settings.metrics.otlp), health)
        for name in settings.metrics.exporters
    ]
    provider = MeterProvider(
        [
            PeriodicExportingMetricReader(
                exporter,
                export_interval_millis=settings.metric_interval,
                export_timeout_millis=settings.metric_timeout,
            )
            for exporter in exporters
        ],
        resource=resource,
        shutdown_on_exit=False,
    )
    return provider, _outlet("metrics", provider, exporters, health)


def _outlet(
    signal: str,
    provider: TracerProvider | MeterProvider,
    exporters: Sequence[_WatchedSpans | _WatchedMetrics],
    health: ExportHealth,
) -> Outlet:
    def abort() -> None:
        for exporter in exporters:
            exporter.shutdown()

    return Outlet(
        signal, flush=provider.force_flush, shutdown=provider.shutdown, abort=abort, health=health
    )


class _WatchedSpans(SpanExporter):
    """An exporter whose failures are counted, and that may be shut down twice."""

    def __init__(self, exporter: SpanExporter, health: ExportHealth) -> None:
        self._exporter = exporter
        self._health = health
        self._down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                self._health.delivered()
            else:
                self._health.lost(len(spans))
        return result

    def shutdown(self) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _WatchedMetrics(MetricExporter):
    """The same for metrics; the reader asks it for the preferences of the one it watches."""

    def __init__(self, exporter: MetricExporter, health: ExportHealth) -> None:
        super().__init__(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        self._exporter: Any = exporter  # the SDK gives its keyword arguments no types
        self._health = health
        self._down = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        result: MetricExportResult = MetricExportResult.FAILURE
        try:
            result = self._exporter.export(metrics_data, timeout_millis, **kwargs)
        finally:
            if result is MetricExportResult.SUCCESS:
                self._health.delivered()
            else:
                self._health.lost(
                    sum(
                        len(scope.metrics)
                        for resource in metrics_data.resource_metrics
                        for scope in resource.scope_metrics
                    )
                )
        return result

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        if not self._down:
            self._down = True
            self._exporter.shutdown(timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def _where(signal: Signal) -> str:
    return signal.otlp.shown if signal.otlp is not None else "the console"


def _sampler(sampler: Sampler) -> sampling.Sampler:
    roots: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(sampler.ratio),
    }
    root = roots[sampler.name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if sampler.name.startswith("parentbased_") else root


def _span_exporter(name: str, otlp: Otlp | None) -> SpanExporter:
    if name == "console" or otlp is None:
        return ConsoleSpanExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(**_grpc_options(otlp))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(**_http_options(otlp))


def _metric_exporter(name: str, otlp: Otlp | None) -> MetricExporter:
    if name == "console" or otlp is None:
        return ConsoleMetricExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(**_grpc_options(otlp))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**_http_options(otlp))


def _http_options(otlp: Otlp) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    return {
        "endpoint": otlp.endpoint,
        "headers": dict(otlp.headers),
        "timeout": otlp.timeout,
        "compression": Compression(otlp.compression),
        "certificate_file": otlp.certificate,
        "client_certificate_file": otlp.client_certificate,
        "client_key_file": otlp.client_key,
    }


def _grpc_options(otlp: Otlp) -> dict[str, Any]:
    # By name: grpc has no type information.
    compressions = import_module("grpc").Compression
    return {
        "endpoint": otlp.endpoint,
        "headers": tuple(otlp.headers.items()),
        "timeout": otlp.timeout,
        "compression": {
            "none": compressions.NoCompression,
            "gzip": compressions.Gzip,
            "deflate": compressions.Deflate,
        }[otlp.compression],
    }
