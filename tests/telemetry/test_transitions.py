"""What a state change leaves behind: links to its evidence, a log event, a line, a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace

from brama.telemetry import (
    Telemetry,
    attach,
    capture,
    configure,
    detach,
    flags,
    hook_names,
    lines,
    metrics,
    names,
    traceparent,
)
from brama.telemetry.testing import OtlpReceiver
from brama.telemetry.throttle import Throttle

Trip = Callable[..., Any]


def failing_call(name: str) -> Any:
    with trace.get_tracer("app").start_as_current_span(name):
        return capture()


# Evidence


def test_a_transition_links_to_the_failing_calls_that_led_to_it(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    evidence = [failing_call(f"call {number}") for number in range(3)]
    # By whatever leads to a span: its context, the text of it, or the span context itself.
    given = [
        evidence[0],
        traceparent(evidence[1]),
        trace.get_current_span(evidence[2]).get_span_context(),
        None,
        evidence[0],
    ]
    trip(evidence=given)

    assert telemetry.force_flush()
    spans = {span.name: span for span in receiver.spans}
    links = spans["transition open"].links
    assert sorted(link.span_id for link in links) == sorted(
        spans[f"call {number}"].span_id for number in range(3)
    )
    assert {dict(link.attributes)["brama.link"] for link in links} == {"evidence"}


def test_the_links_are_bounded_and_the_last_calls_count(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    evidence = [failing_call(f"call {number}") for number in range(100)]
    trip(evidence=evidence)

    assert telemetry.force_flush()
    spans = {span.name: span for span in receiver.spans}
    linked = {link.span_id for link in spans["transition open"].links}
    assert linked == {spans[f"call {number}"].span_id for number in range(68, 100)}


def test_a_hundred_thousand_transitions_make_a_bounded_number_of_spans_and_exact_counts(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    flags.use(flags.Options(rate=1.0))
    for number in range(20_000):
        trip(connection=f"c{number}")

    assert telemetry.force_flush()
    assert 4 <= len(receiver.spans) <= 20
    assert sum(metrics.transitions.snapshot().values()) == 20_000
    assert len(metrics.transitions.snapshot()) == 201
    held_back = metrics.held_back.snapshot()
    assert held_back["transition",] == 20_000 - len(receiver.spans)


# Log events


@pytest.mark.requirement("telemetry:transition-event")
@pytest.mark.parametrize(("new", "severity"), [("open", "WARN"), ("half_open", "INFO")])
def test_a_state_change_is_a_log_event_in_the_context_of_its_span(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip, new: str, severity: str
) -> None:
    trip(new=new, failure_count=5, duration=2.5)

    assert telemetry.force_flush()
    (span,) = receiver.spans
    (log,) = receiver.logs
    assert log.event_name == "brama.circuit.state.changed"
    assert log.severity == severity
    assert (log.trace_id, log.span_id) == (span.trace_id, span.span_id)
    assert log.time == span.start
    assert set(log.attributes) == set(names.STATE_CHANGED.attributes)
    assert log.attributes["brama.circuit.state"] == new
    assert "payment_api" in log.body
    assert (log.scope.name, log.scope.schema_url) == ("brama.circuit", names.SCHEMA_URL)
    assert log.resource["service.name"] == "checkout"


def test_without_a_span_the_log_event_has_no_trace(receiver: OtlpReceiver, trip: Trip) -> None:
    environ = {"OTEL_TRACES_EXPORTER": "none"}
    with configure(endpoint=receiver.endpoint, environ=environ) as telemetry:
        trip()
        assert telemetry.force_flush()
    (log,) = receiver.logs
    assert (log.trace_id, log.span_id) == (None, None)


def test_no_log_event_is_made_without_a_provider(trip: Trip) -> None:
    trip()  # nothing to assert but that it neither fails nor warns
    assert metrics.held_back.snapshot() == {}


# Lines


@pytest.fixture
def lines_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("brama.circuits"), "disabled", False)
    monkeypatch.setattr(lines, "_throttle", Throttle(1 / 50, burst=200))


@pytest.mark.usefixtures("lines_on")
def test_people_without_opentelemetry_get_a_line(
    trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "brama.circuits"):
        trip()
        trip(previous="open", new="half_open", reason="expiry elapsed", scope=None)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "circuit payment_api (payments): closed -> open (Timeout)"),
        ("INFO", "circuit payment_api: open -> half_open (expiry elapsed)"),
    ]
    assert caplog.records[0].__dict__["brama_new_state"] == "open"


@pytest.mark.usefixtures("lines_on")
def test_a_flood_of_state_changes_is_no_flood_of_lines(
    trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1_000):
        trip()
    assert 200 <= len(caplog.records) < 400


def test_nothing_is_printed_for_an_application_that_has_not_configured_logging(
    new_python: Callable[..., Any],
) -> None:
    done = new_python(
        "import brama\n"
        "with brama.System() as system:\n"
        "    with system.events(events=['state_change']) as events:\n"
        "        system.circuit('a').open_circuit()\n"
        "        events.get(timeout=5)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The hook bus


def test_a_state_change_is_announced_with_what_is_listed(trip: Trip) -> None:
    heard: list[tuple[Any, Any]] = []
    attach("mine", hook_names.CIRCUIT_TRANSITION, lambda _e, m, data, _c: heard.append((m, data)))
    try:
        trip(failure_count=5, duration=2.5)
    finally:
        detach("mine")
    ((measurements, metadata),) = heard
    (hook,) = (hook for hook in names.HOOKS if hook.name == hook_names.CIRCUIT_TRANSITION)
    assert set(measurements) == set(hook.measurements)
    assert set(metadata) == set(hook.metadata)
    assert measurements["duration"] == 2.5
