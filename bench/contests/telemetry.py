"""What telemetry costs: calls and refusals with an SDK and without, and very many openings at once.

The contender without an SDK is named ``off``, so that a ratio to it is the price of the SDK.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import repeat

import attrs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

import brama
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from brama.notifier import inline
from brama.telemetry import configure, metrics
from brama.telemetry.flags import Spans

from .dispatch import MATCHING, Hall, contended
from .work import Work, looped, settled

__all__ = ["TELEMETRY"]

FOREVER = 1e6
MANY = 100_000
"""Circuits that open at once."""

CIRCUITS = 2_000
"""Circuits whose metrics are collected."""

BATCH = 512
"""Spans that the SDK exports at once."""

KINDS = 4
RATE = 50.0
"""Spans that those may make of each kind: four seconds' worth, and so many a second meanwhile."""

Run = Callable[[int], Sequence[float] | float | None]


class Counting(SpanExporter):
    """Counts spans and forgets them: the cost of a collector is not ours."""

    def __init__(self) -> None:
        self.seen = 0

    def export(self, spans: object) -> SpanExportResult:
        assert isinstance(spans, tuple | list)
        self.seen += sum(isinstance(span, ReadableSpan) for span in spans)
        return SpanExportResult.SUCCESS


@contextmanager
def sdk() -> Generator[tuple[TracerProvider, Counting], None, None]:
    exporter = Counting()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider, exporter
    finally:
        provider.shutdown()


def traced(provider: TracerProvider, run: Run, *, spans: Spans, rate: float | None) -> Run:
    """`run` while Brama's spans go to `provider`."""

    def inside(times: int) -> Sequence[float] | float | None:
        with configure(tracer_provider=provider, spans=spans, span_rate=rate):
            return run(times)

    return inside


@contextmanager
def called(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, sdk() as (provider, _exporter):

        def contender(name: str, spans: Spans | None) -> Contender:
            circuit, work = system.circuit(name), Work()
            run: Run = looped(circuit(work.call))
            if spans is not None:
                run = traced(provider, run, spans=spans, rate=50.0)
            return Contender(name, run, settled(circuit, work))

        yield [
            contender("brama", "exceptional"),
            contender("off", None),
            contender("every call", "calls"),
        ]


@contextmanager
def refused(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system, sdk() as (provider, _exporter):
        other = system.circuit("other")
        other.open_circuit(expires_in=FOREVER)
        emptying = other(Work().call)

        def refuse(guarded: Callable[[], object], times: int) -> None:
            for _ in repeat(None, times):
                try:
                    guarded()
                except brama.CircuitOpenError:
                    pass

        def contender(name: str, rate: float | None, *, on: bool = True) -> Contender:
            circuit, work = system.circuit(name), Work()
            circuit.open_circuit(expires_in=FOREVER)
            guarded = circuit(work.call)

            def run(times: int) -> float:
                if on and rate is not None:
                    refuse(emptying, 250)  # the bucket, which each round finds full
                began = time.thread_time()
                refuse(guarded, times)
                return (time.thread_time() - began) / times

            return Contender(
                name,
                traced(provider, run, spans="exceptional", rate=rate) if on else run,
                lambda: circuit.status().refused,
            )

        yield [
            contender("brama", 50.0),
            contender("off", None, on=False),
            contender("span each", None),
            _unsampled(system),
        ]


def _unsampled(system: brama.System) -> Contender:
    """In a trace that is not recorded, of which the bucket knows nothing."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    circuit, work = system.circuit("unsampled"), Work()
    circuit.open_circuit(expires_in=FOREVER)
    guarded = circuit(work.call)

    def run(times: int) -> float:
        with provider.get_tracer("bench").start_as_current_span("request"):
            began = time.thread_time()
            for _ in repeat(None, times):
                try:
                    guarded()
                except brama.CircuitOpenError:
                    pass
            return (time.thread_time() - began) / times

    inside = traced(provider, run, spans="exceptional", rate=50.0)
    return Contender("unsampled", inside, lambda: circuit.status().refused)


@contextmanager
def delivered(_scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        provider, _exporter = stack.enter_context(sdk())
        unrecorded = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)

        def contender(name: str, provider: TracerProvider | None) -> Contender:
            hall = Hall(stack.enter_context(brama.System(name=name)), MATCHING)
            made = contended(name, hall)
            if provider is None:
                return made
            return attrs.evolve(
                made, run=traced(provider, made.run, spans="exceptional", rate=None)
            )

        yield [
            contender("brama", unrecorded),
            contender("off", None),
            contender("span each", provider),
        ]


@contextmanager
def encoded(_scale: Scale) -> Generator[list[Contender], None, None]:
    """What an exporter does with spans in its own thread, up to the bytes that it sends."""
    provider, kept = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    heard = 0

    def hear(_event: brama.Event) -> None:
        nonlocal heard
        heard += 1

    with configure(tracer_provider=provider, span_rate=None), brama.System() as system:
        system.subscribe(inline(hear), events=["state_change"])
        circuit = system.circuit("encoded")
        for _ in range(BATCH // 4):  # a transition, a publication, a handler; and back
            circuit.open_circuit(expires_in=FOREVER)
            circuit.close_circuit()
        end = time.perf_counter() + 60
        while heard < BATCH // 2 and time.perf_counter() < end:
            time.sleep(0.01)
    spans = kept.get_finished_spans()[:BATCH]
    if len(spans) < BATCH:
        raise WorkNotDone(f"{len(spans)} spans were made, not {BATCH}")
    done = 0

    def run(times: int) -> None:
        nonlocal done
        for first in range(0, times, BATCH):
            some = spans[: min(BATCH, times - first)]
            message = encode_spans(some)
            agree(
                "spans",
                given=len(some),
                encoded=sum(
                    len(scope.spans)
                    for resource in message.resource_spans
                    for scope in resource.scope_spans
                ),
            )
            if not message.SerializeToString():
                raise WorkNotDone("nothing was encoded")
            done += len(some)

    yield [Contender("brama", run, lambda: done, times=BATCH)]
    provider.shutdown()


@contextmanager
def collected(scale: Scale) -> Generator[list[Contender], None, None]:
    size = int(CIRCUITS * scale.size)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    done = 0

    def run(_times: int) -> float:
        nonlocal done
        began = time.thread_time()
        found = reader.get_metrics_data()
        seconds = time.thread_time() - began
        assert found is not None
        calls = [
            point.value
            for resource in found.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "brama.circuit.calls"
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint) and point.attributes is not None
            if str(point.attributes["pool"]).startswith("collected-")
            and point.attributes["brama.circuit.call.outcome"] == "success"
        ]
        # Those beyond the 200 pools are among the other ones.
        agree("pools", shown=len(calls), calls=int(sum(calls)))
        done += 1
        return seconds

    with configure(meter_provider=provider), brama.System() as system:
        for number in range(size):
            system.circuit(f"collected-{number}").call(int)
        run(1)  # which registers the instruments
        yield [Contender("brama", run, lambda: done - 1, times=1)]
    provider.shutdown()


@contextmanager
def opened(scale: Scale) -> Generator[list[Contender], None, None]:
    size = int(MANY * scale.size)
    done = 0

    def counted() -> int:
        return sum(
            number
            for (_pool, new, _old), number in metrics.transitions.snapshot().items()
            if new == "open"
        )

    def run(_times: int) -> float:
        nonlocal done
        before = counted()
        with (
            sdk() as (provider, exporter),
            configure(tracer_provider=provider),
            brama.System() as system,
        ):
            circuits = [system.circuit(str(number)) for number in range(size)]
            system.start()
            began = time.perf_counter()
            for circuit in circuits:
                circuit.open_circuit(expires_in=FOREVER)
            end = began + 120
            while counted() - before < size:
                if time.perf_counter() > end:
                    raise WorkNotDone(f"{counted() - before} of {size} openings were counted")
                time.sleep(0.01)
            seconds = time.perf_counter() - began
            provider.force_flush()
            bound = KINDS * RATE * (4 + time.perf_counter() - began)
            if exporter.seen > bound:
                raise WorkNotDone(f"{size} openings made {exporter.seen} spans, not {bound:.0f}")
            agree("openings", counted=counted() - before, opened=size)
        done += 1
        return seconds / size

    yield [Contender("brama", run, lambda: done, times=1)]


TELEMETRY = (
    Contest("call-traced", "a decorated call with an SDK installed; off: without one", called),
    Contest("refusal-traced", "a refused call with an SDK; beyond the bucket, off, each", refused),
    Contest(
        "delivery-traced",
        "one of ten deliveries of an event, with an SDK that records nothing; off; a span each",
        delivered,
    ),
    Contest("encode-traced", "a span encoded for OTLP, in the exporter's thread", encoded, "us"),
    Contest(
        "collection",
        "metrics collected once, of 2 000 circuits",
        collected,
        "ms",
    ),
    Contest(
        "outage",
        "one of 100 000 circuits that open at once with an SDK, counted and told",
        opened,
        "us",
        rounds=1,
    ),
)
