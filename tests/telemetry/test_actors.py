"""What OpenTelemetry hears of actors on the hook bus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from brama.telemetry import Telemetry, actors, capture, detach, execute, handlers, hook_names, names
from brama.telemetry.testing import OtlpReceiver

WORKER: dict[str, Any] = {"actor_class": "Worker", "name": "worker-1"}


@pytest.fixture(autouse=True)
def _listening() -> Iterator[None]:
    if not any(each.id == actors.ID for each in handlers()):
        actors.listen()
    yield
    if not any(each.id == actors.ID for each in handlers()):
        actors.listen()


def test_a_restart_is_a_root_that_links_to_the_span_of_the_crash(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    with trace.get_tracer("app").start_as_current_span("work"):
        crash = capture()
    with trace.get_tracer("app").start_as_current_span("somewhere else"):
        execute(
            hook_names.ACTOR_RESTART,
            {"system_time": 1.0, "count": 3, "duration": 0.2},
            {
                **WORKER,
                "supervisor": "crew",
                "strategy": "one_for_one",
                "error_type": "ValueError",
                "context": crash,
            },
        )

    assert telemetry.force_flush()
    spans = {span.name: span for span in receiver.spans}
    restart = spans["restart Worker"]
    assert restart.parent_id is None
    assert restart.trace_id not in {spans["work"].trace_id, spans["somewhere else"].trace_id}
    assert restart.duration == pytest.approx(0.2, abs=0.01)
    assert dict(restart.attributes) == {
        "brama.actor.class": "Worker",
        "brama.actor.name": "worker-1",
        "brama.actor.supervisor": "crew",
        "brama.actor.supervisor.strategy": "one_for_one",
        "brama.actor.restart.count": 3,
        "error.type": "ValueError",
    }
    assert set(restart.attributes) == set(names.RESTART.attributes) - {names.HELD_BACK}
    (link,) = restart.links
    assert link.span_id == spans["work"].span_id
    assert dict(link.attributes) == {"brama.link": "crash"}
    (series,) = (m for m in receiver.metrics if m.name == "brama.actor.restarts")
    assert dict(series.attributes) == {"brama.actor.class": "Worker", "error.type": "ValueError"}


def test_crashes_dead_letters_and_drops_are_counted(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    execute(hook_names.ACTOR_CRASH, {}, {**WORKER, "reason": ValueError("x")})
    for _ in range(2):
        execute(hook_names.ACTOR_DEAD_LETTER, {"count": 5}, WORKER)
    execute(hook_names.EVENT_DROPPED, {"count": 7}, {"reason": "overflow"})

    assert telemetry.force_flush()
    series = {m.name: (m.value, dict(m.attributes)) for m in receiver.metrics}
    assert series["brama.actor.crashes"] == (
        1,
        {"brama.actor.class": "Worker", "error.type": "ValueError"},
    )
    assert series["brama.actor.dead_letters"] == (10, {"brama.actor.class": "Worker"})
    assert series["brama.notification.dropped"] == (
        7,
        {"brama.notification.drop.reason": "overflow"},
    )


def test_a_crash_is_a_log_event_for_those_who_opted_in(
    telemetry: Telemetry, receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    execute(hook_names.ACTOR_CRASH, {}, {**WORKER, "reason": ValueError("too much")})

    assert telemetry.force_flush()
    (log,) = receiver.logs
    assert log.event_name == "brama.actor.process.exception"
    assert log.severity == "ERROR"
    assert log.attributes["exception.type"] == "ValueError"
    assert log.attributes["exception.message"] == "too much"
    assert "ValueError: too much" in log.attributes["exception.stacktrace"]
    assert set(log.attributes) <= set(names.EXCEPTION.attributes)


def test_opentelemetry_is_a_listener_that_can_be_detached(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    assert detach("brama.opentelemetry")
    execute(hook_names.ACTOR_RESTART, {"count": 1}, WORKER)
    assert telemetry.force_flush()
    assert receiver.spans == []


def test_an_announcement_without_all_that_is_listed_is_still_counted(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    execute(hook_names.ACTOR_RESTART)
    execute(hook_names.EVENT_DROPPED, {}, {})  # names no reason: a fault, but nobody's end
    execute(hook_names.ACTOR_RESTART, {}, {"actor_class": ValueError})
    assert any(each.id == actors.ID for each in handlers())
    assert telemetry.force_flush()
    assert sorted(span.name for span in receiver.spans) == ["restart ", "restart ValueError"]
