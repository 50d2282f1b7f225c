"""With `spans="calls"` every guarded call has its span, in whatever form it is made."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import brama
from brama.circuits import Catalogue, Shared
from brama.circuits.adapters.httpx import AsyncCircuitTransport, CircuitTransport
from brama.telemetry import configure, flags, names, watching
from brama.telemetry.call import _abandoned

requirement = pytest.mark.requirement("BR-20")


def _forms() -> Any:
    """The forms in which calls are guarded stand beside the tests of circuits."""
    path = Path(__file__).parents[1] / "circuits" / "forms.py"
    spec = importlib.util.spec_from_file_location("forms_of_calls", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FORMS: dict[str, Callable[[brama.Circuit, Callable[[], Any]], None]] = _forms().FORMS
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)

NOBODY = trace.INVALID_SPAN.get_span_context()


class Recorded:
    """What Brama and the application have recorded."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("shop")
        self.options = {"spans": "calls", **options}

    def __enter__(self) -> Self:
        self.telemetry = configure(tracer_provider=self.provider, **self.options)
        return self

    def __exit__(self, *_: object) -> None:
        self.telemetry.shutdown()
        self.provider.shutdown()
        flags.reset()

    def named(self, name: str) -> list[ReadableSpan]:
        found = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return sorted(found, key=lambda span: span.start_time or 0)

    def one(self, name: str = "call search") -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with Recorded() as recorded:
        assert watching.calls
        yield recorded


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> brama.Circuit:
    """Of no system: whose actors might look at the clock before the call does."""
    return Catalogue(Shared(clock=clock)).circuit(
        "search", scope="web", failure_threshold=2, expiry=30.0, ignore=KeyError
    )


def current() -> Any:
    return trace.get_current_span().get_span_context()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return {
        name.removeprefix("brama.circuit."): value
        for name, value in (span.attributes or {}).items()
        if name != "pool"
    }


# Every form


@requirement
@forms
def test_a_call_of_every_form_has_one_span_that_is_current_inside_and_nowhere_else(
    recorded: Recorded, circuit: brama.Circuit, form: Any
) -> None:
    inside: list[Any] = []
    with recorded.tracer.start_as_current_span("request") as request:
        form(circuit, lambda: inside.append(current()))
        assert current() == request.get_span_context()

    span = recorded.one()
    assert inside == [span.context]
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert span.kind.name == "INTERNAL"
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "name": "search",
        "scope": "web",
        "state": "closed",
        "generation": 1,
        "probe": False,
        "call.outcome": "success",
    }


@requirement
@forms
def test_a_failure_of_every_form_is_an_error_and_the_one_that_trips_has_the_transition(
    recorded: Recorded, circuit: brama.Circuit, form: Any
) -> None:
    def fail() -> None:
        raise TimeoutError("no answer")

    for _ in range(2):
        with pytest.raises(TimeoutError):
            form(circuit, fail)

    first, last = recorded.named("call search")
    for span in (first, last):
        assert span.status.status_code is StatusCode.ERROR
        assert attributes(span)["error.type"] == "TimeoutError"
        assert attributes(span)["call.outcome"] == "failure"
        assert attributes(span)["reason"] == "TimeoutError: no answer"
    assert [event.name for event in first.events] == ["exception"]
    moved, _exception = last.events
    assert moved.name == names.STATE_CHANGED.name
    assert dict(moved.attributes or {})["brama.circuit.state"] == "open"
    assert dict(moved.attributes or {})["brama.circuit.state.from"] == "closed"


@requirement
@forms
def test_a_neutral_end_of_every_form_is_ignored_and_no_error(
    recorded: Recorded, circuit: brama.Circuit, form: Any
) -> None:
    def missing() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError):
        form(circuit, missing)

    span = recorded.one()
    assert attributes(span)["call.outcome"] == "ignored"
    assert span.status.status_code is StatusCode.UNSET


@requirement
@pytest.mark.parametrize(
    "form",
    [pytest.param(form, id=name) for name, form in FORMS.items() if name != "acquired"],
)
def test_a_refusal_of_every_form_is_one_span_that_leads_to_the_transition(
    recorded: Recorded, circuit: brama.Circuit, form: Any
) -> None:
    circuit.open_circuit("deploy")
    with pytest.raises(brama.CircuitOpenError):
        form(circuit, lambda: None)

    span = recorded.one()
    assert attributes(span) == {
        "name": "search",
        "scope": "web",
        "state": "open",
        "generation": 2,
        "probe": False,
        "reason": "deploy",
        "retry_after": 30.0,
        "call.outcome": "rejected",
        "error.type": attributes(span)["error.type"],
    }
    assert span.status.status_code is StatusCode.ERROR
    assert [link.context for link in span.links] == [recorded.one("transition open").context]


@requirement
@forms
def test_a_probe_of_every_form_is_one_and_has_both_of_its_transitions(
    recorded: Recorded, circuit: brama.Circuit, clock: Clock, form: Any
) -> None:
    circuit.open_circuit()
    clock.now += 30
    form(circuit, lambda: None)

    span = recorded.one()
    assert attributes(span)["probe"] is True
    assert attributes(span)["state"] == "half_open"
    assert attributes(span)["generation"] == 3
    assert [dict(event.attributes or {})["brama.circuit.state"] for event in span.events] == [
        "half_open",
        "closed",
    ]


# Permits by hand, reports


@requirement
def test_a_permit_by_hand_has_a_span_until_it_is_settled_that_is_not_current(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    for settle in ("success", "failure", "ignore"):
        permit = circuit.try_acquire()
        assert permit is not None
        assert current() == NOBODY
        assert len(recorded.named("call search")) < 3
        getattr(permit, settle)()
        getattr(permit, settle)()
    assert [attributes(span)["call.outcome"] for span in recorded.named("call search")] == [
        "success",
        "failure",
        "ignored",
    ]


@requirement
def test_a_permit_that_is_not_given_is_a_span_of_a_refusal(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    circuit.force_open("deploy")
    assert circuit.try_acquire() is None
    assert circuit.try_acquire(probe=False) is None
    spans = recorded.named("call search")
    assert [attributes(span)["call.outcome"] for span in spans] == ["rejected"] * 2
    assert all(len(span.links) == 1 for span in spans)


@requirement
def test_a_permit_that_is_not_given_has_a_span_by_default_as_other_refusals_have(
    circuit: brama.Circuit, clock: Clock
) -> None:
    with Recorded(spans="exceptional") as recorded:
        circuit.open_circuit("deploy")
        assert circuit.try_acquire() is None
        clock.now += 30
        probe = circuit.try_acquire()
        assert circuit.try_acquire() is None
        assert probe is not None
        probe.ignore()
        spans = recorded.named("call search")
    assert [attributes(span)["state"] for span in spans] == ["open", "half_open"]
    assert {attributes(span)["call.outcome"] for span in spans} == {"rejected"}


@requirement
def test_a_word_inside_a_block_is_the_outcome_and_the_span_ends_with_the_block(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    with circuit.guard() as permit:
        permit.failure("HTTP 503")
        inside = current()
        assert not recorded.named("call search")
    with circuit.guard() as permit:
        permit.success()
        assert current() != NOBODY

    failed, good = recorded.named("call search")
    assert failed.context == inside
    assert attributes(failed)["error.type"] == "reported"
    assert failed.status.description == "HTTP 503"
    assert attributes(good)["call.outcome"] == "success"


@requirement
def test_a_result_is_what_the_policy_says_it_is(recorded: Recorded, clock: Clock) -> None:
    with brama.System(brama.Settings(clock=clock)) as system:
        circuit = system.circuit("search", record_result=lambda result: result == 503)
        assert circuit(lambda: 503)() == 503
        assert circuit.call(lambda: 200) == 200
    assert current() == NOBODY
    assert [attributes(span)["call.outcome"] for span in recorded.named("call search")] == [
        "failure",
        "success",
    ]


@requirement
def test_a_report_from_elsewhere_has_a_span_of_no_length_with_its_transition(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    with recorded.tracer.start_as_current_span("request") as request:
        circuit.success()
        circuit.failure("seen in a log")
        circuit.failure("seen in a log")

    good, bad, last = recorded.named("call search")
    assert attributes(good)["call.outcome"] == "success"
    for span in (bad, last):
        assert attributes(span)["call.outcome"] == "failure"
        assert attributes(span)["error.type"] == "reported"
        assert span.parent is not None
        assert span.parent.span_id == request.get_span_context().span_id
    assert [event.name for event in last.events] == [names.STATE_CHANGED.name]
    assert not bad.events


@requirement
def test_the_transition_is_the_child_of_the_call_that_trips_and_links_to_the_others(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    permits = [circuit.try_acquire() for _ in range(2)]
    for permit in permits:
        assert permit is not None
        permit.failure("HTTP 503")
    circuit.available()
    assert circuit.try_acquire() is None

    first, last, refused = recorded.named("call search")
    opened = recorded.one("transition open")
    assert opened.parent is not None
    assert opened.parent.span_id == last.context.span_id
    assert {link.context.span_id for link in opened.links} == {
        first.context.span_id,
        last.context.span_id,
    }
    assert [link.context.span_id for link in refused.links] == [opened.context.span_id]


@requirement
def test_events_of_spans_are_left_to_the_logs_where_the_conventions_want_that(
    recorded: Recorded, circuit: brama.Circuit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    circuit.failure()
    circuit.failure()
    assert circuit.state == "open"
    assert [list(span.events) for span in recorded.named("call search")] == [[], []]


@requirement
def test_nested_entries_ride_on_the_probe_and_have_spans_of_their_own(
    recorded: Recorded, circuit: brama.Circuit, clock: Clock
) -> None:
    circuit.open_circuit()
    clock.now += 30
    with circuit.guard():
        with circuit.guard():
            pass
        assert circuit.state == "half_open"
    assert circuit.state == "closed"
    outer, inner = recorded.named("call search")
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert [attributes(span)["probe"] for span in (outer, inner)] == [True, False]


# Generators: no span is current over a yield


@requirement
def test_what_runs_between_two_items_finds_nothing_of_the_call(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    inside: list[Any] = []

    @circuit
    def items() -> Iterator[int]:
        inside.append(current())
        yield 1
        inside.append(current())
        yield 2
        inside.append(current())

    with recorded.tracer.start_as_current_span("request") as request:
        for _ in items():
            assert current() == request.get_span_context()
            recorded.tracer.start_span("between").end()
    assert inside == [recorded.one().context] * 3
    for between in recorded.named("between"):
        assert between.parent is not None
        assert between.parent.span_id == request.get_span_context().span_id


@requirement
def test_a_generator_of_a_user_who_leaves_a_span_current_does_not_leak_it(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    @circuit
    def items() -> Iterator[int]:
        with recorded.tracer.start_as_current_span("mine"):
            yield 1

    guarded = items()
    assert next(guarded) == 1
    assert current() == NOBODY
    assert recorded.named("call search") == []


@requirement
def test_a_generator_that_is_left_early_is_ignored_and_ended(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    @circuit
    def items() -> Iterator[int]:
        yield 1
        yield 2

    for _ in items():
        break
    assert attributes(recorded.one())["call.outcome"] == "ignored"


@requirement
def test_a_generator_may_be_read_in_other_threads_than_it_was_begun_in(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    inside: list[Any] = []

    @circuit
    def items() -> Iterator[int]:
        for number in range(3):
            inside.append(current())
            yield number

    with recorded.tracer.start_as_current_span("request") as request:
        guarded = items()
        next(guarded)
    for _ in range(3):
        thread = threading.Thread(target=lambda: next(guarded, None))
        thread.start()
        thread.join()
    span = recorded.one()
    assert inside == [span.context] * 3
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id


@requirement
def test_what_the_collector_ends_is_ended_by_the_next_call(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    @circuit
    def items(own: list[Any]) -> Iterator[int]:
        yield len(own)

    cycle: list[Any] = []
    cycle.append(items(cycle))
    next(cycle[0])
    permits: list[Any] = [circuit.try_acquire()]
    permits.append(permits)
    gc.collect()
    del cycle, permits
    gc.collect()
    assert recorded.named("call search") == []
    assert len(_abandoned) == 2
    with circuit.guard():
        pass
    outcomes = [attributes(span)["call.outcome"] for span in recorded.named("call search")]
    assert sorted(outcomes) == ["ignored", "ignored", "success"]
    assert circuit.status().in_flight == 0


# Loops


async def _in_tasks(recorded: Recorded, circuit: brama.Circuit, pause: Any) -> Callable[..., Any]:
    @circuit
    async def items(number: int) -> Any:
        for _ in range(3):
            await pause()
            recorded.tracer.start_span(f"GET {number}").end()
            yield number

    async def request(number: int) -> None:
        with recorded.tracer.start_as_current_span(f"request {number}") as mine:
            async for _ in items(number):
                await pause()
                assert current() == mine.get_span_context()

    return request


def _check_tasks(recorded: Recorded, tasks: int) -> None:
    calls = {span.context.span_id: span for span in recorded.named("call search")}
    assert len(calls) == tasks
    for number in range(tasks):
        request = recorded.one(f"request {number}")
        parents = {span.parent and span.parent.span_id for span in recorded.named(f"GET {number}")}
        (mine,) = parents
        assert mine is not None
        above = calls[mine].parent
        assert above is not None
        assert above.span_id == request.context.span_id


@requirement
def test_async_generators_of_many_tasks_keep_their_parents_on_asyncio(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    async def main() -> None:
        request = await _in_tasks(recorded, circuit, lambda: asyncio.sleep(0))
        await asyncio.gather(*map(request, range(10)))

    asyncio.run(main())
    _check_tasks(recorded, 10)


@requirement
async def test_async_generators_of_many_tasks_keep_their_parents_on_trio(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    request = await _in_tasks(recorded, circuit, trio.lowlevel.checkpoint)
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(request, number)
    _check_tasks(recorded, 10)


@requirement
def test_calls_of_many_threads_keep_their_parents(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    barrier = threading.Barrier(8)

    def request(number: int) -> None:
        with recorded.tracer.start_as_current_span(f"request {number}"):
            barrier.wait()
            for _ in range(3):
                circuit.call(lambda: recorded.tracer.start_span(f"GET {number}").end())

    threads = [threading.Thread(target=request, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = {span.context.span_id: span for span in recorded.named("call search")}
    assert len(calls) == 24
    for number in range(8):
        mine = recorded.one(f"request {number}").context.span_id
        for span in recorded.named(f"GET {number}"):
            assert span.parent is not None
            above = calls[span.parent.span_id].parent
            assert above is not None
            assert above.span_id == mine


@requirement
async def test_a_cancelled_call_is_ignored_and_leaves_nothing_current(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    @circuit
    async def items() -> Any:
        yield 1
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        async for _ in items():
            scope.cancel()
    assert current() == NOBODY
    span = recorded.one()
    assert attributes(span)["call.outcome"] == "ignored"
    assert span.status.status_code is StatusCode.UNSET


# Adapters


@requirement
def test_a_request_s_call_goes_on_until_its_body_has_come(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    inside: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        inside.append(current())
        return httpx.Response(200, stream=httpx.ByteStream(b"fine"))

    transport = CircuitTransport(httpx.MockTransport(answer), circuit=circuit)
    with httpx.Client(transport=transport) as client:
        with client.stream("GET", "http://search.example/") as response:
            assert current() == NOBODY
            assert recorded.named("call search") == []
            assert response.read() == b"fine"
        assert attributes(recorded.one())["call.outcome"] == "success"
    assert inside == [recorded.one().context]


@requirement
@pytest.mark.parametrize(
    ("error", "outcome"),
    [(httpx.ConnectError("refused"), "failure"), (LookupError("a bug of ours"), "ignored")],
)
async def test_a_request_that_fails_ends_its_span_and_leaves_nothing_current(
    recorded: Recorded, circuit: brama.Circuit, error: Exception, outcome: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    transport = AsyncCircuitTransport(httpx.MockTransport(answer), circuit=circuit)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(type(error)):
            await client.get("http://search.example/")
    assert current() == NOBODY
    assert attributes(recorded.one())["call.outcome"] == outcome


# The share


@requirement
def test_a_share_of_the_calls_has_spans_and_refusals_and_failed_probes_still_have_theirs(
    circuit: brama.Circuit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.9)
    with Recorded(sample=0.5) as recorded:
        circuit.call(lambda: None)
        assert recorded.named("call search") == []
        circuit.open_circuit()
        with pytest.raises(brama.CircuitOpenError):
            circuit.call(lambda: None)
        assert circuit.try_acquire() is None
        clock.now += 30
        with pytest.raises(TimeoutError), circuit.guard():
            raise TimeoutError
        found = [
            (attributes(span)["call.outcome"], attributes(span)["probe"])
            for span in recorded.named("call search")
        ]
    assert found == [("rejected", False), ("rejected", False), ("failure", True)]


@requirement
def test_every_attribute_is_one_of_the_list(
    recorded: Recorded, circuit: brama.Circuit, clock: Clock
) -> None:
    for _ in range(2):
        circuit.failure("down")
    with pytest.raises(brama.CircuitOpenError):
        circuit.call(lambda: None)
    seen = {name for span in recorded.named("call search") for name in span.attributes or {}}
    assert seen == set(names.CALL.attributes) - {names.HELD_BACK}


@requirement
def test_without_an_sdk_there_is_neither_a_span_nor_a_look_for_one(circuit: brama.Circuit) -> None:
    flags.refresh()
    assert not any((watching.calls, watching.refusals, watching.probes))
    made = circuit.guard()
    assert type(made) is brama.Permit


@pytest.mark.requirement("telemetry:failure-behaviour")
@pytest.mark.parametrize(
    "method", ["set_attribute", "set_status", "add_event", "add_link", "end", "is_recording"]
)
def test_no_call_notices_a_span_that_raises(method: str, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("no span today")

    class Tracer(trace.NoOpTracer):
        def start_span(self, *_args: object, **_options: object) -> trace.Span:
            span = trace.NonRecordingSpan(trace.SpanContext(1, 2, False, trace.TraceFlags(1)))
            setattr(span, "is_recording", lambda: True)  # noqa: B010 - of the instance
            setattr(span, method, broken)
            return span

    class Provider(trace.TracerProvider):
        def get_tracer(self, *_args: object, **_options: object) -> trace.Tracer:
            return Tracer()

    with (
        configure(tracer_provider=Provider(), spans="calls"),
        brama.System(brama.Settings(failure_threshold=1)) as system,
    ):
        circuit = system.circuit("a")
        assert circuit.call(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            circuit.call(lambda: 1 / 0)
        with pytest.raises(brama.CircuitOpenError):
            circuit.call(lambda: 7)
    ours = [record for record in caplog.records if record.name == "brama.telemetry"]
    assert len(ours) <= 1


@requirement
def test_a_refusal_is_told_by_its_attributes_and_by_no_traceback(
    recorded: Recorded, circuit: brama.Circuit
) -> None:
    circuit.open_circuit()
    with pytest.raises(brama.CircuitOpenError):
        circuit.call(int)
    span = recorded.one()
    assert attributes(span)["call.outcome"] == "rejected"
    assert span.status.status_code is StatusCode.ERROR
    assert span.events == ()
