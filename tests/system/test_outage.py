"""A scripted outage seen through real exporters: from a refused call to the failures behind it.

The golden trace of it stands in the documentation: `docs/telemetry/golden.txt`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import _internal as log_api
from opentelemetry.context import attach as attach_context
from opentelemetry.context import detach as detach_context
from opentelemetry.context import set_value
from opentelemetry.metrics import _internal as metrics_api
from opentelemetry.util._once import Once

import brama
from brama.notifier import inline
from brama.telemetry import (
    Telemetry,
    attach,
    configure,
    detach,
    export,
    flags,
    metrics,
    names,
    pools,
)
from brama.telemetry.testing import OtlpReceiver, Span, render_tree

GOLDEN = Path(__file__).parents[2] / "docs" / "telemetry" / "golden.txt"


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The API keeps its providers for the life of a process; only its variables undo that."""
    for module, name in (
        (trace, "_TRACER_PROVIDER"),
        (metrics_api, "_METER_PROVIDER"),
        (log_api, "_LOGGER_PROVIDER"),
    ):
        monkeypatch.setattr(module, name, None)
        monkeypatch.setattr(module, f"{name}_SET_ONCE", Once())
    for slot in ("handle", "tracers", "meters", "loggers"):
        monkeypatch.setattr(export._Installed, slot, None)
    monkeypatch.setattr(metrics, "_sources", metrics._Sources())
    metrics.transitions.after_fork()
    pools.reset()
    flags.reset()
    yield
    flags.reset()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Outage:
    """Three failing calls, two refused ones, a failed probe, and one that heals it all."""

    def __init__(self, telemetry: Telemetry, receiver: OtlpReceiver) -> None:
        self.telemetry = telemetry
        self.receiver = receiver
        self.clock = Clock()
        self.heard: list[brama.Event] = []
        self._changed = threading.Condition()
        self.tracer = trace.get_tracer("shop")

    def hear(self, event: brama.Event) -> None:
        with self._changed:
            self.heard.append(event)
            self._changed.notify_all()

    def until(self, state: str) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.heard and self.heard[-1].data["new_state"] == state, 10
            )

    def checkout(self, circuit: brama.Circuit, error: Exception | None) -> None:
        def work() -> None:
            if error is not None:
                raise error

        with self.tracer.start_as_current_span(
            "checkout", record_exception=False, set_status_on_exception=False
        ):
            try:
                circuit.call(work)
            except (TimeoutError, brama.CircuitOpenError):
                pass

    def run(self) -> None:
        with brama.System(brama.Settings(clock=self.clock)) as system:
            system.subscribe(inline(self.hear), events=["state_change"])
            system.start()
            circuit = system.circuit("payments", failure_threshold=3, expiry=30.0)
            self.checkout(circuit, None)
            for _ in range(3):
                self.checkout(circuit, TimeoutError("no answer"))
            self.until("open")
            self.why = circuit.why()
            self.checkout(circuit, None)
            self.checkout(circuit, None)
            self.clock.now += 30
            self.checkout(circuit, TimeoutError("still none"))
            self.until("open")
            self.clock.now += 30
            self.checkout(circuit, None)
            self.until("closed")
            self.after = circuit.why()
            self.calls = metrics.reading(names.METRICS[0])
            assert self.telemetry.force_flush(5.0)

    def named(self, name: str) -> list[Span]:
        found = [span for span in self.receiver.spans if span.name == name]
        return sorted(found, key=lambda span: span.start)


@pytest.fixture(params=["http", "grpc"])
def outage(request: pytest.FixtureRequest) -> Iterator[Outage]:
    grpc = request.param == "grpc"
    with OtlpReceiver(grpc=grpc) as receiver:
        environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}
        if grpc:
            environ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
        with configure(
            endpoint=receiver.grpc_endpoint if grpc else receiver.endpoint,
            service_name="shop",
            environ=environ,
        ) as telemetry:
            outage = Outage(telemetry, receiver)
            outage.run()
            yield outage


@pytest.mark.requirement("telemetry:delivery-proof", "telemetry:breaker-spans", "SB-12")
def test_a_refused_call_leads_to_the_transition_and_that_to_the_failing_calls(
    outage: Outage,
) -> None:
    checkouts = outage.named("checkout")
    first, *_ = outage.named("transition open")
    rejected = [
        span
        for span in outage.named("call payments")
        if span.attributes["brama.circuit.call.outcome"] == "rejected"
    ]
    assert len(rejected) == 2
    for span in rejected:
        (link,) = span.links
        assert (link.trace_id, link.span_id) == (first.trace_id, first.span_id)
        assert span.status == "ERROR"
        assert span.attributes["error.type"] == "brama.CircuitOpenError"
        assert span.parent_id in {each.span_id for each in checkouts}
    failing = checkouts[1:4]
    assert {link.span_id for link in first.links} == {span.span_id for span in failing}
    assert first.parent_id == failing[-1].span_id


@pytest.mark.requirement("telemetry:breaker-spans")
def test_why_returns_the_same_as_data(outage: Outage) -> None:
    opened, *_ = outage.named("transition open")
    _, *failing = outage.named("checkout")[:4]
    assert outage.why.trace is not None
    assert outage.why.trace.startswith(f"00-{opened.trace_id}-{opened.span_id}-")
    assert [(each.trace or "")[:-2] for each in outage.why.incidents] == [
        f"00-{span.trace_id}-{span.span_id}-" for span in failing
    ]
    assert outage.after.trace is None  # nothing keeps calls back any more


@pytest.mark.requirement("telemetry:breaker-spans")
def test_a_failed_probe_has_a_span_and_links_to_what_it_was_to_end(outage: Outage) -> None:
    (probe,) = (
        span
        for span in outage.named("call payments")
        if span.attributes["brama.circuit.call.outcome"] == "failure"
    )
    assert probe.status == "ERROR"
    assert probe.attributes["error.type"] == "TimeoutError"
    assert probe.attributes["brama.circuit.state"] == "half_open"
    assert probe.parent_id == outage.named("checkout")[6].span_id


@pytest.mark.requirement("SB-12")
def test_every_transition_tells_connection_states_and_how_long_it_lasted(outage: Outage) -> None:
    spans = sorted(
        (span for span in outage.receiver.spans if span.name.startswith("transition ")),
        key=lambda span: span.start,
    )
    moves = [
        (
            span.attributes["brama.circuit.state.from"],
            span.attributes["brama.circuit.state"],
            round(span.attributes["brama.circuit.state.duration"]),
        )
        for span in spans
    ]
    assert moves == [
        ("closed", "open", 0),
        ("open", "half_open", 30),
        ("half_open", "open", 0),
        ("open", "half_open", 30),
        ("half_open", "closed", 0),
    ]
    assert {span.attributes["brama.circuit.name"] for span in spans} == {"payments"}


@pytest.mark.requirement("telemetry:delivery-proof")
def test_resource_scope_schema_and_kind_arrive_as_they_are_listed(outage: Outage) -> None:
    listed = {name.verb: name for name in names.SPANS}
    ours = [span for span in outage.receiver.spans if span.scope.name.startswith("brama.")]
    assert {span.name.split()[0] for span in ours} == {"call", "transition", "publish", "process"}
    for span in ours:
        name = listed[span.name.split()[0]]
        assert (span.kind, span.scope.name) == (name.kind, name.scope)
        assert span.scope.schema_url == names.SCHEMA_URL
        assert span.scope.version == brama.__version__
        assert span.resource["service.name"] == "shop"
        assert set(span.attributes) <= set(name.attributes)


@pytest.mark.requirement("telemetry:transition-event")
def test_every_transition_is_a_log_event_in_its_span(outage: Outage) -> None:
    spans = {
        span.span_id: span for span in outage.receiver.spans if span.name.startswith("transition ")
    }
    assert len(outage.receiver.logs) == len(spans) == 5
    for log in outage.receiver.logs:
        assert log.event_name == "brama.circuit.state.changed"
        assert log.span_id in spans
        state = log.attributes["brama.circuit.state"]
        assert spans[log.span_id].name == f"transition {state}"
        assert log.severity == ("WARN" if state == "open" else "INFO")


@pytest.mark.requirement("telemetry:metrics", "MT-01")
def test_the_sums_of_the_metrics_are_those_of_the_script(outage: Outage) -> None:
    def sums(name: str, *keys: str) -> dict[Any, float]:
        last = {}
        for series in outage.receiver.metrics:
            if series.name == name:
                last[tuple(series.attributes.get(key) for key in keys)] = series.value
        return last

    assert sums("brama.circuit.calls", "pool", "brama.circuit.call.outcome") == {
        ("payments", "success"): 2,
        ("payments", "failure"): 4,
        ("payments", "ignored"): 0,
        ("payments", "rejected"): 2,
    }
    transitions = sums(
        "brama.circuit.transitions", "brama.circuit.state.from", "brama.circuit.state"
    )
    assert transitions == {
        ("closed", "open"): 1,
        ("open", "half_open"): 2,
        ("half_open", "open"): 1,
        ("half_open", "closed"): 1,
    }
    assert sums("brama.circuit.count", "brama.circuit.state")["closed",] == 1
    for series in outage.receiver.metrics:
        assert "brama.circuit.name" not in series.attributes


def test_why_gives_the_same_evidence_as_data(
    telemetry_of_tests: Telemetry, receiver: OtlpReceiver
) -> None:
    outage = Outage(telemetry_of_tests, receiver)
    with brama.System() as system:
        circuit = system.circuit("payments", failure_threshold=3)
        for _ in range(3):
            outage.checkout(circuit, TimeoutError("no answer"))
        why = circuit.why()
        outage.checkout(circuit, None)
    assert telemetry_of_tests.force_flush(5.0)
    traces = [incident.trace for incident in why.incidents]
    assert [text.split("-")[2] for text in traces if text] == [
        span.span_id for span in outage.named("checkout")[:3]
    ]


def test_the_evidence_keeps_no_span_and_nothing_that_hangs_on_one(
    telemetry_of_tests: Telemetry,
) -> None:
    class Request:
        """What an application keeps in its context."""

    def fails() -> weakref.ref[Request]:
        request = Request()
        context = set_value("request", request)
        with trace.get_tracer("app").start_as_current_span("checkout", context):
            token = attach_context(set_value("request", request))
            circuit.failure("down")
            detach_context(token)
        return weakref.ref(request)

    with brama.System() as system:
        circuit = system.circuit("payments", failure_threshold=10)
        gone = [fails() for _ in range(3)]
        gc.collect()
        assert all(incident.trace for incident in circuit.why().incidents)
        assert [request() for request in gone] == [None, None, None]


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def telemetry_of_tests(receiver: OtlpReceiver) -> Iterator[Telemetry]:
    with configure(endpoint=receiver.endpoint, environ={}) as telemetry:
        yield telemetry


# Every call


@pytest.mark.parametrize("form", ["call", "decorator", "guard"])
def test_with_spans_of_calls_each_call_has_one_with_its_outcome(
    receiver: OtlpReceiver, form: str
) -> None:
    with (
        configure(endpoint=receiver.endpoint, environ={}, spans="calls") as telemetry,
        brama.System() as system,
    ):
        circuit = system.circuit("payments", failure_threshold=2, ignore=(KeyError,))
        outcomes: list[Exception | None] = [
            None,
            KeyError("x"),
            TimeoutError(),
            TimeoutError(),
            None,
        ]

        def work(error: Exception | None) -> None:
            trace.get_tracer("shop").start_span("GET").end()
            if error is not None:
                raise error

        def guarded(error: Exception | None) -> None:
            with circuit.guard():
                work(error)

        forms: dict[str, Callable[..., None]] = {
            "call": lambda error: circuit.call(work, error),
            "decorator": circuit(work),
            "guard": guarded,
        }
        for error in outcomes:
            try:
                forms[form](error)
            except (KeyError, TimeoutError, brama.CircuitOpenError):
                pass
        assert not trace.get_current_span().get_span_context().is_valid
        assert telemetry.force_flush(5.0)
    spans = sorted(
        (span for span in receiver.spans if span.name == "call payments"),
        key=lambda span: span.start,
    )
    assert [span.attributes["brama.circuit.call.outcome"] for span in spans] == [
        "success",
        "ignored",
        "failure",
        "failure",
        "rejected",
    ]
    assert [span.status for span in spans] == ["UNSET", "UNSET", "ERROR", "ERROR", "ERROR"]
    inner = [span for span in receiver.spans if span.name == "GET"]
    assert {span.parent_id for span in inner} == {span.span_id for span in spans[:4]}
    (opened,) = (span for span in receiver.spans if span.name == "transition open")
    assert [link.span_id for link in spans[4].links] == [opened.span_id]
    assert {link.span_id for link in opened.links} == {spans[2].span_id, spans[3].span_id}


async def test_async_calls_have_spans_that_do_not_leak_between_tasks(
    receiver: OtlpReceiver,
) -> None:
    import trio

    with (
        configure(endpoint=receiver.endpoint, environ={}, spans="calls") as telemetry,
        brama.System() as system,
    ):
        circuit = system.circuit("payments")

        @circuit
        async def work() -> None:
            await trio.lowlevel.checkpoint()
            trace.get_tracer("shop").start_span("GET").end()

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(work)
        assert not trace.get_current_span().get_span_context().is_valid
        assert telemetry.force_flush(5.0)
    calls = {span.span_id for span in receiver.spans if span.name == "call payments"}
    inner = [span.parent_id for span in receiver.spans if span.name == "GET"]
    assert len(calls) == 20
    assert sorted(inner) == sorted(calls)  # type: ignore[type-var]


# The golden trace


def test_the_golden_trace_in_the_documentation_is_the_one_of_this_outage(
    telemetry_of_tests: Telemetry, receiver: OtlpReceiver
) -> None:
    outage = Outage(telemetry_of_tests, receiver)
    outage.run()
    drawn = golden(receiver)
    if os.environ.get("BRAMA_WRITE_GOLDEN"):
        GOLDEN.write_text(drawn, encoding="utf-8")
    assert drawn == GOLDEN.read_text(encoding="utf-8")


def golden(receiver: OtlpReceiver) -> str:
    """The traces in their order, numbered, with what each links to; times left out."""
    traces = list(receiver.traces().values())
    numbers = {spans[0].trace_id: number for number, spans in enumerate(traces, 1)}
    parts = []
    for spans in traces:
        tree = re.sub(r"  [\d.]+ ms", "", render_tree(spans))
        tree = re.sub(r"  \+\d+ linked traces?", "", tree)
        parts.append(f"trace {numbers[spans[0].trace_id]}\n{tree}")
        named = {span.span_id: span.name for span in receiver.spans}
        parts.extend(
            f"    {span.name} --{link.attributes['brama.link']}--> "
            f"{named[link.span_id]} (trace {numbers[link.trace_id]})"
            for span in spans
            for link in span.links
            if link.trace_id != span.trace_id
        )
    return "\n".join(parts) + "\n"


# The hook bus


def test_a_listener_hears_of_every_call_of_a_circuit_and_of_its_changes() -> None:
    heard: list[str] = []

    def hear(event: str, _measurements: object, metadata: Any, _config: object) -> None:
        if metadata.get("connection") == "payments":
            heard.append(event.removeprefix("brama.circuit."))

    clock = Clock()
    with brama.System(brama.Settings(clock=clock)) as system:
        circuit = system.circuit("payments", failure_threshold=2, expiry=30.0)
        call_of = circuit(_raise)
        call_of(None)
        attach("test", "brama.circuit.*", hear)
        try:
            for error in (None, TimeoutError(), TimeoutError(), None):
                with contextlib.suppress(TimeoutError, brama.CircuitOpenError):
                    call_of(error)
            clock.now += 30
            call_of(None)
            with system.events(events=["state_change"]) as events:
                circuit.open_circuit()
                events.get(timeout=5)
        finally:
            detach("test")
        call_of2 = system.circuit("other")(lambda: None)
        call_of2()
        assert not system._shared.watched
    calls = [word for word in heard if word.startswith("call.")]
    assert calls == [
        "call.succeeded",
        "call.failed",
        "call.failed",
        "call.refused",
        "call.succeeded",
    ]
    assert heard.count("transition") >= 4


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error
