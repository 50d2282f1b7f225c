"""`brama check-telemetry`: does what we send arrive? One span, one metric, one log record.

The settings are those that `configure` would use, but nothing is installed and nothing queued:
each item goes through its real exporter at once, and what became of it is told. That answers most
of the questions that a missing trace raises.

Like `export` it needs the SDK, and is imported only when it is used.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from . import names
from .environment import Environment, Signal, checked, read, withheld
from .errors import ConfigError
from .exporters import log_exporter, metric_exporter, scrape_reader, span_exporter
from .health import ExportHealth, hush, last_words
from .providers import version
from .throttle import Throttle
from .watched import Exporter, WatchedLogs, WatchedMetrics, WatchedSpans

__all__ = ["Finding", "Report", "check_telemetry"]

Outcome = Literal["accepted", "failed", "not sent"]


@attrs.frozen
class Finding:
    """What became of one item.

    Attributes:
        signal: ``traces``, ``metrics`` or ``logs``.
        what: the item, in words.
        where: to which exporter and endpoint.
        outcome: ``accepted`` by whoever got it, ``failed``, or ``not sent`` on purpose.
        detail: the exporter's own words about a failure, or why it was not sent.
        seconds: how long it took.
    """

    signal: str
    what: str
    where: str
    outcome: Outcome
    detail: str
    seconds: float


@attrs.frozen
class Report:
    """What became of all of them."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing failed. What was not sent on purpose has not."""
        return all(finding.outcome != "failed" for finding in self.findings)


def check_telemetry(
    *,
    endpoint: str | None = None,
    timeout: float = 5.0,
    environ: Mapping[str, str] | None = None,
) -> Report:
    """Send one span, one metric and one log record, and say what happened to each.

    Args:
        endpoint: as for `configure`.
        timeout: seconds after which an exporter that has not come back counts as failed.
        environ: where the variables are read; None, the default, is `os.environ`.

    Raises:
        ConfigError: a variable has a wrong value.

    Threads: any; blocks up to `timeout` for each exporter.
    """
    environ = os.environ if environ is None else checked(environ)
    reason = withheld(environ)
    if reason is not None:
        return Report(
            tuple(Finding(signal, "-", "-", "not sent", reason, 0.0) for signal in _SIGNALS)
        )
    settings = read(environ, endpoint=endpoint)
    hush()
    resource = Resource.create(dict(settings.resource))
    findings: list[Finding] = []
    for signal, send in _SIGNALS.items():
        own: Signal = getattr(settings, signal)
        if not own.exporters:
            why = f"OTEL_{signal.upper()}_EXPORTER is none"
            findings.append(Finding(signal, "-", "-", "not sent", why, 0.0))
        findings.extend(
            _try(signal, name, own, settings, resource, send, timeout) for name in own.exporters
        )
    return Report(tuple(findings))


@attrs.frozen
class _Attempt:
    """An exporter that is to be tried, and what there is to try it with."""

    name: str
    own: Signal
    settings: Environment
    resource: Resource
    health: ExportHealth
    made: list[Exporter] = attrs.field(factory=list)


def _try(
    signal: str,
    name: str,
    own: Signal,
    settings: Environment,
    resource: Resource,
    send: Callable[[_Attempt], str],
    timeout: float,
) -> Finding:
    where = name
    if name == "otlp" and own.otlp is not None:
        where = f"otlp ({own.otlp.protocol}) {own.otlp.shown}"
    elif name == "prometheus":
        where = f"prometheus at {settings.scrape.host}:{settings.scrape.port}"
    silent = Throttle(1e9)
    silent.admit()  # what it has to say is said here, not in the log
    health = ExportHealth(signal, where, silent)
    attempt = _Attempt(name, own, settings, resource, health)
    said: list[str] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            said.append(send(attempt))
        except Exception as error:  # noqa: BLE001 - it is told, whatever it is
            faults.append(error)

    last_words(forget=True)
    began = time.monotonic()
    thread = threading.Thread(target=run, name=f"brama-check-{signal}", daemon=True)
    thread.start()
    thread.join(timeout)
    late = thread.is_alive()
    for exporter in attempt.made:
        threading.Thread(target=exporter.shutdown, daemon=True).start()
    seconds = time.monotonic() - began
    what = said[0] if said else _WHAT[signal]
    if faults and isinstance(faults[0], ConfigError):
        return Finding(signal, what, where, "failed", str(faults[0]), seconds)
    if faults:
        text = f"{type(faults[0]).__qualname__}: {faults[0]}"
        return Finding(signal, what, where, "failed", text, seconds)
    if late:
        words = last_words() or "it did not answer"
        return Finding(
            signal, what, where, "failed", f"not done in {timeout:g} s: {words}", seconds
        )
    if health.failures:
        words = last_words() or "the exporter does not say why"
        return Finding(signal, what, where, "failed", words, seconds)
    return Finding(signal, what, where, "accepted", "", seconds)


def _send_span(one: _Attempt) -> str:
    exporter = WatchedSpans(span_exporter(one.name, one.own.otlp, whole=True), one.health)
    one.made.append(exporter)
    provider = TracerProvider(resource=one.resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(names.TELEMETRY, version(), names.SCHEMA_URL)
    span = tracer.start_span(names.CHECK_SPAN)
    span.end()
    return f"span {names.CHECK_SPAN!r} of trace {span.get_span_context().trace_id:032x}"


def _send_metric(one: _Attempt) -> str:
    reader: Any
    if one.name == "prometheus":
        reader, stop, port = scrape_reader(one.settings.scrape, one.resource)
        stop()
        return f"metrics could be fetched at port {port}"
    sender = metric_exporter(one.name, one.own.otlp, whole=True)
    exporter = WatchedMetrics(sender, one.health, one.resource)
    one.made.append(exporter)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], resource=one.resource, shutdown_on_exit=False)
    meter = provider.get_meter(names.TELEMETRY, version(), names.SCHEMA_URL)
    meter.create_counter(names.CHECK, unit="{check}").add(1)
    provider.force_flush()
    return _WHAT["metrics"]


def _send_log(one: _Attempt) -> str:
    exporter = WatchedLogs(log_exporter(one.name, one.own.otlp, whole=True), one.health)
    one.made.append(exporter)
    provider = LoggerProvider(resource=one.resource, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger(names.TELEMETRY, version(), names.SCHEMA_URL).emit(
        LogRecord(
            timestamp=time.time_ns(),
            severity_text="INFO",
            severity_number=SeverityNumber.INFO,
            body="brama check-telemetry",
            event_name=names.CHECK,
        )
    )
    return _WHAT["logs"]


_SIGNALS: Mapping[str, Callable[[_Attempt], str]] = {
    "traces": _send_span,
    "metrics": _send_metric,
    "logs": _send_log,
}
_WHAT: Mapping[str, str] = {
    "traces": f"span {names.CHECK_SPAN!r}",
    "metrics": f"metric {names.CHECK!r} = 1",
    "logs": f"log event {names.CHECK!r}",
}
