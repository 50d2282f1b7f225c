"""The spans of a state change, as a collector receives them from the real exporters."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import Callable

import pytest
import trio
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from brama.telemetry import (
    BramaError,
    Process,
    Telemetry,
    capture,
    configure,
    metrics,
    names,
    process,
    publish,
    transition,
)
from brama.telemetry.testing import OtlpReceiver, Span

Trip = Callable[..., object]
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class CircuitOpenError(BramaError):
    __module__ = "brama.circuits.errors"


def handling(traceparent: str | None = SAMPLED, **changes: object) -> Process:
    arguments = {
        "event": "state_change",
        "traceparent": traceparent,
        "subscription": "pager",
        "connection": "payment_api",
        "scope": "payments",
        "n": 7,
        "redelivered": False,
    }
    return process(**(arguments | changes))


def announce(parent: object) -> object:
    return publish(
        parent,
        event="state_change",
        event_id="e-1",
        connection="payment_api",
        scope="payments",
        state="open",
        previous="closed",
    )


def arrived(telemetry: Telemetry, receiver: OtlpReceiver) -> dict[str, Span]:
    """The received spans by name, after everything has been sent."""
    assert telemetry.force_flush()
    return {span.name: span for span in receiver.spans}


# The chain


def test_one_trace_leads_from_the_failing_call_to_the_handler(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    with trace.get_tracer("app").start_as_current_span("charge"):
        cause = trip()
    publication = announce(cause)
    with handling(publication.traceparent):
        pass
    publication.end(matched=1, queued=1)

    spans = arrived(telemetry, receiver)
    names_and_kinds = [(span.name, span.kind) for span in spans.values()]
    parents = {name: span.parent_id for name, span in spans.items()}
    assert sorted(names_and_kinds) == [
        ("charge", "INTERNAL"),
        ("process state_change", "CONSUMER"),
        ("publish state_change", "PRODUCER"),
        ("transition open", "INTERNAL"),
    ]
    assert len({span.trace_id for span in spans.values()}) == 1
    assert parents == {
        "charge": None,
        "transition open": spans["charge"].span_id,
        "publish state_change": spans["transition open"].span_id,
        "process state_change": spans["publish state_change"].span_id,
    }


def test_spans_name_their_scope_version_schema_and_service(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    announce(trip()).end(matched=0, queued=0)

    spans = arrived(telemetry, receiver)
    assert spans["transition open"].scope.name == "brama.circuit"
    assert spans["publish state_change"].scope.name == "brama.notification"
    for span in spans.values():
        assert span.scope.version
        assert span.scope.schema_url == names.SCHEMA_URL
        assert span.resource["service.name"] == "checkout"


def test_every_attribute_of_a_span_is_listed_with_its_name(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    publication = announce(trip(failure_count=5, duration=1.5))
    with pytest.raises(ValueError), handling(publication.traceparent, lag=0.1):
        raise ValueError
    publication.end(matched=1, queued=1)

    spans = arrived(telemetry, receiver)
    assert len(spans) == 3
    for name in (names.TRANSITION, names.PUBLISH, names.PROCESS):
        (span,) = (span for span in spans.values() if span.name.startswith(f"{name.verb} "))
        assert set(span.attributes) == set(name.attributes) - {names.HELD_BACK, names.BATCH_SIZE}
        assert span.kind == name.kind
        assert span.scope.name == name.scope
        assert set(name.attributes) <= set(names.ATTRIBUTES)


# Transitions


def test_a_transition_tells_connection_states_reason_and_duration(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip(failure_count=5, duration=12.5)

    span = arrived(telemetry, receiver)["transition open"]
    assert dict(span.attributes) == {
        "brama.circuit.name": "payment_api",
        "brama.circuit.scope": "payments",
        "pool": "payment_api",
        "brama.circuit.state": "open",
        "brama.circuit.state.from": "closed",
        "brama.circuit.state.duration": 12.5,
        "brama.circuit.reason": "Timeout",
        "brama.circuit.failure_count": 5,
    }


def test_a_transition_without_opentelemetry_is_a_silent_no_op(
    trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    assert trip() is None
    assert caplog.records == []


def test_a_transition_span_starts_when_the_state_changed(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    a_second_ago = time.time_ns() - 1_000_000_000
    trip(time_ns=a_second_ago)

    span = arrived(telemetry, receiver)["transition open"]
    assert span.start == a_second_ago
    assert 1.0 <= span.duration < 5.0


def test_a_transition_never_ends_before_it_starts(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    """The clock may be set back between the change and its management."""
    trip(time_ns=time.time_ns() + 3_600_000_000_000)

    assert arrived(telemetry, receiver)["transition open"].duration == 0.0


def test_a_transition_that_opens_is_no_error(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip()

    assert arrived(telemetry, receiver)["transition open"].status == "UNSET"


def test_optional_attributes_are_absent_and_not_empty(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    trip(scope=None, reason=None)

    attributes = arrived(telemetry, receiver)["transition open"].attributes
    assert sorted(attributes) == [
        "brama.circuit.name",
        "brama.circuit.state",
        "brama.circuit.state.from",
        "pool",
    ]


def test_a_transition_that_was_not_captured_makes_no_span(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    untraced = transition(
        None,
        connection="a",
        scope=None,
        previous="closed",
        new="open",
        reason=None,
        time_ns=time.time_ns(),
    )

    assert untraced is None
    assert arrived(telemetry, receiver) == {}


def test_a_transition_is_made_in_another_thread_than_its_cause(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    with trace.get_tracer("app").start_as_current_span("charge"):
        cause = capture()
    manager = threading.Thread(
        target=transition,
        args=(cause,),
        kwargs={
            "connection": "a",
            "scope": None,
            "previous": "closed",
            "new": "open",
            "reason": None,
            "time_ns": time.time_ns(),
        },
    )
    manager.start()
    manager.join()

    spans = arrived(telemetry, receiver)
    assert spans["transition open"].parent_id == spans["charge"].span_id


# Publications


def test_a_publication_tells_event_connection_state_and_fan_out(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    announce(trip()).end(matched=3, queued=2)

    assert dict(arrived(telemetry, receiver)["publish state_change"].attributes) == {
        "brama.notification.event": "state_change",
        "brama.notification.id": "e-1",
        "brama.circuit.name": "payment_api",
        "brama.circuit.scope": "payments",
        "brama.circuit.state": "open",
        "brama.circuit.state.from": "closed",
        "brama.notification.fanout.matched": 3,
        "brama.notification.fanout.queued": 2,
    }


def test_a_publication_ends_once(telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip) -> None:
    publication = announce(trip())
    publication.end(matched=1, queued=1)
    publication.end(matched=9, queued=9)

    span = arrived(telemetry, receiver)["publish state_change"]
    assert span.attributes["brama.notification.fanout.matched"] == 1


def test_a_publication_that_nobody_traces_is_one_shared_object() -> None:
    first, second = announce(None), announce(None)

    assert first is second
    assert (first.context, first.traceparent) == (None, None)
    first.end(matched=1, queued=1)


def test_the_traceparent_names_the_publish_span(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    publication = announce(trip())
    publication.end(matched=0, queued=0)

    span = arrived(telemetry, receiver)["publish state_change"]
    version, trace_id, span_id, flags = publication.traceparent.split("-")
    assert (version, trace_id, span_id) == ("00", span.trace_id, span.span_id)
    assert int(flags, 16) & 1


def test_an_unsampled_publication_says_so_and_its_handlers_make_no_spans(trip: Trip) -> None:
    with configure(tracer_provider=TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)):
        publication = announce(trip())

        assert not int(publication.traceparent[-2:], 16) & 1
        with handling(publication.traceparent):
            assert not trace.get_current_span().get_span_context().is_valid


# Handlers


def test_a_handler_tells_its_subscription_and_delivery(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with handling(lag=0.25, redelivered=True):
        pass

    assert dict(arrived(telemetry, receiver)["process state_change"].attributes) == {
        "brama.notification.event": "state_change",
        "brama.notification.subscription": "pager",
        "brama.circuit.name": "payment_api",
        "brama.circuit.scope": "payments",
        "brama.notification.lag": 0.25,
        "brama.notification.delivery.n": 7,
        "brama.notification.delivery.redelivered": True,
    }


def test_a_negative_lag_counts_as_none(telemetry: Telemetry, receiver: OtlpReceiver) -> None:
    """A clock that was set back must not report a delivery before its event."""
    with handling(lag=-3.0):
        pass

    span = arrived(telemetry, receiver)["process state_change"]
    assert span.attributes["brama.notification.lag"] == 0.0


def test_a_handler_is_child_of_and_linked_to_its_publication(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with handling(fanout=64):
        pass

    span = arrived(telemetry, receiver)["process state_change"]
    assert (span.trace_id, span.parent_id) == (SAMPLED[3:35], SAMPLED[36:52])
    assert [(link.trace_id, link.span_id) for link in span.links] == [
        (SAMPLED[3:35], SAMPLED[36:52])
    ]


def test_beyond_a_fan_out_of_64_a_handler_is_a_new_root_with_a_link(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with handling(fanout=65):
        pass

    span = arrived(telemetry, receiver)["process state_change"]
    assert span.parent_id is None
    assert span.trace_id != SAMPLED[3:35]
    assert [link.trace_id for link in span.links] == [SAMPLED[3:35]]


@pytest.mark.requirement("telemetry:notification-spans")
def test_several_events_together_are_a_root_that_links_to_each_of_their_publications(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    traces = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 200)]
    unsampled = f"00-{7:032x}-{7:016x}-00"
    batch = [(None, 0.5), (unsampled, -1.0), *((text, 0.1) for text in traces)]
    with handling(None, lag=0.5, batch=batch):
        pass

    span = arrived(telemetry, receiver)["process state_change"]
    assert span.parent_id is None
    assert span.attributes["brama.notification.batch.size"] == 201
    assert [link.span_id for link in span.links] == [text[36:52] for text in traces[-128:]]
    (lags,) = (each for each in receiver.metrics if each.name == "brama.notification.lag")
    assert lags.count == 201
    assert metrics.skewed.snapshot() == {(): 1}


@pytest.mark.requirement("telemetry:notification-spans")
def test_several_events_that_nobody_traces_have_no_span(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with handling(None, batch=[(None, 0.1), (f"00-{7:032x}-{7:016x}-00", 0.1)]):
        pass
    assert arrived(telemetry, receiver) == {}


def test_spans_of_the_handler_are_children_of_its_process_span(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    tracer = trace.get_tracer("app")
    with handling(), tracer.start_as_current_span("page someone"):
        pass
    with tracer.start_as_current_span("afterwards"):
        pass

    spans = arrived(telemetry, receiver)
    assert spans["page someone"].parent_id == spans["process state_change"].span_id
    assert spans["afterwards"].parent_id is None


def test_a_span_that_is_current_around_the_worker_is_not_the_parent(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with trace.get_tracer("app").start_as_current_span("request"), handling(fanout=65):
        pass

    assert arrived(telemetry, receiver)["process state_change"].parent_id is None


def test_a_handler_that_raises_is_an_error_with_its_type(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with pytest.raises(KeyError), handling():
        raise KeyError("phone")

    span = arrived(telemetry, receiver)["process state_change"]
    assert (span.status, span.status_message) == ("ERROR", "'phone'")
    assert span.attributes["error.type"] == "KeyError"
    (event,) = span.events
    assert event.name == "exception"
    assert 'raise KeyError("phone")' in event.attributes["exception.stacktrace"]


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ExceptionGroup("one", [ExceptionGroup("two", [OSError("down")])]), "OSError"),
        (ExceptionGroup("both", [OSError("a"), OSError("b")]), "ExceptionGroup"),
        (CircuitOpenError(), "brama.CircuitOpenError"),
        (trio.TooSlowError(), "trio.TooSlowError"),
    ],
)
def test_the_error_type_is_the_name_that_users_know(
    telemetry: Telemetry, receiver: OtlpReceiver, error: Exception, name: str
) -> None:
    with pytest.raises(type(error)), handling():
        raise error

    span = arrived(telemetry, receiver)["process state_change"]
    assert span.attributes["error.type"] == name


def test_an_error_marks_no_span_around_the_handler(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    around = trace.get_tracer("app").start_as_current_span("worker")
    with around, pytest.raises(KeyError), handling():
        raise KeyError

    assert arrived(telemetry, receiver)["worker"].status == "UNSET"


def test_a_handler_that_is_cancelled_on_trio_is_no_error(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    async def main() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            with handling():
                await trio.sleep_forever()

    trio.run(main)

    span = arrived(telemetry, receiver)["process state_change"]
    assert (span.status, span.events) == ("UNSET", ())


def test_a_handler_that_is_cancelled_on_asyncio_is_no_error(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    async def handle() -> None:
        with handling():
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(handle())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())

    assert arrived(telemetry, receiver)["process state_change"].status == "UNSET"


def test_thousands_of_cancelled_handlers_leave_no_context_and_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each attaches and detaches in its own frame, so no cancellation can confuse them."""

    async def handle(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with handling():
            task_status.started()
            await trio.sleep_forever()

    async def main() -> None:
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    await nursery.start(handle)
                nursery.cancel_scope.cancel()
        assert capture() == {}

    with configure(tracer_provider=TracerProvider(shutdown_on_exit=False)):
        trio.run(main)
    assert caplog.records == []


def test_a_handler_closed_by_the_collector_makes_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its frame is left in the collector's context, where there is nothing to restore."""

    class Pause:
        def __await__(self):
            yield

    async def handle() -> None:
        with handling():
            await Pause()

    with configure(tracer_provider=TracerProvider(shutdown_on_exit=False)):
        begun = [handle()]
        thread = threading.Thread(target=begun[0].send, args=(None,))
        thread.start()
        thread.join()
        del thread
        begun.clear()
        gc.collect()
    assert caplog.records == []


# Faults of telemetry itself


@pytest.mark.requirement("telemetry:failure-behaviour")
def test_a_broken_provider_breaks_nothing_and_is_reported_once_a_minute(
    trip: Trip, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *args: object, **kwargs: object) -> trace.Tracer:
            raise RuntimeError("no tracer today")

    ran = []
    with (
        caplog.at_level(logging.WARNING),
        configure(tracer_provider=Broken(shutdown_on_exit=False)),
    ):
        assert trip() is None
        assert announce(capture()).traceparent is None
        with handling():
            ran.append("handler")

    assert ran == ["handler"]
    assert [record.name for record in caplog.records] == ["brama.telemetry"]
    assert "no tracer today" in caplog.text


# Errors


@pytest.mark.requirement("telemetry:errors")
@pytest.mark.parametrize(
    ("opt_in", "span_events", "log_events"),
    [("", 1, 0), ("logs", 0, 1), ("logs/dup", 1, 1), ("http,logs", 0, 1)],
)
def test_an_exception_is_shown_where_the_operator_wants_it(
    telemetry: Telemetry,
    receiver: OtlpReceiver,
    monkeypatch: pytest.MonkeyPatch,
    opt_in: str,
    span_events: int,
    log_events: int,
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)
    with pytest.raises(ValueError), handling():
        raise ValueError("too much")

    span = arrived(telemetry, receiver)["process state_change"]
    assert [event.name for event in span.events] == ["exception"] * span_events
    assert len(receiver.logs) == log_events
    for log in receiver.logs:
        assert (log.event_name, log.severity) == ("brama.actor.process.exception", "WARN")
        assert (log.trace_id, log.span_id) == (span.trace_id, span.span_id)
        assert log.attributes["error.type"] == "ValueError"
        assert set(log.attributes) <= set(names.EXCEPTION.attributes)


@pytest.mark.requirement("telemetry:errors")
def test_the_type_of_an_error_is_the_same_on_span_and_metric(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with pytest.raises(ExceptionGroup), handling():
        raise ExceptionGroup("of a nursery", [LookupError("one")])

    span = arrived(telemetry, receiver)["process state_change"]
    (series,) = (m for m in receiver.metrics if m.name == "brama.notification.process.duration")
    assert span.attributes["error.type"] == series.attributes["error.type"] == "LookupError"


@pytest.mark.requirement("telemetry:errors")
def test_the_one_member_of_a_group_is_the_exception_that_is_shown(
    telemetry: Telemetry, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [LookupError("one")])])
    with pytest.raises(ExceptionGroup), handling():
        raise nested

    (event,) = arrived(telemetry, receiver)["process state_change"].events
    (log,) = receiver.logs
    for shown in (event.attributes, log.attributes):
        assert shown["exception.type"] == "LookupError"
        assert shown["exception.message"] == "one"
        assert "ExceptionGroup: outer" in str(shown["exception.stacktrace"])
    assert log.body == "LookupError: one"


@pytest.mark.requirement("telemetry:errors")
def test_a_failure_marks_its_own_span_and_none_above_it(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Trip
) -> None:
    with trace.get_tracer("app").start_as_current_span(
        "request", record_exception=False, set_status_on_exception=False
    ):
        publication = announce(trip())
    with pytest.raises(ValueError), handling(publication.traceparent):
        raise ValueError
    publication.end(matched=1, queued=1)

    statuses = {name: span.status for name, span in arrived(telemetry, receiver).items()}
    assert statuses == {
        "request": "UNSET",
        "transition open": "UNSET",
        "publish state_change": "UNSET",
        "process state_change": "ERROR",
    }


@pytest.mark.requirement("telemetry:notification-spans")
@pytest.mark.parametrize(
    ("relationship", "child", "linked"),
    [("child", True, True), ("link", False, True), ("none", False, False)],
)
def test_the_relation_of_a_handler_s_span_to_its_publication_can_be_chosen(
    receiver: OtlpReceiver, trip: Trip, relationship: str, child: bool, linked: bool
) -> None:
    with configure(
        endpoint=receiver.endpoint, environ={}, span_relationship=relationship
    ) as telemetry:
        publication = announce(trip())
        with handling(publication.traceparent):
            pass
        publication.end(matched=1, queued=1)
        spans = arrived(telemetry, receiver)
    process, publish = spans["process state_change"], spans["publish state_change"]
    assert (process.parent_id == publish.span_id) is child
    assert [link.span_id for link in process.links] == [publish.span_id] * linked


def test_a_wrong_option_is_refused_where_it_is_given() -> None:
    for wrong in (
        {"spans": "all"},
        {"sample": 1.5},
        {"sample": "half"},
        {"span_rate": 0},
        {"span_relationship": "friend"},
    ):
        with pytest.raises(ValueError) as raised:
            configure(environ={"OTEL_SDK_DISABLED": "true"}, **wrong)
        assert next(iter(wrong)).removeprefix("span_") in str(raised.value)
