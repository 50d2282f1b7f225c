"""What an application adds to what Brama tells, and how much it lets it matter."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from brama.notifier.losses import say_overflow, say_quarantined
from brama.telemetry import (
    ConfigError,
    Telemetry,
    attach,
    capture,
    detach,
    enrich,
    enrich_metrics,
    execute,
    faults,
    hook_names,
    line,
    metrics,
    names,
    process,
    provide_severity,
    publish,
    transition,
)
from brama.telemetry.bus import ENRICHERS, METRIC_ENRICHERS, SEVERITY_PROVIDERS
from brama.telemetry.testing import OtlpReceiver, Span
from brama.telemetry.throttle import Throttle

pytestmark = pytest.mark.requirement("telemetry:hook-bus")


@pytest.fixture(autouse=True)
def nobody_takes_part(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faults, "_listeners", Throttle())
    yield
    for bus in (ENRICHERS, METRIC_ENRICHERS, SEVERITY_PROVIDERS):
        with bus.lock:
            bus.replace({})
    detach("mine")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    monkeypatch.setattr(logging.getLogger("brama.circuits"), "disabled", False)
    caplog.set_level(logging.DEBUG, "brama.circuits")
    return lambda: [each for each in caplog.records if each.name == "brama.circuits"]


def tenant(event: str, metadata: Any) -> dict[str, Any]:
    return {"shop.tenant": "acme"}


def wrong(*_told: Any) -> Any:
    raise LookupError("a bad one")


def heard(event: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    attach("mine", event, lambda _event, _numbers, metadata, _config: calls.append(dict(metadata)))
    return calls


def named(receiver: OtlpReceiver, name: str) -> Span:
    (span,) = [each for each in receiver.spans if each.name == name]
    return span


# Listeners


def test_what_an_enricher_returns_reaches_the_listeners() -> None:
    calls = heard("shop.*")
    enrich("tenant", "shop.*", tenant)
    execute("shop.sold", {"price": 3}, {"article": "tea"})
    assert calls == [{"article": "tea", "shop.tenant": "acme"}]


def test_an_enricher_is_given_the_name_and_the_metadata() -> None:
    calls = heard("*")
    enrich("echo", "*", lambda event, metadata: {"of": event, "again": metadata["article"]})
    execute("shop.sold", {}, {"article": "tea"})
    assert calls == [{"article": "tea", "of": "shop.sold", "again": "tea"}]


def test_what_is_told_cannot_be_overwritten() -> None:
    calls = heard("*")
    enrich("liar", "*", lambda *_told: {"article": "coffee", "new": 1})
    execute("shop.sold", {}, {"article": "tea"})
    assert calls == [{"article": "tea", "new": 1}]


def test_an_enricher_that_has_nothing_to_add_returns_none() -> None:
    calls = heard("*")
    enrich("none", "*", lambda *_told: None)
    execute("shop.sold", {}, {"article": "tea"})
    assert calls == [{"article": "tea"}]


def test_of_several_enrichers_the_last_to_be_attached_has_the_last_word() -> None:
    calls = heard("*")
    enrich("first", "*", lambda *_told: {"a": 1, "b": 1})
    enrich("second", "*", lambda *_told: {"b": 2})
    execute("shop.sold")
    assert calls == [{"a": 1, "b": 2}]


def test_an_enricher_of_other_names_is_not_asked() -> None:
    calls = heard("*")
    enrich("bad", "bank.*", wrong)
    execute("shop.sold")
    assert calls == [{}]


def test_nobody_is_asked_for_what_nobody_hears() -> None:
    enrich("bad", "*", wrong)
    execute("shop.sold")
    assert ENRICHERS.attached


def test_a_detached_enricher_adds_no_more() -> None:
    calls = heard("*")
    enrich("tenant", "*", tenant)
    assert detach("tenant") is True
    execute("shop.sold")
    assert calls == [{}]
    assert detach("tenant") is False


@pytest.mark.parametrize(
    "bad",
    [wrong, lambda *_told: 7, lambda *_told: {7: "no name"}],
    ids=["raises", "returns 7", "no name"],
)
def test_a_bad_enricher_is_detached_and_reported_and_the_listeners_hear_on(
    bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calls = heard("shop.*")
    failures: list[Any] = []
    attach("failures", hook_names.HANDLER_FAILURE, lambda *told: failures.append(told[2]))
    enrich("bad", "shop.*", bad)
    enrich("good", "shop.*", tenant)
    execute("shop.sold")
    detach("failures")
    assert calls == [{"shop.tenant": "acme"}]
    assert list(ENRICHERS.attached) == ["good"]
    (failure,) = failures
    assert (failure["id"], failure["role"], failure["event"]) == ("bad", "enricher", "shop.sold")
    assert "enricher 'bad'" in caplog.records[0].getMessage()


@pytest.mark.parametrize("register", [enrich, enrich_metrics, provide_severity])
@pytest.mark.parametrize(
    ("id", "events", "function", "option"),
    [
        ("", "shop", tenant, "id"),
        ("mine", [], tenant, "events"),
        ("mine", "shop.*.sold", tenant, "events"),
        ("mine", "shop", "tenant", None),
        ("mine", "shop", lambda: None, None),
    ],
)
def test_wrong_ones_are_refused_where_they_are_given(
    register: Any, id: Any, events: Any, function: Any, option: str | None
) -> None:
    with pytest.raises(ConfigError) as raised:
        register(id, events, function)
    assert raised.value.option == (
        option or ("provider" if register is provide_severity else "enricher")
    )


def test_an_id_is_given_once_for_each_role() -> None:
    enrich("tenant", "shop.*", tenant)
    with pytest.raises(ConfigError, match="detach"):
        enrich("tenant", "shop.*", tenant)
    provide_severity("tenant", "shop.*", lambda *_told: None)
    assert detach("tenant") is True
    assert not ENRICHERS.attached
    assert not SEVERITY_PROVIDERS.attached


# OpenTelemetry


def everything(event: str, metadata: Any) -> dict[str, Any]:
    return {
        "shop.tenant": "acme",
        "shop.rank": 3,
        "shop.object": {"a": 1},
        "shop.none": None,
        names.CIRCUIT_NAME: "not this",
    }


ADDED = {"shop.tenant": "acme", "shop.rank": 3, "shop.object": "{'a': 1}"}


def test_spans_and_log_events_of_a_transition_are_enriched(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Any
) -> None:
    enrich("tenant", hook_names.CIRCUIT_TRANSITION, everything)
    with trace.get_tracer("tests").start_as_current_span("request"):
        trip()
    telemetry.shutdown()
    span = named(receiver, "transition open")
    (log,) = receiver.logs
    for attributes in (span.attributes, log.attributes):
        assert {name: attributes.get(name) for name in ADDED} == ADDED
        assert attributes[names.CIRCUIT_NAME] == "payment_api"
        assert "shop.none" not in attributes


def test_spans_of_publishing_and_processing_are_enriched(
    telemetry: Telemetry, receiver: OtlpReceiver
) -> None:
    enrich("tenant", "brama.notification.*", everything)
    with trace.get_tracer("tests").start_as_current_span("request"):
        publication = publish(
            capture(), event="state_change", event_id="1", connection="api", scope=None
        )
        publication.end(matched=1, queued=1)
    with process(
        event="state_change",
        traceparent=publication.traceparent,
        subscription="pager",
        connection="api",
        scope=None,
        n=1,
        redelivered=False,
    ):
        pass
    telemetry.shutdown()
    for name in ("publish state_change", "process state_change"):
        attributes = named(receiver, name).attributes
        assert {name: attributes.get(name) for name in ADDED} == ADDED


def test_the_span_of_a_restart_is_enriched(telemetry: Telemetry, receiver: OtlpReceiver) -> None:
    enrich("tenant", hook_names.ACTOR_RESTART, everything)
    execute(
        hook_names.ACTOR_RESTART,
        {"system_time": time.time(), "count": 1, "duration": 0.0},
        {"actor_class": "Pump", "name": None, "actor": "x", "system": "s", "reason": None},
    )
    telemetry.shutdown()
    attributes = named(receiver, "restart Pump").attributes
    assert {name: attributes.get(name) for name in ADDED} == ADDED


# Metrics


def team(metric: str, attributes: Any) -> dict[str, Any]:
    return {"team": {"payment_api": "red"}.get(attributes.get(names.POOL)), "region": "eu"}


def test_series_get_what_an_enricher_says_of_them(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Any
) -> None:
    enrich_metrics("team", ["brama.circuit.*"], team)
    trip()
    metrics.durations.record(0.1, "search", "success", "")
    telemetry.shutdown()
    (transitions,) = [m for m in receiver.metrics if m.name == metrics.names.TRANSITIONS.name]
    assert transitions.attributes[names.POOL] == "payment_api"
    assert transitions.attributes["team"] == "red"
    (duration,) = [m for m in receiver.metrics if m.name == metrics.names.DURATION.name]
    assert duration.attributes["region"] == "eu"
    assert "team" not in duration.attributes


def test_an_enricher_of_metrics_is_asked_once_for_each_series_and_cannot_split_it() -> None:
    asked: list[str] = []

    def another(metric: str, attributes: Any) -> dict[str, Any]:
        asked.append(metric)
        return {"serial": len(asked), names.POOL: "not this"}

    enrich_metrics("another", "*", another)
    metric = metrics.names.TRANSITIONS
    values = ("payment_api", "open", "closed")
    first = metrics.labels(metric, values)
    assert metrics.labels(metric, values) == first
    assert len(asked) == 1
    assert first[names.POOL] == "payment_api"
    assert first["serial"] == 1


def test_the_answers_of_an_enricher_of_metrics_are_forgotten_with_it() -> None:
    metric, values = metrics.names.PUBLISHED, ("state_change",)
    enrich_metrics("first", "*", lambda *_told: {"region": "eu"})
    assert metrics.labels(metric, values)["region"] == "eu"
    detach("first")
    assert "region" not in metrics.labels(metric, values)
    enrich_metrics("second", "*", lambda *_told: {"region": "us"})
    assert metrics.labels(metric, values)["region"] == "us"


def test_a_bad_enricher_of_metrics_costs_no_metric(
    telemetry: Telemetry, receiver: OtlpReceiver, trip: Any
) -> None:
    enrich_metrics("bad", "*", wrong)
    trip()
    telemetry.shutdown()
    assert not METRIC_ENRICHERS.attached
    assert metrics.names.TRANSITIONS.name in {each.name for each in receiver.metrics}


# Severity


def transit(new: str = "open") -> None:
    transition(
        capture(),
        connection="api",
        scope=None,
        previous="closed",
        new=new,
        reason=None,
        time_ns=time.time_ns(),
    )


def test_a_provider_decides_the_level_of_the_line(lines: Any) -> None:
    provide_severity("mine", hook_names.CIRCUIT_TRANSITION, lambda *_told: "critical")
    transit()
    assert [each.levelno for each in lines()] == [logging.CRITICAL]


def test_a_provider_is_given_name_severity_and_metadata(lines: Any) -> None:
    asked: list[Any] = []
    provide_severity(
        "mine", "*", lambda event, severity, metadata: asked.append((event, severity, metadata))
    )
    transit("half_open")
    assert {(event, severity) for event, severity, _ in asked} == {
        (hook_names.CIRCUIT_TRANSITION, "info")
    }
    assert asked[0][2]["new_state"] == "half_open"
    assert [each.levelno for each in lines()] == [logging.INFO]


def test_off_silences_the_line_and_nothing_else(lines: Any) -> None:
    calls = heard(hook_names.CIRCUIT_TRANSITION)
    provide_severity("quiet", "*", lambda *_told: "off")
    transit()
    assert lines() == []
    assert len(calls) == 1
    assert sum(metrics.transitions.snapshot().values()) == 1


def test_each_provider_is_given_what_the_one_before_it_decided(lines: Any) -> None:
    seen: list[str] = []

    def second(_event: str, severity: str, _metadata: Any) -> str:
        seen.append(severity)
        return "debug"

    provide_severity("first", "*", lambda *_told: "error")
    provide_severity("second", "*", second)
    transit()
    assert set(seen) == {"error"}
    assert [each.levelno for each in lines()] == [logging.DEBUG]


@pytest.mark.parametrize(
    ("severity", "text", "number"),
    [
        ("debug", "DEBUG", 5),
        ("info", "INFO", 9),
        ("warning", "WARN", 13),
        ("error", "ERROR", 17),
        ("critical", "FATAL", 21),
    ],
)
def test_a_provider_decides_the_severity_of_the_log_event(
    telemetry: Telemetry, receiver: OtlpReceiver, severity: str, text: str, number: int
) -> None:
    provide_severity("mine", "*", lambda *_told: severity)
    transit()
    telemetry.shutdown()
    (log,) = receiver.logs
    assert (log.severity, log.severity_number) == (text, number)


def test_off_silences_the_log_event(telemetry: Telemetry, receiver: OtlpReceiver) -> None:
    provide_severity("mine", "*", lambda *_told: "off")
    transit()
    telemetry.shutdown()
    assert receiver.logs == []


@pytest.mark.parametrize(
    "bad", [wrong, lambda *_told: "loud", lambda *_told: 30], ids=["raises", "says loud", "says 30"]
)
def test_a_bad_provider_is_detached_and_the_severity_stays(
    bad: Any, lines: Any, caplog: pytest.LogCaptureFixture
) -> None:
    provide_severity("bad", "*", bad)
    transit()
    assert not SEVERITY_PROVIDERS.attached
    assert [each.levelno for each in lines()] == [logging.WARNING]
    assert any("severity provider 'bad'" in each.getMessage() for each in caplog.records)


# Lines


def test_a_line_shows_what_enrichers_add(lines: Any) -> None:
    enrich("tenant", "*", everything)
    transit()
    (record,) = lines()
    assert record.getMessage().startswith("circuit api: closed -> open [shop.tenant=acme ")
    assert record.brama_added == {**ADDED, names.CIRCUIT_NAME: "not this"}
    assert record.brama_connection == "api"


def test_any_occurrence_can_have_a_line(caplog: pytest.LogCaptureFixture) -> None:
    enrich("tenant", "shop.*", tenant)
    provide_severity("shop", "shop.*", lambda *_told: "error")
    line(logging.getLogger("shop"), "shop.closed", "info", {"city": "Oslo"}, "%s closed", "Oslo")
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.ERROR,
        "Oslo closed [shop.tenant=acme]",
    )


def test_the_line_of_a_quarantined_subscription_can_be_silenced_and_of_a_loss_be_graded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def graded(event: str, severity: str, metadata: Any) -> str | None:
        return "off" if event == hook_names.SUBSCRIPTION_QUARANTINED else "debug"

    caplog.set_level(logging.DEBUG, "brama.notifier")
    provide_severity("mine", "brama.notification.*", graded)
    enrich("tenant", hook_names.EVENT_DROPPED, tenant)
    say_quarantined("pager", 3)
    say_overflow("pager", "success", 1, 10, "drop_oldest", first=True)
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert record.getMessage().endswith("[shop.tenant=acme]")


def test_a_line_below_the_level_of_its_logger_asks_no_enricher() -> None:
    enrich("bad", "*", wrong)
    logger = logging.getLogger("shop.quiet")
    logger.setLevel(logging.ERROR)
    line(logger, "shop.closed", "info", {}, "closed")
    assert ENRICHERS.attached
