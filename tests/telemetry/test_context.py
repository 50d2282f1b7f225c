"""Contexts: captured cheaply, written as W3C text, read back; never in anybody's way."""

from __future__ import annotations

import gc
import subprocess
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import TracerProvider

from brama.telemetry import (
    Telemetry,
    capture,
    configure,
    context_of,
    faults,
    in_unsampled,
    mark,
    marked,
    recorded_span,
    span_context_of,
    traceparent,
)
from brama.telemetry.context import Trace, is_sampled

NewPython = Callable[..., subprocess.CompletedProcess[str]]
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def tracers() -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    with configure(tracer_provider=provider):
        yield provider


@contextmanager
def suppressed() -> Iterator[None]:
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        detach(token)


def test_capture_is_none_when_nobody_is_tracing() -> None:
    assert capture() is None


def test_capture_holds_the_current_span(tracers: TracerProvider) -> None:
    with tracers.get_tracer("app").start_as_current_span("charge") as span:
        captured = capture()

    assert trace.get_current_span(captured) is span


def test_a_span_is_named_without_being_kept(tracers: TracerProvider) -> None:
    with tracers.get_tracer("app").start_as_current_span("charge") as span:
        context = capture()
        assert context
        text = traceparent(context)
        named = recorded_span(context)

    assert named is span.get_span_context()
    assert traceparent(named) == text
    gone = weakref.ref(span)
    del span, context
    gc.collect()
    assert gone() is None


def test_a_span_that_is_not_recorded_has_no_name_worth_keeping() -> None:
    assert recorded_span(context_of("nothing")) is None
    assert recorded_span(context_of(SAMPLED[:-1] + "0")) is None
    assert traceparent(recorded_span(context_of(SAMPLED))) == SAMPLED


def test_capture_outside_of_any_span_is_an_empty_context_and_not_none(
    tracers: TracerProvider,
) -> None:
    assert capture() == {}


def test_capture_finds_the_providers_that_an_application_installs_later() -> None:
    assert capture() is None
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))

    assert capture() is not None


def test_capture_is_none_with_a_provider_that_makes_no_spans() -> None:
    trace.set_tracer_provider(trace.NoOpTracerProvider())

    assert capture() is None


def test_capture_is_none_inside_an_exporter(tracers: TracerProvider) -> None:
    with suppressed():
        assert capture() is None

    assert capture() is not None


def test_capture_is_none_when_the_sdk_is_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))

    assert capture() is None


def test_capture_is_none_again_after_the_shutdown(telemetry: Telemetry) -> None:
    assert capture() is not None
    telemetry.shutdown()

    assert capture() is None


def test_capture_never_raises(
    tracers: TracerProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("no context today")

    monkeypatch.setattr("opentelemetry.context.get_current", broken)

    assert capture() is None


def test_the_api_is_not_loaded_by_asking_whether_somebody_traces(new_python: NewPython) -> None:
    code = (
        "import brama.telemetry as t, sys\n"
        "assert t.capture() is None\n"
        "assert t.transition(None, connection='a', scope=None, previous='closed', new='open',\n"
        "                    reason=None, time_ns=1) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    done = new_python(code)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_traceparent_survives_the_way_through_a_context() -> None:
    assert traceparent(context_of(SAMPLED)) == SAMPLED


def test_all_deliveries_of_an_event_share_one_context() -> None:
    ours = Trace(SAMPLED, 10)
    assert ours.context() is ours.context()
    assert traceparent(ours.context()) == SAMPLED
    assert is_sampled(ours)
    assert not is_sampled(Trace(SAMPLED[:-1] + "0"))


def test_the_span_read_from_a_traceparent_is_remote() -> None:
    span = trace.get_current_span(context_of(SAMPLED)).get_span_context()

    assert (span.is_remote, span.trace_flags.sampled) == (True, True)


def test_a_context_without_a_span_has_no_traceparent(tracers: TracerProvider) -> None:
    assert traceparent(None) is None
    assert traceparent(capture()) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        SAMPLED.upper(),
        SAMPLED + "\n",
        SAMPLED + "-extra",  # version 00 has four fields
        "ff" + SAMPLED[2:],
        "00-" + "0" * 32 + SAMPLED[35:],
        SAMPLED[:36] + "0" * 16 + "-01",
    ],
)
def test_an_invalid_traceparent_gives_an_empty_context(text: str) -> None:
    assert context_of(text) == {}


def test_a_later_version_may_have_more_fields() -> None:
    assert traceparent(context_of("01" + SAMPLED[2:] + "-more")) == SAMPLED


def test_a_span_that_is_not_recorded_is_told_from_others_and_from_none(
    tracers: TracerProvider,
) -> None:
    assert not in_unsampled()
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        assert not in_unsampled()
    for text, unsampled in ((SAMPLED, False), (SAMPLED[:-1] + "0", True)):
        token = attach(context_of(text))
        try:
            assert in_unsampled() is unsampled
        finally:
            detach(token)
    assert not faults.errors()


class Closed(Exception):
    """An error that does as it likes with its attributes."""

    @property
    def __dict__(self):  # type: ignore[override]
        raise RuntimeError("no attributes here")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(f"no {name} here")


def test_an_error_that_takes_no_mark_leads_nowhere() -> None:
    error = Closed()
    mark(error, context_of(SAMPLED))
    assert marked(error) is None


def test_a_span_that_raises_names_nothing_and_breaks_nothing() -> None:
    class Broken(trace.NonRecordingSpan):
        def get_span_context(self) -> trace.SpanContext:
            raise RuntimeError("broken")

    context = trace.set_span_in_context(Broken(trace.INVALID_SPAN_CONTEXT))
    assert traceparent(context) is None
    assert span_context_of(context) is None
