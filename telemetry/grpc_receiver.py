"""The gRPC side of the receiver: the three collector services, on loopback."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final

from .request import Request

__all__ = ["serve"]

_SERVICES: Final = {
    "opentelemetry.proto.collector.trace.v1.TraceService": "/v1/traces",
    "opentelemetry.proto.collector.metrics.v1.MetricsService": "/v1/metrics",
    "opentelemetry.proto.collector.logs.v1.LogsService": "/v1/logs",
}


def serve(take: Callable[[Request, bytes], int]) -> tuple[int, Callable[[], None]]:
    """Listen on any free port of loopback; that port, and how to stop.

    Bodies are taken as bytes, inflated by grpc, and answered with what `take` says in HTTP's
    terms: 200, 503 (unavailable), anything else is refused.
    """
    grpc = import_module("grpc")  # by name: grpc has no type information
    pool = ThreadPoolExecutor(4, thread_name_prefix="otlp-receiver-grpc")
    server: Any = grpc.server(pool)

    def handler(path: str) -> Any:
        def export(body: bytes, context: Any) -> bytes:
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            status = take(Request(path, headers, len(body)), body)
            if status == 503:
                context.abort(grpc.StatusCode.UNAVAILABLE, "injected")
            if status != 200:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not understood ({status})")
            return b""

        return grpc.unary_unary_rpc_method_handler(export)

    for service, path in _SERVICES.items():
        handlers = {"Export": handler(path)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = int(server.add_insecure_port("127.0.0.1:0"))
    server.start()

    def stop() -> None:
        server.stop(grace=0).wait(2.0)
        pool.shutdown(wait=False)

    return port, stop
