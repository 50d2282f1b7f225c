"""Contexts on their way through mailboxes, threads and cancellations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once

import brama
from brama.actors import ChildSpec, DynamicSupervisor, start_child
from brama.notifier import cloudevents
from brama.telemetry import flags, process

pytestmark = pytest.mark.requirement("telemetry:propagation")


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """An SDK in this test alone: the API keeps its provider for the life of a process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())
    flags.reset()
    yield exporter
    provider.shutdown()


async def test_ten_thousand_cancelled_handlers_leave_no_context_and_no_error(
    exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def handle(number: int) -> None:
        with process(
            event="state_change",
            traceparent=sampled,
            subscription="pager",
            connection="search",
            scope=None,
            n=number,
            redelivered=False,
        ):
            await trio.sleep_forever()

    with caplog.at_level(logging.WARNING, "opentelemetry"):
        for _ in range(50):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    for number in range(200):
                        nursery.start_soon(handle, number)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            assert not trace.get_current_span().get_span_context().is_valid
    assert caplog.records == []
    spans = exporter.get_finished_spans()
    assert len(spans) == 10_000
    assert {span.status.status_code.name for span in spans} == {"UNSET"}


def test_an_actor_that_a_span_started_does_not_keep_it(exporter: InMemorySpanExporter) -> None:
    seen = []

    class Looker(brama.actors.Actor):
        async def on_start(self) -> None:
            seen.append(trace.get_current_span().get_span_context().is_valid)

        async def on_receive(self, message: object) -> bool:
            return trace.get_current_span().get_span_context().is_valid

    with brama.System() as system:
        with trace.get_tracer("app").start_as_current_span("request"):
            ref = system.actors.spawn(Looker)
        assert ref.ask("look", timeout=5) is False
    assert seen == [False]


def test_a_cloud_event_carries_the_traceparent_and_no_baggage(
    exporter: InMemorySpanExporter,
) -> None:
    from opentelemetry import baggage, context

    with brama.System() as system, system.events(events=["circuit_opened"]) as events:
        token = context.attach(baggage.set_baggage("secret", "card 4242"))
        try:
            with trace.get_tracer("app").start_as_current_span("request") as request:
                mine = request.get_span_context()
                system.circuit("search").open_circuit()
        finally:
            context.detach(token)
        event = events.get(timeout=5)
    cloud = cloudevents.to_dict(event)
    assert "4242" not in repr(cloud)
    assert cloud["traceparent"].split("-")[1] == f"{mine.trace_id:032x}"


def test_the_restart_of_an_actor_links_to_the_span_over_which_it_crashed(
    exporter: InMemorySpanExporter, until: Callable[[Callable[[], bool]], None]
) -> None:
    class Fragile(brama.actors.Actor):
        async def on_receive(self, message: object) -> None:
            raise ValueError(message)

    with brama.System() as system:
        crew = system.actors.spawn(DynamicSupervisor)
        spec = ChildSpec("worker", Fragile, restart="permanent")
        worker = start_child(crew, spec).get(timeout=5)
        with trace.get_tracer("app").start_as_current_span("request") as request:
            mine = request.get_span_context()
            worker.tell("break")

        def restarts() -> list[ReadableSpan]:
            return [s for s in exporter.get_finished_spans() if s.name.startswith("restart ")]

        until(lambda: len(restarts()) == 1)
    (restart,) = restarts()
    assert restart.parent is None
    assert restart.attributes["error.type"] == "ValueError"
    assert [link.context.span_id for link in restart.links] == [mine.span_id]
