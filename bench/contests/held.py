"""What telemetry keeps in memory while its collector is dead: at most a full queue."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager

from bench.child import child
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree

__all__ = ["HELD"]

CIRCUITS = 2_000
QUEUE = 2_048
"""Spans that the SDK keeps for its exporter, unless told otherwise."""

# The code of the SDK is loaded before, and each circuit has all the evidence that it ever keeps: it
# is measured what is kept for the traffic from there on. By tracemalloc, or in pages that are
# resident: there one sees what lies outside of Python's own allocator, and what that keeps.
KEPT = """
import gc, json, linecache, sys, time, tracemalloc
import brama, brama.telemetry.export
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
way, sampler, metrics, size, endpoint = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
brama.telemetry.export.hush()
tracer = TracerProvider(shutdown_on_exit=False)
tracer.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint, timeout=1)))
with tracer.get_tracer("bench").start_as_current_span("first"):
    pass
reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint, timeout=1))
meter = MeterProvider([reader], shutdown_on_exit=False)
meter.get_meter("bench").create_counter("first").add(1)
meter.force_flush(1000)
meter.shutdown()
tracer.shutdown()
del tracer, reader, meter

def used():
    linecache.clearcache()  # the source texts of a traceback that somebody has printed
    for _ in range(3):
        gc.collect()
    if way == "traced":
        return tracemalloc.get_traced_memory()[0]
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * __import__("resource").getpagesize()

def fail():
    raise OSError("down")

if way == "traced":
    tracemalloc.start()
with brama.System() as system:
    circuits = [system.circuit(f"connection-{number}") for number in range(size)]
    def traffic(rounds):
        calls = 0
        for _ in range(rounds):
            for circuit in circuits:
                try:
                    circuit.call(fail)
                except OSError:
                    pass
                circuit.call(int)
                calls += 2
            for circuit in circuits[::200]:
                circuit.open_circuit()
                circuit.try_acquire()
                circuit.close_circuit()
        time.sleep(1.5)  # until the metrics were collected once more
        return calls
    traffic(6)
    before = used()
    telemetry = None
    if sampler != "off":
        telemetry = brama.telemetry.configure(
            spans="calls", span_rate=None, environ={
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_SAMPLER": sampler,
                "OTEL_METRIC_EXPORT_INTERVAL": "500", "OTEL_METRICS_EXPORTER": metrics,
            })
        assert telemetry.exporting
    calls = traffic(2)
    weight = used() - before
    spans = sum(isinstance(one, ReadableSpan) for one in gc.get_objects())
    print(json.dumps({"bytes": weight, "calls": calls, "spans": spans}))
"""


@contextmanager
def _kept(scale: Scale) -> Generator[list[Contender], None, None]:
    # Never less: of fewer circuits the queue would not be full.
    size = max(CIRCUITS, int(CIRCUITS * scale.size))
    done: dict[str, int] = {}

    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"

        def contender(name: str, way: str, sampler: str, metrics: str = "none") -> Contender:
            done[name] = 0

            def run(_times: int) -> float:
                weight = _weight(way, sampler, metrics, size, endpoint)
                done[name] += 1
                return weight

            return Contender(name, run, lambda: done[name], times=1, compared=False)

        yield [
            contender("brama", "traced", "always_on"),
            contender("not sampled", "traced", "always_off"),
            contender("off", "traced", "off"),
            contender("metrics, too", "traced", "always_on", "otlp"),
            contender("resident", "resident", "always_on"),
        ]


def _weight(way: str, sampler: str, metrics: str, size: int, endpoint: str) -> float:
    said = child(KEPT, way, sampler, metrics, size, endpoint)
    agree("calls", asked=4 * size, made=said["calls"])
    spans = int(said["spans"])
    if sampler == "always_on" and spans < QUEUE:
        raise WorkNotDone(f"{spans} spans are kept, and not a queue of {QUEUE}")
    if sampler != "always_on" and spans:
        raise WorkNotDone(f"{spans} spans are kept, and none was to be recorded")
    return float(said["bytes"])


HELD = (
    Contest(
        "kept-traced",
        "kept by telemetry: 2 000 circuits, a full queue of spans, a collector that is dead",
        _kept,
        "B",
        rounds=1,
        quick=False,
    ),
)
