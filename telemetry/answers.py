"""Whether what answers over HTTP is a collector that has taken what it was sent.

The SDK takes every status below 400 for a success. So a redirection by a proxy, the page of a login
or of a hotel's network, and a collector that says that it has rejected something would all pass
for a delivery, and nobody would miss the spans before they are needed.

Reached through `exporters` only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["session"]

_REFUSED = 400  # a status that the exporters do not retry
_PROVIDED = "CREDENTIAL_PROVIDER"


def session(*, whole: bool, certificate: str | None = None) -> Any:
    """A session of requests for an exporter, or None where the operator has named one.

    Args:
        whole: an answer that says that a part was rejected counts as a failure, too.
        certificate: the collector's authorities, which `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`
            must not replace: requests prefers them to what the exporter tells its session.
    """
    if any(name.endswith(_PROVIDED) and "_OTLP_HTTP_" in name for name in os.environ):
        return None
    made = import_module("requests").Session()
    made.hooks["response"].append(_judge(whole))
    if certificate is not None:
        merge = made.merge_environment_settings

        def keep(url: str, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
            return merge(url, proxies, stream, certificate if verify is None else verify, cert)

        made.merge_environment_settings = keep
    return made


def _judge(whole: bool) -> Callable[..., None]:
    def look(response: Any, **_options: object) -> None:
        fault = _fault(response, whole=whole)
        if fault is not None:
            response.status_code, response.reason = _REFUSED, fault

    return look


def _fault(response: Any, *, whole: bool) -> str | None:
    """What is wrong with an answer that the SDK would take for a success."""
    status = response.status_code
    if 300 <= status < 400:
        return f"a redirection ({status}) to {response.headers.get('Location', 'nowhere')}"
    if not 200 <= status < 300:
        return None  # the SDK sees that itself
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" and response.content:
        return "a page of HTML, which no collector sends"
    if whole and kind == "application/x-protobuf":
        return _rejection(response.content)
    return None


def _rejection(body: bytes) -> str | None:
    # The answers for the three signals differ in names only: how many, and why.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    decode_error = import_module("google.protobuf.message").DecodeError  # it has no types
    try:
        part = ExportTraceServiceResponse.FromString(body).partial_success
    except decode_error:
        return "an answer that is none of a collector"
    if part.rejected_spans:
        return f"{part.rejected_spans} rejected: {part.error_message or 'it does not say why'}"
    return None
