"""One trace from the failing call to the handler it reached."""

from __future__ import annotations

import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

from brama.notifier import HandlerActor, inline

requirement = pytest.mark.requirement
WITHIN = 10.0


@pytest.fixture
def spans(monkeypatch):
    """An SDK in this test alone: the API keeps its provider for the life of a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    yield exporter
    provider.shutdown()


@requirement("telemetry:notification-spans", "telemetry:propagation")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop", "actor"])
def test_the_call_the_transition_its_publication_and_the_handler_share_a_trace(
    system, spans, until, kind
):
    called = threading.Event()
    inside = []

    def handler(_event) -> None:
        inside.append(trace.get_current_span().get_span_context())
        called.set()

    async def ahandler(event) -> None:
        handler(event)

    class Actor(HandlerActor):
        def on_event(self, event) -> None:
            handler(event)

    subscribed = {"worker": handler, "inline": inline(handler), "loop": ahandler, "actor": Actor}
    system.subscribe(subscribed[kind], events=["circuit_opened"])
    circuit = system.circuit("search", failure_threshold=1)

    @circuit
    def fail() -> None:
        raise ConnectionError("down")

    with trace.get_tracer("app").start_as_current_span("request") as request:
        mine = request.get_span_context()
        with pytest.raises(ConnectionError):
            fail()
    assert called.wait(WITHIN)

    def named(word: str) -> list:
        return [span for span in spans.get_finished_spans() if word in span.name]

    until(lambda: bool(named("process")))
    for word in ("circuit", "publish", "process"):
        found = named(word)
        assert found, [span.name for span in spans.get_finished_spans()]
    ours = [span for span in spans.get_finished_spans() if span.name != "request"]
    assert {span.context.trace_id for span in ours} == {mine.trace_id}
    (process,) = named("process")
    (published,) = [s for s in named("publish") if "circuit_opened" in str(dict(s.attributes))]
    assert process.parent.span_id == published.context.span_id
    assert inside[0].trace_id == mine.trace_id
    assert inside[0].span_id == process.context.span_id


def test_without_an_sdk_an_event_names_no_trace(system):
    with system.events(events=["circuit_opened"]) as events:
        system.circuit("search").open_circuit()
        assert events.get(WITHIN).trace is None


@requirement("telemetry:notification-spans")
@pytest.mark.parametrize(("fanout", "child"), [(64, True), (65, False)])
def test_handlers_are_children_of_the_publication_up_to_a_fan_out_of_64_and_linked_always(
    system, spans, until, fanout, child
):
    def handler_of(number):
        return lambda _event: None

    for number in range(fanout):
        system.subscribe(inline(handler_of(number)), events=["circuit_opened"])
    system.circuit("search").open_circuit()

    def named(word: str) -> list:
        return [span for span in spans.get_finished_spans() if span.name.startswith(word)]

    until(lambda: len(named("process")) == fanout)
    (published,) = named("publish")
    assert published.attributes["brama.notification.fanout.matched"] == fanout
    for process in named("process"):
        (link,) = process.links
        assert link.context.span_id == published.context.span_id
        if child:
            assert process.parent.span_id == published.context.span_id
        else:
            assert process.parent is None
            assert process.context.trace_id != published.context.trace_id


@requirement("telemetry:notification-spans")
def test_a_list_of_events_is_a_root_that_links_to_the_publication_of_each(system, spans, until):
    told = []
    system.subscribe(told.append, events=["circuit_opened"], batch=3, batch_age=WITHIN)
    for number in range(3):
        system.circuit(f"replica-{number}").open_circuit()
    until(lambda: told)

    def found(verb: str):
        return [span for span in spans.get_finished_spans() if span.name.startswith(verb)]

    until(lambda: found("process"))
    (process,) = found("process")
    assert process.parent is None
    assert process.attributes["brama.notification.batch.size"] == 3
    assert {link.context.span_id for link in process.links} == {
        span.context.span_id for span in found("publish circuit_opened")
    }


@requirement("telemetry:propagation")
@pytest.mark.parametrize("kind", ["worker", "inline", "loop"])
def test_the_restart_of_a_handler_links_to_the_span_in_which_it_raised(system, spans, until, kind):
    told = []

    def handler(event) -> None:
        told.append(event)
        if len(told) == 1:
            raise LookupError("once")

    async def ahandler(event) -> None:
        handler(event)

    subscribed = {"worker": handler, "inline": inline(handler), "loop": ahandler}
    system.subscribe(subscribed[kind], events=["circuit_opened"])
    with trace.get_tracer("app").start_as_current_span("request"):
        system.circuit("search").open_circuit()

    def found(verb: str):
        return [span for span in spans.get_finished_spans() if span.name.startswith(verb)]

    until(lambda: found("restart") and len(found("process")) == 2)
    (restart,) = found("restart")
    failed = next(span for span in found("process") if "error.type" in span.attributes)
    assert restart.parent is None
    assert restart.attributes["error.type"] == "LookupError"
    assert [link.context.span_id for link in restart.links] == [failed.context.span_id]
