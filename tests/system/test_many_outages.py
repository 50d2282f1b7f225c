"""Very many circuits open at once: bounded spans, exact counts and evidence, and nothing left."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import brama
from brama.telemetry import configure, flags, metrics, pools

THREADS = 4
FAILURES = 6
KEPT = 5


@pytest.fixture(autouse=True)
def _counts_from_nothing() -> Iterator[None]:
    metrics.transitions.after_fork()
    metrics.held_back.after_fork()
    pools.reset()
    flags.reset()
    yield
    flags.reset()
    pools.reset()


def openings() -> int:
    counts = metrics.transitions.snapshot()
    return sum(number for (_, new, _), number in counts.items() if new == "open")


@pytest.mark.parametrize("size", [2_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_an_outage_of_very_many_circuits_is_told_exactly_and_traced_within_bounds(
    size: int,
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop")
    requests: dict[str, list[str]] = {}
    began = time.monotonic()
    with configure(tracer_provider=provider), brama.System() as system:
        circuits = [
            system.circuit(f"c{number}", failure_threshold=FAILURES, expiry=1e6)
            for number in range(size)
        ]

        def fail(mine: list[brama.Circuit]) -> None:
            for circuit in mine:
                seen = requests.setdefault(circuit.name, [])
                for number in range(FAILURES):
                    with tracer.start_as_current_span("request") as request:
                        seen.append(f"{request.get_span_context().span_id:016x}")
                        circuit.failure(f"{circuit.name} #{number}")

        threads = [
            threading.Thread(target=fail, args=(circuits[part::THREADS],))
            for part in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refusals = sum(circuit.try_acquire() is None for circuit in circuits)
        deadline = time.monotonic() + 10 + size / 500
        while openings() < size and time.monotonic() < deadline:
            time.sleep(0.01)
        took = time.monotonic() - began

        assert refusals == size
        assert openings() == size
        for circuit in circuits:
            why = circuit.why()
            assert why.state == "open"
            assert why.cause is not None
            assert why.cause.rule == f"{FAILURES} failures in a row"
            assert [one.reason for one in why.incidents] == [
                f"{circuit.name} #{number}" for number in range(FAILURES - KEPT, FAILURES)
            ]
            traces = [one.trace.split("-")[2] for one in why.incidents if one.trace is not None]
            assert traces == requests[circuit.name][-KEPT:]
        assert system.overview().states["open"] == size

        spans = exporter.get_finished_spans()
        bound = 50 * (4 + took) + 1
        held_back = metrics.held_back.snapshot()
        for kind, name in (("transition", "transition open"), ("refused", "call ")):
            made = sum(span.name.startswith(name) for span in spans)
            assert 0 < made <= bound

            assert made + held_back[kind,] == size

        for circuit in circuits:
            circuit.close_circuit()
        assert all(circuit._breaker._rare is None for circuit in circuits)
        assert all(circuit.why().incidents == () for circuit in circuits[:100])
        assert system.overview().states["closed"] == size
