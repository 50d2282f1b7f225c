"""State changes: what they cost the caller, and when a handler hears of them."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import Literal

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import brama
from bench.contest import Contender, Contest, Scale, WorkNotDone, agree
from brama.notifier import inline
from brama.telemetry import configure

__all__ = ["TRANSITIONS"]

PATIENCE = 10.0
ROUND = 60
"""Transitions in one round. Each waits until the process is idle again, so a round is long."""

REST = 0.0005
"""Seconds after which Brama's loop sleeps again, once its handler has been called."""

TRAFFIC = 50
"""Calls that pass before the one that fails, as they do in a service."""

Take = Literal["caller", "handler", "worst"]


class Discarding(SpanExporter):
    """Counts spans and forgets them: the cost of a collector is not ours."""

    def __init__(self) -> None:
        self.seen = 0

    def export(self, spans: object) -> SpanExportResult:
        assert isinstance(spans, tuple | list)
        self.seen += sum(isinstance(span, ReadableSpan) for span in spans)
        return SpanExportResult.SUCCESS


class Tripping:
    """A circuit that trips at one failure, and an inline handler that hears of it."""

    def __init__(self, system: brama.System, name: str) -> None:
        self._circuit = system.circuit(name, failure_threshold=1, expiry=1e6)
        self._heard = threading.Event()
        self._at = 0.0
        self.delivered = 0
        self.tripped = 0
        system.subscribe(
            inline(self._hear), events=["circuit_opened", "circuit_closed"], connection=name
        )

        @self._circuit
        def call(fail: bool) -> None:
            if fail:
                raise ConnectionError

        self._call = call
        self.once()  # a subscription delivers once its actor is up

    def once(self) -> tuple[float, float]:
        """CPU seconds of the call that opens the circuit, and seconds from there to the handler."""
        time.sleep(REST)
        for _ in repeat(None, TRAFFIC):
            self._call(False)
        self._heard.clear()
        start, began = time.perf_counter(), time.thread_time()
        try:
            self._call(True)
        except ConnectionError:
            pass
        spent = time.thread_time() - began
        self._wait()
        late = self._at - start
        self.tripped += 1
        self._heard.clear()
        self._circuit.close_circuit()
        self._wait()
        return spent, late

    def done(self) -> int:
        """Transitions to open, after the handler has been told of each and of each return."""
        opened = self._circuit.status().opened_count
        heard, odd = divmod(self.delivered, 2)
        if odd:
            raise WorkNotDone("a handler heard of an opening and not of the closing, or twice")
        return agree("openings", tripped=self.tripped, counted=opened, heard=heard) - 1

    def _hear(self, _event: brama.Event) -> None:
        self._at = time.perf_counter()
        self.delivered += 1
        self._heard.set()

    def _wait(self) -> None:
        if not self._heard.wait(PATIENCE):
            raise WorkNotDone(f"a handler heard nothing of a transition for {PATIENCE:g} s")


def _sampled(tripping: Tripping, take: Take) -> Callable[[int], float]:
    """A round; the sample is its median, or its 99th percentile.

    Not the sum: each transition is followed by a wait that is not part of it.
    """

    def run(times: int) -> float:
        pairs = [tripping.once() for _ in repeat(None, times)]
        if take == "caller":
            return statistics.median(caller for caller, _ in pairs)
        late = sorted(late for _, late in pairs)
        return late[math.ceil(0.99 * len(late)) - 1] if take == "worst" else statistics.median(late)

    return run


@contextmanager
def alone(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        tripping = Tripping(system, "bench")
        yield [Contender("brama", _sampled(tripping, "caller"), tripping.done, times=ROUND)]


@contextmanager
def traced(_scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        exporter = Discarding()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        stack.callback(provider.shutdown)
        stack.enter_context(configure(tracer_provider=provider))
        tripping = Tripping(stack.enter_context(brama.System()), "bench")

        def done() -> int:
            times = tripping.done()
            provider.force_flush()
            if exporter.seen < times:
                raise WorkNotDone(f"{times} transitions made only {exporter.seen} spans")
            return times

        yield [Contender("brama", _sampled(tripping, "caller"), done, times=ROUND)]


@contextmanager
def heard(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        tripping = Tripping(system, "bench")
        yield [Contender("brama", _sampled(tripping, "handler"), tripping.done, times=ROUND)]


@contextmanager
def heard_late(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        tripping = Tripping(system, "bench")
        yield [Contender("brama", _sampled(tripping, "worst"), tripping.done, times=2 * ROUND)]


TRANSITIONS = (
    Contest(
        "transition",
        "the failing call that opens a circuit, CPU of its thread, p50",
        alone,
        unit="us",
    ),
    Contest("transition-traced", "the same while an SDK records spans, p50", traced, unit="us"),
    Contest("heard", "from that call to an inline handler, p50", heard, unit="us"),
    Contest("heard-p99", "the same, p99", heard_late, unit="us"),
)
