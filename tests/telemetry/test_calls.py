"""The spans of refused calls, failed probes and, by request, of every call."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from brama.telemetry import (
    Telemetry,
    attach,
    call,
    capture,
    configure,
    detach,
    enrich,
    failed,
    flags,
    hook_names,
    metrics,
    names,
    pools,
    refused,
    succeeded,
    watching,
)
from brama.telemetry.testing import OtlpReceiver, Span

Trip = Callable[..., Any]
CIRCUIT = {"connection": "payment_api", "scope": "payments"}


def refuse(**changes: Any) -> None:
    refused(
        **(
            CIRCUIT
            | {"state": "open", "reason": "Timeout", "retry_after": 1.5, "generation": 7}
            | changes
        )
    )


def fail_probe(error: BaseException | None = None, **changes: Any) -> None:
    arguments = {
        "state": "half_open",
        "reason": "Timeout",
        "probe": True,
        "duration": 0.5,
        "generation": 3,
    }
    failed(**(CIRCUIT | arguments | changes), error=error)


def spans_of(telemetry: Telemetry, receiver: OtlpReceiver) -> list[Span]:
    assert telemetry.force_flush()
    return receiver.spans


# Refused calls


def test_a_refused_call_is_an_error_of_its_caller_and_links_to_the_transition(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    cause = trip()
    with trace.get_tracer("app").start_as_current_span("charge"):
        refuse(cause=cause)

    spans = {span.name: span for span in spans_of(telemetry, receiver)}
    call_span = spans["call payment_api"]
    assert call_span.parent_id == spans["charge"].span_id
    assert (call_span.kind, call_span.status) == ("INTERNAL", "ERROR")
    assert dict(call_span.attributes) == {
        "brama.circuit.name": "payment_api",
        "brama.circuit.scope": "payments",
        "pool": "payment_api",
        "brama.circuit.state": "open",
        "brama.circuit.generation": 7,
        "brama.circuit.probe": False,
        "brama.circuit.call.outcome": "rejected",
        "brama.circuit.reason": "Timeout",
        "brama.circuit.retry_after": 1.5,
        "error.type": "brama.CircuitOpenError",
    }
    (link,) = call_span.links
    assert link.span_id == spans["transition open"].span_id
    assert dict(link.attributes) == {"brama.link": "transition"}
    assert spans["charge"].status == "UNSET"


def test_refused_calls_make_a_bounded_number_of_spans_and_are_counted_exactly(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    flags.use(flags.Options(rate=2.0))
    for _ in range(1_000):
        refuse()

    assert len(spans_of(telemetry, receiver)) == 8  # four seconds' worth
    assert metrics.held_back.snapshot() == {("refused",): 992}


def test_the_next_span_tells_how_many_were_held_back(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    now = [0.0]
    flags.use(flags.Options(rate=0.25))
    refuse()
    flags._current.buckets["refused"]._clock = lambda: now[0]
    now[0] = time.monotonic()
    for _ in range(5):
        refuse()
    now[0] += 5.0
    refuse()

    first, second = spans_of(telemetry, receiver)
    assert names.HELD_BACK not in first.attributes
    assert second.attributes[names.HELD_BACK] == 5
    assert set(second.attributes) == set(names.CALL.attributes)


def test_a_call_of_an_unsampled_trace_makes_no_span_and_takes_no_token() -> None:
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    flags.use(flags.Options(rate=0.25))
    with (
        configure(tracer_provider=provider, span_rate=0.25),
        provider.get_tracer("app").start_as_current_span("charge"),
    ):
        for _ in range(5):
            refuse()
    assert metrics.held_back.snapshot() == {}


def test_no_spans_of_calls_are_made_when_none_are_asked_for(receiver: OtlpReceiver) -> None:
    with configure(endpoint=receiver.endpoint, environ={}, spans="none") as telemetry:
        assert not watching.refusals
        assert not watching.probes
        refuse()
        fail_probe()
        assert spans_of(telemetry, receiver) == []


def test_the_flags_are_off_until_someone_looks(receiver: OtlpReceiver) -> None:
    flags.refresh()
    assert not any(getattr(watching, flag) for flag in type(watching).__slots__)
    with configure(endpoint=receiver.endpoint, environ={}):
        assert watching.refusals
        assert watching.probes
        assert not watching.calls
    assert not watching.refusals


def test_a_listener_hears_of_refusals_failures_and_successes_without_a_provider() -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    flags.refresh()
    assert not any((watching.refusals, watching.failures, watching.successes))
    attach("mine", "brama.circuit.call.*", lambda name, _m, data, _c: heard.append((name, data)))
    try:
        assert watching.refusals
        assert watching.failures
        assert watching.successes
        refuse()
        fail_probe(TimeoutError())
        succeeded(**CIRCUIT, state="closed")
    finally:
        detach("mine")
    assert not any((watching.refusals, watching.failures, watching.successes))
    assert [name for name, _ in heard] == [
        hook_names.CALL_REFUSED,
        hook_names.CALL_FAILED,
        hook_names.CALL_SUCCEEDED,
    ]
    assert heard[1][1]["error_type"] == "TimeoutError"
    for name, data in heard:
        (hook,) = (hook for hook in names.HOOKS if hook.name == name)
        assert set(data) == set(hook.metadata)


# Failed probes


def test_a_failed_probe_has_a_span_of_its_whole_time(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    cause = trip(previous="open", new="half_open")
    fail_probe(TimeoutError("no answer"), cause=cause)

    spans = {span.name: span for span in spans_of(telemetry, receiver)}
    probe = spans["call payment_api"]
    assert probe.duration == pytest.approx(0.5, abs=0.01)
    assert probe.status == "ERROR"
    assert probe.attributes["error.type"] == "TimeoutError"
    assert probe.attributes["brama.circuit.call.outcome"] == "failure"
    assert probe.attributes["brama.circuit.probe"] is True
    assert probe.attributes["brama.circuit.generation"] == 3
    assert [event.name for event in probe.events] == ["exception"]
    assert [link.span_id for link in probe.links] == [spans["transition half_open"].span_id]


def test_a_failure_that_is_no_probe_has_no_span(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    fail_probe(TimeoutError(), probe=False, state="closed")
    assert spans_of(telemetry, receiver) == []


# Every call


@pytest.fixture
def every_call(receiver: OtlpReceiver) -> Any:
    with configure(endpoint=receiver.endpoint, environ={}, spans="calls") as telemetry:
        assert watching.calls
        yield telemetry


def begin() -> Any:
    made = call(**CIRCUIT, state="closed")
    assert made is not None
    return made


def test_a_call_s_span_is_the_parent_of_what_happens_inside(
    every_call: Telemetry, receiver: OtlpReceiver
) -> None:
    before = capture()
    with begin():
        trace.get_tracer("app").start_span("GET").end()
    assert capture() == before

    spans = {span.name: span for span in spans_of(every_call, receiver)}
    assert spans["GET"].parent_id == spans["call payment_api"].span_id
    assert spans["call payment_api"].status == "UNSET"
    assert spans["call payment_api"].attributes["brama.circuit.call.outcome"] == "success"


def test_a_failing_call_is_an_error_and_a_cancelled_one_is_ignored(
    every_call: Telemetry, receiver: OtlpReceiver
) -> None:
    with pytest.raises(LookupError), begin():
        raise LookupError("gone")
    with pytest.raises(GeneratorExit), begin():
        raise GeneratorExit

    failed_span, cancelled = spans_of(every_call, receiver)
    assert (failed_span.status, failed_span.attributes["error.type"]) == ("ERROR", "LookupError")
    assert cancelled.status == "UNSET"
    assert cancelled.attributes["brama.circuit.call.outcome"] == "ignored"


@pytest.mark.requirement("telemetry:errors")
def test_the_log_event_of_a_failing_call_belongs_to_its_span(
    every_call: Telemetry, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    with pytest.raises(LookupError), begin():
        raise LookupError("gone")
    fail_probe(LookupError("gone"))

    spans = spans_of(every_call, receiver)
    assert [event for span in spans for event in span.events] == []
    assert [(log.trace_id, log.span_id) for log in receiver.logs] == [
        (span.trace_id, span.span_id) for span in spans
    ]


def test_the_permit_s_word_about_the_outcome_holds(
    every_call: Telemetry, receiver: OtlpReceiver
) -> None:
    with begin() as span:
        span.outcome("failure", "HTTP 503")

    (found,) = spans_of(every_call, receiver)
    assert found.status == "ERROR"
    assert found.status_message == "HTTP 503"
    assert found.attributes["brama.circuit.reason"] == "HTTP 503"


def test_the_times_of_calls_go_into_their_histogram(
    every_call: Telemetry, receiver: OtlpReceiver
) -> None:
    with begin():
        pass
    assert every_call.force_flush()
    (series,) = (m for m in receiver.metrics if m.name == "brama.circuit.call.duration")
    assert series.count == 1
    assert dict(series.attributes) == {
        "pool": "payment_api",
        "brama.circuit.call.outcome": "success",
    }


def test_every_call_has_a_span_in_the_provider_that_the_application_has_set() -> None:
    trace.set_tracer_provider(TracerProvider())
    with configure(spans="calls", environ={}):
        assert call(**CIRCUIT, state="closed") is not None
        assert watching.calls


def test_a_share_of_the_calls_is_taken(receiver: OtlpReceiver) -> None:
    with configure(endpoint=receiver.endpoint, environ={}, spans="calls", sample=0.2):
        assert watching.refusals  # those that the share leaves out are looked for first
        taken = sum(call(**CIRCUIT, state="closed") is not None for _ in range(2_000))
    assert 250 < taken < 550


def test_span_names_are_bounded_however_many_connections_there_are(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    flags.use(flags.Options(rate=None))
    pools.reset()
    for number in range(300):
        refuse(connection=f"c{number}")
    found = spans_of(telemetry, receiver)
    assert len(found) == 300
    assert len({span.name for span in found}) == 201
    assert len({span.attributes["brama.circuit.name"] for span in found}) == 300


# Enrichers


def test_the_span_of_a_call_is_enriched_by_the_name_of_its_outcome(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    enrich("mine", "brama.circuit.call.*", lambda event, about: {"shop": event, "pool": "theirs"})
    try:
        refuse()
        fail_probe(TimeoutError())
        with begin_in("calls"):
            pass
    finally:
        detach("mine")
    shops = [
        (span.attributes["shop"], span.attributes["pool"]) for span in spans_of(telemetry, receiver)
    ]
    assert shops == [
        ("brama.circuit.call.refused", "payment_api"),
        ("brama.circuit.call.failed", "payment_api"),
        ("brama.circuit.call.succeeded", "payment_api"),
    ]


def begin_in(spans: Any) -> Any:
    flags.use(flags.Options(spans=spans))
    return begin()
