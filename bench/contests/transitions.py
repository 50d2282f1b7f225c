"""State changes: what they cost the caller, and when a handler hears of them."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import repeat

import attrs
import pykka
import trio
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import brama
from bench.contest import TAILS, Contender, Contest, Scale, WorkNotDone, agree
from brama.notifier import inline
from brama.telemetry import configure

__all__ = ["TRANSITIONS"]

PATIENCE = 10.0
ROUND = 60
"""Transitions in one round."""

REST = 0.0005
"""Seconds after which Brama's loop sleeps again, once its handler has been called."""

TRAFFIC = 50
"""Calls that pass before the one that fails, as they do in a service."""

Trip = tuple[list[float], float]


class Discarding(SpanExporter):
    """Counts spans and forgets them: the cost of a collector is not ours."""

    def __init__(self) -> None:
        self.seen = 0

    def export(self, spans: object) -> SpanExportResult:
        assert isinstance(spans, tuple | list)
        self.seen += sum(isinstance(span, ReadableSpan) for span in spans)
        return SpanExportResult.SUCCESS


class Tripping:
    """Circuits that trip at one failure, and an inline handler that hears of it."""

    def __init__(self, system: brama.System, size: int = 1) -> None:
        self._bad = False
        self._left = 0
        self._heard = threading.Event()
        self._at = 0.0
        self.delivered = 0
        self.tripped = 0
        # A name in the scope each: nobody else is told, and the pool of metrics stays small.
        self._circuits = [
            system.circuit(str(number), scope="bench", failure_threshold=1, expiry=1e6)
            for number in range(size)
        ]
        self._calls = [circuit(self._work) for circuit in self._circuits]
        system.subscribe(
            inline(self._hear), events=["circuit_opened", "circuit_closed"], scope="bench"
        )
        self.once()  # a subscription delivers once its actor is up
        self._before = self.tripped

    def once(self) -> Trip:
        """Trip each circuit once, and close it again when the handler has heard.

        Returns:
            Seconds of each failing call, and from the first of them to the handler's last word.
        """
        time.sleep(REST)
        for call in repeat(self._calls[0], TRAFFIC):
            call()
        self._expect()
        self._bad = True
        seconds = []
        clock = time.perf_counter
        began = clock()
        for call in self._calls:
            start = clock()
            try:
                call()
            except ConnectionError:
                pass
            seconds.append(clock() - start)
        self._wait()
        late = self._at - began
        self._bad = False
        self.tripped += len(seconds)
        self._expect()
        for circuit in self._circuits:
            circuit.close_circuit()
        self._wait()
        return seconds, late

    def done(self) -> int:
        """Transitions to open, after the handler has been told of each and of each return."""
        opened = sum(circuit.status().opened_count for circuit in self._circuits)
        heard, odd = divmod(self.delivered, 2)
        if odd:
            raise WorkNotDone("a handler heard of an opening and not of the closing, or twice")
        return agree("openings", tripped=self.tripped, counted=opened, heard=heard) - self._before

    def _work(self) -> None:
        if self._bad:
            raise ConnectionError

    def _hear(self, _event: brama.Event) -> None:
        self.delivered += 1
        self._left -= 1
        if not self._left:
            self._at = time.perf_counter()
            self._heard.set()

    def _expect(self) -> None:
        self._heard.clear()
        self._left = len(self._circuits)

    def _wait(self) -> None:
        if not self._heard.wait(PATIENCE):
            raise WorkNotDone(f"a handler heard nothing of a transition for {PATIENCE:g} s")


class Bell:
    """The least that tells another thread: an append under a lock, and a word that wakes it.

    The same rest before, and the same traffic of calls that have nothing to tell.
    """

    def __init__(self, word: Callable[[Callable[[], None]], object]) -> None:
        self._word = word
        self._lock = threading.Lock()
        self._waiting: deque[float] = deque()
        self._heard = threading.Event()
        self._heard_of = 0

    def ring(self) -> float:
        """Seconds for whoever rings."""
        time.sleep(REST)
        for call in repeat(self._quiet, TRAFFIC):
            call()
        self._heard.clear()
        clock = time.perf_counter
        start = clock()
        with self._lock:
            self._waiting.append(start)
        self._word(self._hear)
        seconds = clock() - start
        if not self._heard.wait(PATIENCE):
            raise WorkNotDone(f"nobody heard a word for {PATIENCE:g} s")
        return seconds

    def _quiet(self) -> None:
        pass

    def _hear(self) -> None:
        self._waiting.popleft()
        self._heard_of += 1
        self._heard.set()

    def contender(self, name: str) -> Contender:
        self.ring()
        before = self._heard_of

        def run(times: int) -> list[float]:
            return [self.ring() for _ in repeat(None, times)]

        return Contender(name, run, lambda: self._heard_of - before, times=ROUND)


@contextmanager
def _trio_loop() -> Generator[trio.lowlevel.TrioToken, None, None]:
    """A trio loop in a thread of its own, with nothing to do."""
    begun: queue.Queue[tuple[trio.lowlevel.TrioToken, trio.Event]] = queue.Queue()

    async def rest() -> None:
        end = trio.Event()
        begun.put((trio.lowlevel.current_trio_token(), end))
        await end.wait()

    thread = threading.Thread(target=trio.run, args=(rest,), daemon=True)
    thread.start()
    token, end = begun.get(timeout=PATIENCE)
    try:
        yield token
    finally:
        token.run_sync_soon(end.set)
        thread.join(PATIENCE)


class _Listener(pykka.ThreadingActor):
    def on_receive(self, message: Callable[[], None]) -> None:
        message()


def _in_a_row(tripping: Tripping) -> Contender:
    """A round trips all circuits in a row; the sample is the median of the failing calls."""

    def run(times: int) -> float:
        return statistics.median(tripping.once()[0])

    return Contender("brama", run, tripping.done, times=ROUND)


def _lone(tripping: Tripping, sample: Callable[[Trip], float]) -> Contender:
    """A round trips one circuit many times, each time in an idle process."""

    def run(times: int) -> list[float]:
        return [sample(tripping.once()) for _ in repeat(None, times)]

    return Contender("brama", run, tripping.done, times=ROUND)


def _caller(trip: Trip) -> float:
    [seconds], _ = trip
    return seconds


def _handler(trip: Trip) -> float:
    return trip[1]


@contextmanager
def in_a_row(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        yield [_in_a_row(Tripping(system, ROUND))]


@contextmanager
def traced(_scale: Scale) -> Generator[list[Contender], None, None]:
    with ExitStack() as stack:
        exporter = Discarding()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        stack.callback(provider.shutdown)
        # Without the limit, which would leave out most of what is to be measured.
        stack.enter_context(configure(tracer_provider=provider, span_rate=None))
        tripping = Tripping(stack.enter_context(brama.System()), ROUND)

        def done() -> int:
            times = tripping.done()
            provider.force_flush()
            if exporter.seen < times:
                raise WorkNotDone(f"{times} transitions made only {exporter.seen} spans")
            return times

        contender = _in_a_row(tripping)
        yield [attrs.evolve(contender, done=done)]


@contextmanager
def lone(_scale: Scale) -> Generator[list[Contender], None, None]:
    """Beside it what a wake alone takes after the same rest, of a trio loop and of an actor."""
    with brama.System() as system, _trio_loop() as token, ExitStack() as stack:
        listener = _Listener.start()
        stack.callback(listener.stop)
        yield [
            _lone(Tripping(system), _caller),
            Bell(token.run_sync_soon).contender("a wake of trio"),
            Bell(listener.tell).contender("pykka's tell"),
        ]


@contextmanager
def heard(_scale: Scale) -> Generator[list[Contender], None, None]:
    with brama.System() as system:
        yield [_lone(Tripping(system), _handler)]


TRANSITIONS = (
    Contest("transition", "the call that opens a circuit, 60 in a row, p50", in_a_row, "us"),
    Contest("transition-traced", "the same while an SDK records spans, p50", traced, "us"),
    Contest(
        "transition-lone",
        "the same, one in an idle process: cold, wakes a loop; a wake and no more, each",
        lone,
        "us",
        quantiles=TAILS,
    ),
    Contest("heard", "from that call to an inline handler", heard, "us", quantiles=TAILS),
)
