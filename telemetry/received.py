"""What an OTLP receiver was sent, as plain frozen values with nothing dropped.

Backends keep what they have a use for: both that could be tried drop kinds, links, resources or
scopes. Here everything of a span and of a metric that OTLP carries and Brama uses is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = [
    "Event",
    "Link",
    "Log",
    "Measurement",
    "Scope",
    "Span",
    "decode_logs",
    "decode_metrics",
    "decode_spans",
]

_KINDS: Final = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_STATUS: Final = ("UNSET", "OK", "ERROR")

Attributes = Mapping[str, Any]


@attrs.frozen
class Scope:
    """Who made it: the instrumentation scope."""

    name: str
    version: str
    schema_url: str


@attrs.frozen(eq=False)
class Link:
    """A span that another one points at without being its child. Ids are lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Attributes


@attrs.frozen(eq=False)
class Event:
    """Something that happened during a span. `time` in ns since the epoch."""

    name: str
    time: int
    attributes: Attributes


@attrs.frozen(eq=False)
class Span:
    """One span. Ids are lower-case hex, `start` and `end` are ns since the epoch.

    `kind` is one of ``INTERNAL SERVER CLIENT PRODUCER CONSUMER``, `status` one of
    ``UNSET OK ERROR``; `parent_id` is None for a root.
    """

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: int
    end: int
    status: str
    status_message: str
    attributes: Attributes
    events: tuple[Event, ...]
    links: tuple[Link, ...]
    scope: Scope
    resource: Attributes

    @property
    def duration(self) -> float:
        """Seconds."""
        return (self.end - self.start) / 1e9


@attrs.frozen(eq=False)
class Log:
    """One log record. Ids are lower-case hex and None without a span; `time` in ns."""

    event_name: str
    severity: str
    severity_number: int
    body: Any
    time: int
    trace_id: str | None
    span_id: str | None
    attributes: Attributes
    scope: Scope
    resource: Attributes


@attrs.frozen(eq=False)
class Measurement:
    """One series of a metric in one export. `value` is a histogram's sum; `count` is its count.

    `buckets` and `bounds` are a histogram's. `kind` is ``sum``, ``gauge`` or ``histogram``;
    `monotonic` and `cumulative` tell of sums.
    """

    name: str
    kind: str
    unit: str
    value: float
    count: int
    monotonic: bool
    cumulative: bool
    attributes: Attributes
    scope: Scope
    resource: Attributes
    buckets: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()


def decode_spans(body: bytes) -> list[Span]:
    """The spans of an `ExportTraceServiceRequest`; raises `DecodeError` on anything else."""
    parts = ExportTraceServiceRequest.FromString(body).resource_spans
    return [_span(*sent) for sent in _sent(parts, "scope_spans", "spans")]


def decode_metrics(body: bytes) -> list[Measurement]:
    """The series of an `ExportMetricsServiceRequest`; raises `DecodeError` on anything else."""
    parts = ExportMetricsServiceRequest.FromString(body).resource_metrics
    sent = _sent(parts, "scope_metrics", "metrics")
    return [series for metric in sent for series in _measurements(*metric)]


def decode_logs(body: bytes) -> list[Log]:
    """The records of an `ExportLogsServiceRequest`; raises `DecodeError` on anything else."""
    parts = ExportLogsServiceRequest.FromString(body).resource_logs
    return [_log(*sent) for sent in _sent(parts, "scope_logs", "log_records")]


# Generated protobuf classes have no types; what leaves this module does.


def _sent(
    parts: Iterable[Any], scopes: str, records: str
) -> Iterator[tuple[Any, Scope, Attributes]]:
    """Each record of a request, with its scope and its resource."""
    for part in parts:
        resource = _attributes(part.resource.attributes)
        for scoped in getattr(part, scopes):
            scope = Scope(scoped.scope.name, scoped.scope.version, scoped.schema_url)
            for record in getattr(scoped, records):
                yield record, scope, resource


def _span(span: Any, scope: Scope, resource: Attributes) -> Span:
    return Span(
        name=span.name,
        kind=_KINDS[int(span.kind)],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex() or None,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        status=_STATUS[int(span.status.code)],
        status_message=span.status.message,
        attributes=_attributes(span.attributes),
        events=tuple(
            Event(event.name, event.time_unix_nano, _attributes(event.attributes))
            for event in span.events
        ),
        links=tuple(
            Link(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links
        ),
        scope=scope,
        resource=resource,
    )


def _log(record: Any, scope: Scope, resource: Attributes) -> Log:
    return Log(
        event_name=record.event_name,
        severity=record.severity_text,
        severity_number=int(record.severity_number),
        body=_value(record.body),
        time=record.time_unix_nano,
        trace_id=record.trace_id.hex() or None,
        span_id=record.span_id.hex() or None,
        attributes=_attributes(record.attributes),
        scope=scope,
        resource=resource,
    )


def _measurements(metric: Any, scope: Scope, resource: Attributes) -> Iterator[Measurement]:
    kind: str | None = metric.WhichOneof("data")
    if kind is None:
        return
    body: Any = getattr(metric, kind)
    histogram = kind == "histogram"
    for point in body.data_points:
        yield Measurement(
            name=metric.name,
            kind=kind,
            unit=metric.unit,
            value=point.sum if histogram else getattr(point, point.WhichOneof("value")),
            count=point.count if histogram else 1,
            monotonic=kind == "sum" and body.is_monotonic,
            cumulative=kind != "gauge" and body.aggregation_temporality == 2,
            attributes=_attributes(point.attributes),
            scope=scope,
            resource=resource,
            buckets=tuple(point.bucket_counts) if histogram else (),
            bounds=tuple(point.explicit_bounds) if histogram else (),
        )


def _attributes(pairs: Iterable[Any]) -> Attributes:
    return MappingProxyType({pair.key: _value(pair.value) for pair in pairs})


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
