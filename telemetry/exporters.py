"""The SDK's exporters, made from what the variables say. Each is imported when it is wanted.

Reached through `export` only.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter, LogRecordExporter
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    MetricExporter,
    MetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter

from .answers import session
from .environment import Otlp, Scrape
from .errors import ConfigError

__all__ = ["log_exporter", "metric_exporter", "scrape_reader", "span_exporter"]


def span_exporter(name: str, otlp: Otlp | None, *, whole: bool = False) -> SpanExporter:
    """The exporter of spans of that name, ``otlp`` or ``console``.

    `whole`: a part that the collector has rejected makes an export a failure (HTTP only).
    """
    if name == "console" or otlp is None:
        return ConsoleSpanExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
            OTLPSpanExporter as GrpcSpanExporter,
        )

        return GrpcSpanExporter(**_grpc_options(otlp))
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(**_http_options(otlp, whole))


def metric_exporter(name: str, otlp: Otlp | None, *, whole: bool = False) -> MetricExporter:
    """The same for metrics."""
    if name == "console" or otlp is None:
        return ConsoleMetricExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter(**_grpc_options(otlp))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter(**_http_options(otlp, whole))


def log_exporter(name: str, otlp: Otlp | None, *, whole: bool = False) -> LogRecordExporter:
    """The same for log records."""
    if name == "console" or otlp is None:
        return ConsoleLogRecordExporter()
    if otlp.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (
            OTLPLogExporter as GrpcLogExporter,
        )

        return GrpcLogExporter(**_grpc_options(otlp))
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter

    return OTLPLogExporter(**_http_options(otlp, whole))


def scrape_reader(
    scrape: Scrape, resource: Resource
) -> tuple[MetricReader, Callable[[], None], int]:
    """A reader that Prometheus asks over HTTP; how to end it, and the port it listens at.

    Raises:
        ConfigError: the extra is not installed, or the address cannot be had.
    """
    if find_spec("prometheus_client") is None or (
        find_spec("opentelemetry.exporter.prometheus") is None
    ):
        raise ConfigError(
            "OTEL_METRICS_EXPORTER",
            "an exporter that is installed",
            "prometheus",
            hint="Install it with: pip install 'brama[prometheus]'.",
        )
    from .scraping import serve

    try:
        return serve(scrape, resource)
    except OSError as error:
        raise ConfigError(
            "OTEL_EXPORTER_PROMETHEUS_HOST and _PORT",
            f"an address to listen at ({error.strerror or error})",
            f"{scrape.host}:{scrape.port}",
        ) from error


def _http_options(otlp: Otlp, whole: bool) -> dict[str, Any]:
    from opentelemetry.exporter.otlp.proto.http import Compression

    _check_files(otlp)
    return {
        "endpoint": otlp.endpoint,
        "headers": dict(otlp.headers),
        "timeout": otlp.timeout,
        "compression": Compression(otlp.compression),
        "certificate_file": otlp.certificate,
        "client_certificate_file": otlp.client_certificate,
        "client_key_file": otlp.client_key,
        "session": session(whole=whole, certificate=otlp.certificate),
    }


def _grpc_options(otlp: Otlp) -> dict[str, Any]:
    # By name: grpc has no type information.
    grpc = import_module("grpc")
    compressions = grpc.Compression
    credentials = None
    if otlp.endpoint.startswith("https:"):
        _check_files(otlp)
        credentials = grpc.ssl_channel_credentials(
            root_certificates=_read("CERTIFICATE", otlp.certificate),
            private_key=_read("CLIENT_KEY", otlp.client_key),
            certificate_chain=_read("CLIENT_CERTIFICATE", otlp.client_certificate),
        )
    return {
        "endpoint": otlp.endpoint,
        "insecure": credentials is None,
        "credentials": credentials,
        "headers": tuple(otlp.headers.items()),
        "timeout": otlp.timeout,
        "compression": {
            "none": compressions.NoCompression,
            "gzip": compressions.Gzip,
            "deflate": compressions.Deflate,
        }[otlp.compression],
    }


def _check_files(otlp: Otlp) -> None:
    """Raise `ConfigError` where a connection would fail for good over one of the files."""
    if not otlp.endpoint.startswith("https:"):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # A directory is one of authorities, which OpenSSL looks up when it needs one.
    if otlp.certificate is not None and not Path(otlp.certificate).is_dir():
        _loaded("OTEL_EXPORTER_OTLP_CERTIFICATE", otlp.certificate, context.load_verify_locations)
    if otlp.client_certificate is not None:
        _loaded(
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _CLIENT_KEY",
            otlp.client_certificate,
            lambda path: context.load_cert_chain(path, otlp.client_key),
        )


def _loaded(variable: str, path: str, load: Callable[[str], object]) -> None:
    try:
        load(path)
    except OSError as error:  # ssl's own errors among them
        raise ConfigError(
            variable, f"a file in PEM format ({error.strerror or error})", path
        ) from error


def _read(kind: str, path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:  # a directory, which gRPC does not take
        raise ConfigError(
            f"OTEL_EXPORTER_OTLP_{kind}", f"a file that can be read ({error.strerror})", path
        ) from error
