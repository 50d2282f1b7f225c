"""What an open circuit keeps of the transition that opened it, while it is open."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach, set_value
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext
from opentelemetry.util._once import Once

from brama.circuits import CircuitOpenError, State


class Request:
    """What an application hangs on its context."""


class Watcher(SpanProcessor):
    """Calls `look` in the middle of the making of a transition's span."""

    def __init__(self) -> None:
        self.made: list[SpanContext] = []
        self.look = lambda: None

    def on_start(self, span, parent_context=None) -> None:
        if span.name == "transition open":
            self.look()

    def on_end(self, span) -> None:
        if span.name == "transition open":
            self.made.append(span.get_span_context())


@pytest.fixture
def watcher(monkeypatch):
    """An SDK in this test alone: the API keeps its provider for the life of a process."""
    provider = TracerProvider(shutdown_on_exit=False)
    watcher = Watcher()
    provider.add_span_processor(watcher)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    yield watcher
    provider.shutdown()


def traceparent(span: SpanContext) -> str:
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def open_in_a_request(circuit) -> tuple[weakref.ref, weakref.ref]:
    """Open it while a request is served; what is left of that and of its span."""
    request = Request()
    with trace.get_tracer("app").start_as_current_span("request") as span:
        token = attach(set_value("request", request))
        try:
            circuit.open_circuit()
        finally:
            detach(token)
        return weakref.ref(request), weakref.ref(span)


def test_an_open_circuit_keeps_nothing_of_the_request_in_which_it_opened(system, watcher, until):
    system.subscribe(lambda _event: None, events=["circuit_opened"])
    circuit = system.circuit("search", expiry=1e6)

    request, span = open_in_a_request(circuit)

    def gone() -> bool:
        gc.collect()
        return request() is None and span() is None

    until(gone)
    assert circuit.state is State.OPEN
    assert circuit.why().trace == traceparent(watcher.made[0])
    with pytest.raises(CircuitOpenError):
        circuit.call(int)
    assert len(watcher.made) == 1


def test_a_circuit_that_is_registered_anew_is_kept_back_by_no_transition(system, watcher, until):
    circuit = system.circuit("search")
    open_in_a_request(circuit)
    until(lambda: watcher.made)
    system.unregister("search")

    assert system.circuit("search").state is State.CLOSED
    assert system.circuit("search").why().trace is None


@pytest.mark.parametrize("who", ["itself", "another thread"])
def test_who_asks_while_the_span_is_made_is_not_led_to_the_call_that_failed(
    system, watcher, until, who
):
    circuit = system.circuit("search")
    found = []

    def ask() -> None:
        found.append(circuit.why().trace)

    def look() -> None:
        if who == "itself":
            ask()
        else:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()

    watcher.look = look
    open_in_a_request(circuit)
    until(lambda: watcher.made)
    assert found == [None]
    assert circuit.why().trace == traceparent(watcher.made[0])
