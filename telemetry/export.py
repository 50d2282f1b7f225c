"""`configure()`: send Brama's telemetry, and the application's, to an OTLP endpoint.

The door to OpenTelemetry's SDK and its exporters: this module and those that it alone imports
(`exporters`, `points`, `scraping`, `watched`) are, beside those for tests (`captured`, `capturing`
and the receiver), the only ones that need it; nothing imports this module before
`brama.telemetry.configure` is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, TypeVar

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from . import flags, providers
from .capturing import capturing
from .environment import Batch, Environment, Sampler, Signal, checked, read, withheld
from .errors import ConfigError
from .exporters import log_exporter, metric_exporter, scrape_reader, span_exporter
from .faults import LOGGER
from .flags import Options, Relationship, Spans
from .handle import Outlet, Telemetry, check_deadline
from .health import ExportHealth, hush
from .metrics import deliver_exactly, register
from .watched import Exporter, WatchedLogs, WatchedMetrics, WatchedSpans

__all__ = ["configure"]


def configure(
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    logger_provider: _logs.LoggerProvider | None = None,
    spans: Spans = "exceptional",
    sample: float = 1.0,
    span_rate: float | None = 50.0,
    span_relationship: Relationship = "child",
    deadline: float | timedelta = 2.0,
    environ: Mapping[str, str] | None = None,
) -> Telemetry:
    """Set up tracing, metrics and log events by the standard `OTEL_*` variables.

    Example:
        >>> telemetry = configure(environ={"OTEL_SDK_DISABLED": "true"})
        >>> telemetry.exporting
        False

    It installs OpenTelemetry's global providers, so that the application's own spans arrive as
    well. It does nothing, and says so in one INFO line, when the application has installed
    providers itself, when `OTEL_SDK_DISABLED` is true, or when `OTEL_CONFIG_FILE` is set. Asked
    again while it is exporting, it returns the handle it gave before.

    What goes where, and by which protocol, is one INFO line.

    Given a provider, it sets up nothing: Brama uses that one until the handle's `shutdown`, and
    leaves flushing and shutting it down to whoever made it.

    Args:
        endpoint: base URL of the collector for all signals, such as ``http://localhost:4318``, or
            for gRPC ``collector:4317``; goes before `OTEL_EXPORTER_OTLP_ENDPOINT`.
        service_name: goes before `OTEL_SERVICE_NAME`.
        tracer_provider: for Brama's spans, instead of the global one.
        meter_provider: for Brama's metrics, instead of the global one.
        logger_provider: for Brama's log events, instead of the global one.
        spans: of guarded calls: ``"exceptional"`` (the default: refused calls and failed
            probes), ``"calls"`` (all of them) or ``"none"``. Holds whoever owns the provider.
        sample: with ``spans="calls"``, the share of calls that get a span, from 0 to 1.
        span_rate: spans of one kind (transitions, refused calls, failed probes, restarts) per
            second; four seconds' worth may come at once, the rest is counted. None: no limit.
        span_relationship: of a handler's span to its publication: ``"child"`` (up to 64
            subscribers, and linked always), ``"link"`` (a root, linked) or ``"none"``.
        deadline: seconds (or a `timedelta`) that a flush, a shutdown or the exit of the process
            may take.
        environ: where the variables are read; None, the default, is `os.environ`.

    Variables: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
    `OTEL_{TRACES,METRICS,LOGS}_EXPORTER` (``otlp``, ``console``, ``none``; default ``otlp``; for
    metrics also ``prometheus``, at `OTEL_EXPORTER_PROMETHEUS_{HOST,PORT}`),
    `OTEL_EXPORTER_OTLP_[{TRACES,METRICS,LOGS}_]{ENDPOINT,PROTOCOL,HEADERS,TIMEOUT,COMPRESSION,
    CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY,INSECURE}` (the time-out in seconds, as everywhere in
    Python's SDK, default 3; `INSECURE` for a gRPC endpoint without a scheme),
    `OTEL_TRACES_SAMPLER[_ARG]`, `OTEL_BSP_*`, `OTEL_BLRP_*`,
    `OTEL_METRIC_EXPORT_{INTERVAL,TIMEOUT}`; what else the SDK knows, it reads from
    `os.environ` itself. Protocol: ``http/protobuf``, unless said otherwise or the endpoint is at
    port 4317.

    Raises:
        ConfigError: a variable or an argument has a wrong value; nothing has been set up then.

    Failure: a collector that is down costs the service nothing but what is lost; one line a
    minute says so.
    Threads: any; call it once, early, and after a fork only in workers (gunicorn: `post_fork`).
    """
    deadline = check_deadline(deadline)
    options = Options(spans, sample, span_rate, span_relationship)
    _check_provider("tracer_provider", tracer_provider, "get_tracer")
    _check_provider("meter_provider", meter_provider, "get_meter")
    _check_provider("logger_provider", logger_provider, "get_logger")
    environ = os.environ if environ is None else checked(environ)
    if (tracer_provider, meter_provider, logger_provider) != (None, None, None):
        flags.use(options)
        return _borrow(tracer_provider, meter_provider, logger_provider, deadline)
    if capturing():
        return _nothing("a test captures what Brama tells", deadline)
    reason = withheld(environ)
    if reason is not None:
        flags.use(options)
        return _nothing(reason, deadline)
    settings = read(environ, endpoint=endpoint, service_name=service_name)
    with _Installed.lock:  # of two threads, the second gets the handle of the first
        if _Installed.handle is not None and _Installed.handle.exporting:
            LOGGER.info("telemetry is configured already; the handle from then is returned")
            return _Installed.handle
        if (
            _is_foreign(providers.global_tracer_provider(), _Installed.tracers)
            or _is_foreign(providers.global_meter_provider(), _Installed.meters)
            or _is_foreign(providers.global_logger_provider(), _Installed.loggers)
        ):
            flags.use(options)
            return _nothing("the application has its own provider, which Brama uses", deadline)
        _Installed.handle = _install(settings, deadline)
        LOGGER.info("telemetry exports %s", _ways(settings))
        flags.use(options)
        return _Installed.handle


def _check_provider(option: str, given: object, method: str) -> None:
    if given is not None and (
        isinstance(given, type) or not callable(getattr(given, method, None))
    ):
        raise ConfigError(option, f"a provider of OpenTelemetry's, with {method}(), or None", given)


class _Installed:
    """What this process has installed. The API can set a global provider once, never unset it."""

    handle: Telemetry | None = None
    tracers: trace.TracerProvider | None = None
    meters: metrics.MeterProvider | None = None
    loggers: _logs.LoggerProvider | None = None
    lock = threading.RLock()  # Invariant: the four above are read and replaced under it.


def _after_fork() -> None:
    _Installed.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_foreign(provider: object | None, ours: object | None) -> bool:
    return provider is not None and provider is not ours


def _nothing(reason: str, deadline: float) -> Telemetry:
    LOGGER.info("telemetry sets nothing up: %s", reason)
    register()
    return Telemetry(deadline=deadline)


def _borrow(
    tracers: trace.TracerProvider | None,
    meters: metrics.MeterProvider | None,
    loggers: _logs.LoggerProvider | None,
    deadline: float,
) -> Telemetry:
    providers.choose(tracers, meters, loggers)
    register()
    return Telemetry(
        deadline=deadline, release=lambda: providers.withdraw(tracers, meters, loggers)
    )


def _install(settings: Environment, deadline: float) -> Telemetry:
    hush()
    resource = Resource.create(dict(settings.resource))
    tracers: TracerProvider | None = None
    meters: MeterProvider | None = None
    loggers: LoggerProvider | None = None
    outlets: list[Outlet] = []
    with ExitStack() as undo:
        if settings.metrics.exporters:
            meters, outlet = _metrics(settings, resource, undo)
            outlets.append(outlet)
        if settings.traces.exporters:
            tracers, outlet = _traces(settings, resource, undo)
            outlets.append(outlet)
        if settings.logs.exporters:
            loggers, outlet = _log_records(settings, resource, undo)
            outlets.append(outlet)
        undo.pop_all()  # nothing fails from here on, and nothing global was set before
    if meters is not None and providers.global_meter_provider() is None:
        _Installed.meters = meters
        metrics.set_meter_provider(meters)
    if tracers is not None:
        if providers.global_tracer_provider() is None:
            _Installed.tracers = tracers
            trace.set_tracer_provider(tracers)
        else:
            LOGGER.info(
                "telemetry was configured before in this process: Brama's own spans are exported, "
                "the application's are not, for OpenTelemetry keeps the first provider it is given"
            )
    if loggers is not None and providers.global_logger_provider() is None:
        _Installed.loggers = loggers
        _logs.set_logger_provider(loggers)

    def release() -> None:
        providers.withdraw(tracers, meters, loggers)
        for provider in (tracers, loggers):
            if provider is not None:
                providers.retire(provider)

    providers.choose(tracers, meters, loggers)
    register()
    return Telemetry(outlets, deadline=deadline, release=release)


E = TypeVar("E", bound=Exporter)


def _kept(exporter: E, undo: ExitStack) -> E:
    """`exporter`, which is told to give up before anything else if not all can be set up."""
    undo.callback(exporter.shutdown)
    return exporter


def _traces(
    settings: Environment, resource: Resource, undo: ExitStack
) -> tuple[TracerProvider, Outlet]:
    """The SDK's tracer provider, and its way out."""
    health = ExportHealth("traces", _where(settings.traces))
    exporters = [
        _kept(WatchedSpans(span_exporter(name, settings.traces.otlp), health), undo)
        for name in settings.traces.exporters
    ]
    provider = TracerProvider(
        sampler=_sampler(settings.sampler), resource=resource, shutdown_on_exit=False
    )
    undo.callback(provider.shutdown)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter, **_limits(settings.batch)))
    return provider, _outlet("traces", provider, exporters, health, undo)


def _metrics(
    settings: Environment, resource: Resource, undo: ExitStack
) -> tuple[MeterProvider, Outlet]:
    """The SDK's meter provider, and its way out."""
    health = ExportHealth("metrics", _where(settings.metrics))
    exporters: list[Exporter] = []
    readers: list[MetricReader] = []
    for name in settings.metrics.exporters:
        if name == "prometheus":
            reader, stop, port = scrape_reader(settings.scrape, resource)
            readers.append(reader)
            exporters.append(_kept(_Listening(stop), undo))
            LOGGER.info("metrics for Prometheus at http://%s:%d", settings.scrape.host, port)
            continue
        exporter = WatchedMetrics(metric_exporter(name, settings.metrics.otlp), health, resource)
        exporters.append(_kept(exporter, undo))
        periodic = PeriodicExportingMetricReader(
            exporter,
            export_interval_millis=settings.metric_interval,
            export_timeout_millis=settings.metric_timeout,
        )
        undo.callback(periodic.shutdown)
        readers.append(periodic)
    provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    deliver_exactly(provider)
    return provider, _outlet("metrics", provider, exporters, health, undo)


class _Listening:
    """The server that Prometheus asks, ended like an exporter."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop: Callable[[], None] | None = stop

    def shutdown(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()


def _log_records(
    settings: Environment, resource: Resource, undo: ExitStack
) -> tuple[LoggerProvider, Outlet]:
    """The SDK's logger provider, and its way out."""
    health = ExportHealth("logs", _where(settings.logs))
    exporters = [
        _kept(WatchedLogs(log_exporter(name, settings.logs.otlp), health), undo)
        for name in settings.logs.exporters
    ]
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    undo.callback(provider.shutdown)
    for exporter in exporters:
        provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, **_limits(settings.log_batch))
        )
    return provider, _outlet("logs", provider, exporters, health, undo)


def _limits(batch: Batch) -> dict[str, Any]:
    """As the SDK calls them."""
    return {
        "max_queue_size": batch.queue,
        "schedule_delay_millis": batch.delay,
        "max_export_batch_size": batch.size,
    }


def _outlet(
    signal: str,
    provider: TracerProvider | MeterProvider | LoggerProvider,
    exporters: Sequence[Exporter],
    health: ExportHealth,
    undo: ExitStack,
) -> Outlet:
    down: Any = provider.shutdown
    health.show()

    def abort() -> None:
        for exporter in exporters:
            exporter.shutdown()

    def shutdown() -> None:
        down()
        for exporter in exporters:
            if isinstance(exporter, _Listening):
                exporter.shutdown()

    outlet = Outlet(
        signal, flush=provider.force_flush, shutdown=shutdown, abort=abort, health=health
    )
    undo.callback(outlet.end)
    undo.callback(abort)  # before the provider, which would export once more
    return outlet


def _ways(settings: Environment) -> str:
    """What goes where, for the line that tells which protocol was chosen."""
    ways = []
    for name, signal in (
        ("traces", settings.traces),
        ("metrics", settings.metrics),
        ("logs", settings.logs),
    ):
        if signal.exporters:
            how = f" by {signal.otlp.protocol}" if signal.otlp is not None else ""
            ways.append(f"{name} to {_where(signal)}{how}")
    return ", ".join(ways) or "nothing"


def _where(signal: Signal) -> str:
    if signal.otlp is not None:
        return signal.otlp.shown
    return "Prometheus" if "prometheus" in signal.exporters else "the console"


def _sampler(sampler: Sampler) -> sampling.Sampler:
    roots: dict[str, sampling.Sampler] = {
        "always_on": sampling.ALWAYS_ON,
        "always_off": sampling.ALWAYS_OFF,
        "traceidratio": sampling.TraceIdRatioBased(sampler.ratio),
    }
    root = roots[sampler.name.removeprefix("parentbased_")]
    return sampling.ParentBased(root) if sampler.name.startswith("parentbased_") else root
