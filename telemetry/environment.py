"""The standard `OTEL_*` variables, read and checked: what is wrong is said where it is given.

The SDK logs a warning for a wrong value and goes on with another one; or raises from deep
inside; and takes gRPC where the specification prefers HTTP. So Brama reads the variables that it
supports itself and hands the SDK plain values. Those it does not know (span limits, metric
temporality, …) the SDK reads as always.

Rules of the specification ("Environment Variable Specification"): an empty variable is an unset
one; a variable of one signal goes before the general one; a general endpoint gets the signal's
path appended, a signal's own is taken as it is. Where the Python SDK differs from it, the SDK
holds: `OTEL_EXPORTER_OTLP_TIMEOUT` is in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

import attrs

from .errors import ConfigError, unknown
from .variables import Variables

__all__ = [
    "Batch",
    "Environment",
    "Otlp",
    "Sampler",
    "Scrape",
    "Signal",
    "check_of_the_sdk",
    "checked",
    "read",
    "withheld",
]

Protocol = Literal["http/protobuf", "grpc"]
Compression = Literal["none", "gzip", "deflate"]

PROTOCOLS: Final = ("http/protobuf", "grpc")
COMPRESSIONS: Final = ("none", "gzip", "deflate")
EXPORTERS: Final = ("otlp", "console", "none")
METRIC_EXPORTERS: Final = (*EXPORTERS, "prometheus")
SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
EXEMPLARS: Final = ("always_on", "always_off", "trace_based")
TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")
AGGREGATIONS: Final = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)
"""What the SDK reads itself, and raises a bare `ValueError` over."""
TIMEOUT: Final = 3.0
"""Seconds for one export. The SDK's ten are longer than any process should wait at its end."""


@attrs.frozen
class Otlp:
    """Where and how one signal is sent by OTLP. `timeout` in seconds."""

    endpoint: str
    protocol: Protocol
    headers: Mapping[str, str] = attrs.field(repr=False)  # they carry credentials
    timeout: float
    compression: Compression
    certificate: str | None
    client_certificate: str | None
    client_key: str | None

    @property
    def shown(self) -> str:
        """The endpoint without user name and password, for log lines."""
        url = urlsplit(self.endpoint)
        return url._replace(netloc=url.netloc.rpartition("@")[2]).geturl()


@attrs.frozen
class Signal:
    """The exporters of one signal, from `EXPORTERS` without ``none``; `otlp` for that one."""

    exporters: tuple[str, ...]
    otlp: Otlp | None


@attrs.frozen
class Sampler:
    """One of `SAMPLERS`, and its ratio from 0 to 1."""

    name: str
    ratio: float


@attrs.frozen
class Batch:
    """How spans or log records are collected before they are sent. `delay` in milliseconds."""

    queue: int
    size: int
    delay: float


@attrs.frozen
class Scrape:
    """Where Prometheus finds the metrics. Port 0 is any free one."""

    host: str
    port: int


@attrs.frozen
class Environment:
    """Everything that the variables say. `metric_interval` and `metric_timeout` in ms."""

    resource: Mapping[str, str]
    traces: Signal
    metrics: Signal
    logs: Signal
    sampler: Sampler
    batch: Batch
    log_batch: Batch
    scrape: Scrape
    metric_interval: float
    metric_timeout: float


def checked(environ: object) -> Mapping[str, str]:
    """`environ`; raises `ConfigError` unless it is a mapping of texts."""
    if isinstance(environ, Mapping):
        given: Mapping[Any, Any] = environ
        if all(isinstance(value, str) for value in given.values()):
            return given
        # Not the mapping itself: it may hold credentials, and errors end up in logs.
        environ = next(value for value in given.values() if not isinstance(value, str))
    raise ConfigError("environ", "a mapping of texts by name, or None", environ)


def withheld(environ: Mapping[str, str]) -> str | None:
    """Why nothing is to be configured, whatever the other variables say; None if it is.

    Raises:
        ConfigError: `OTEL_SDK_DISABLED` is neither true nor false.
    """
    variables = Variables(environ)
    if variables.flag("OTEL_SDK_DISABLED"):
        return "OTEL_SDK_DISABLED is true"
    if variables.text("OTEL_CONFIG_FILE"):
        return "OTEL_CONFIG_FILE leaves it to the SDK's own configuration"
    return None


def read(
    environ: Mapping[str, str],
    *,
    endpoint: str | None = None,
    service_name: str | None = None,
) -> Environment:
    """Read `environ`; `endpoint` (for all signals) and `service_name` go before it.

    Raises:
        ConfigError: a variable has a wrong value; names it, what was expected, what was got.
    """
    variables = Variables(environ)
    if endpoint is not None and not _is_target(endpoint):
        _check_url("endpoint", endpoint)
    if service_name is not None and not isinstance(service_name, str):
        raise ConfigError("service_name", "a text", service_name)
    return Environment(
        resource=_resource(variables, service_name),
        traces=_signal(variables, "TRACES", endpoint),
        metrics=_signal(variables, "METRICS", endpoint),
        logs=_signal(variables, "LOGS", endpoint),
        sampler=_sampler(variables),
        batch=_batch(variables, "OTEL_BSP", delay=5000.0),
        log_batch=_batch(variables, "OTEL_BLRP", delay=1000.0),
        scrape=Scrape(
            variables.text("OTEL_EXPORTER_PROMETHEUS_HOST") or "localhost",
            variables.port("OTEL_EXPORTER_PROMETHEUS_PORT", 9464),
        ),
        metric_interval=variables.number("OTEL_METRIC_EXPORT_INTERVAL", 60000.0),
        metric_timeout=variables.number("OTEL_METRIC_EXPORT_TIMEOUT", 30000.0),
    )


def check_of_the_sdk(environ: Mapping[str, str]) -> None:
    """Check what the SDK reads itself, at the latest while it is imported.

    Raises:
        ConfigError: a variable has a wrong value.
    """
    variables = Variables(environ)
    for name in LIMITS:
        variables.limit(name)
    variables.choice("OTEL_METRICS_EXEMPLAR_FILTER", EXEMPLARS, "trace_based")
    metrics = "OTEL_EXPORTER_OTLP_METRICS"
    variables.choice(f"{metrics}_TEMPORALITY_PREFERENCE", TEMPORALITIES, TEMPORALITIES[0])
    variables.choice(f"{metrics}_DEFAULT_HISTOGRAM_AGGREGATION", AGGREGATIONS, AGGREGATIONS[0])
    # Of a name that there is not, the SDK logs a traceback, and goes on without.
    _check_installed(variables, "OTEL_PYTHON_CONTEXT", "opentelemetry_context")
    for variable, group, known in (
        ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "opentelemetry_resource_detector", {"*", "otel"}),
        ("OTEL_PROPAGATORS", "opentelemetry_propagator", {"none", "tracecontext", "baggage"}),
    ):
        for name in (variables.text(variable) or "").split(","):
            if name.strip() not in {"", *known}:
                _check_installed(variables, variable, group, name.strip())


def _check_installed(
    variables: Variables, variable: str, group: str, name: str | None = None
) -> None:
    """Raise `ConfigError` unless a package has an entry point of that group and name."""
    name = name or variables.text(variable)
    if name is None:
        return
    from importlib.metadata import entry_points

    known = entry_points(group=group).names
    if name not in known:
        raise unknown(variable, name, tuple(sorted(known)))


def _batch(variables: Variables, prefix: str, *, delay: float) -> Batch:
    queue = variables.whole(f"{prefix}_MAX_QUEUE_SIZE", 2048)
    size = variables.whole(f"{prefix}_MAX_EXPORT_BATCH_SIZE", min(512, queue))
    if size > queue:
        raise ConfigError(
            f"{prefix}_MAX_EXPORT_BATCH_SIZE", f"at most {prefix}_MAX_QUEUE_SIZE ({queue})", size
        )
    return Batch(queue, size, variables.number(f"{prefix}_SCHEDULE_DELAY", delay))


def _signal(variables: Variables, signal: str, endpoint: str | None) -> Signal:
    name = f"OTEL_{signal}_EXPORTER"
    exporters = tuple(part.strip().lower() for part in (variables.text(name) or "otlp").split(","))
    known = METRIC_EXPORTERS if signal == "METRICS" else EXPORTERS
    for exporter in exporters:
        if exporter not in known:
            raise unknown(name, exporter, known)
    if "none" in exporters:
        if len(exporters) > 1:
            raise ConfigError(name, "none alone, or a list without it", variables.text(name))
        return Signal((), None)
    return Signal(exporters, _otlp(variables, signal, endpoint) if "otlp" in exporters else None)


def _otlp(variables: Variables, signal: str, endpoint: str | None) -> Otlp:
    own = variables.text(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    name = variables.of_signal(signal, "ENDPOINT") if endpoint is None else "endpoint"
    given = endpoint or variables.text(name)
    protocol = _protocol(variables, signal, given)
    if given is not None:
        if protocol == "grpc" and _is_target(given):
            # A scheme would say whether it is a secure one.
            insecure = variables.flag(variables.of_signal(signal, "INSECURE"))
            given = f"{'http' if insecure else 'https'}://{given}"
        _check_url(name, given)
    if given is None:
        given = "http://localhost:4317" if protocol == "grpc" else "http://localhost:4318"
    if protocol == "http/protobuf" and (endpoint is not None or own is None):
        given = f"{given.removesuffix('/')}/v1/{signal.lower()}"
    return Otlp(
        endpoint=given,
        protocol=protocol,
        headers=MappingProxyType(
            {
                key.lower(): value
                for key, value in variables.pairs(variables.of_signal(signal, "HEADERS")).items()
            }
        ),
        timeout=variables.number(variables.of_signal(signal, "TIMEOUT"), TIMEOUT),
        compression=cast(
            "Compression",
            variables.choice(variables.of_signal(signal, "COMPRESSION"), COMPRESSIONS, "none"),
        ),
        certificate=variables.text(variables.of_signal(signal, "CERTIFICATE")),
        client_certificate=variables.text(variables.of_signal(signal, "CLIENT_CERTIFICATE")),
        client_key=variables.text(variables.of_signal(signal, "CLIENT_KEY")),
    )


def _protocol(variables: Variables, signal: str, endpoint: str | None) -> Protocol:
    name = variables.of_signal(signal, "PROTOCOL")
    if variables.text(name) is None:
        # The specification prefers HTTP; an endpoint at gRPC's own port says otherwise.
        return "grpc" if endpoint is not None and _port(endpoint) == 4317 else "http/protobuf"
    return cast("Protocol", variables.choice(name, PROTOCOLS, "http/protobuf"))


def _is_target(endpoint: object) -> bool:
    """Whether it is a host and a port without a scheme, as gRPC takes it."""
    return isinstance(endpoint, str) and "://" not in endpoint and _port(endpoint) is not None


def _port(endpoint: str) -> int | None:
    try:
        return urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").port
    except ValueError:
        return None


def _resource(variables: Variables, service_name: str | None) -> Mapping[str, str]:
    attributes = variables.pairs("OTEL_RESOURCE_ATTRIBUTES")
    service = service_name or variables.text("OTEL_SERVICE_NAME")
    if service is not None:
        attributes["service.name"] = service
    return MappingProxyType(attributes)


def _sampler(variables: Variables) -> Sampler:
    name = variables.choice("OTEL_TRACES_SAMPLER", SAMPLERS, "parentbased_always_on")
    # The argument belongs to the ratio samplers; others must not stumble over it.
    ratio = variables.ratio("OTEL_TRACES_SAMPLER_ARG") if "ratio" in name else 1.0
    return Sampler(name, ratio)


def _check_url(option: str, url: Any) -> None:
    expected = "a URL such as http://localhost:4318"
    if not isinstance(url, str):
        raise ConfigError(option, expected, url)
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a broken IPv6 address
        fits = False
    if not fits:
        raise ConfigError(option, expected, url.rpartition("@")[2])
