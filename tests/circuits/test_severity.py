"""How much an event matters: the default map, and the rules that go before it."""

from __future__ import annotations

import logging

import pytest

import brama
from brama import ConfigError, Severity, SeverityRule, State
from brama.circuits import (
    EVENTS,
    Catalogue,
    ConnectionKind,
    Event,
    Severities,
    Shared,
    check_severities,
)
from brama.circuits.events import severity_of
from brama.notifier import Receiver, inline

requirement = pytest.mark.requirement

DEBUG, INFO, WARNING, ERROR, CRITICAL = Severity

BY_EVENT = {
    "state_change": INFO,  # unless its state says otherwise
    "registration": INFO,
    "failure": WARNING,
    "success": DEBUG,
    "expiry": INFO,
    "cleanup": DEBUG,
    "circuit_opened": ERROR,
    "circuit_closed": INFO,
    "circuit_reset": INFO,  # as state_change
    "connection_registered": INFO,
    "connection_unregistered": INFO,
    "circuit_half_opened": WARNING,
    "connection_removed": INFO,
    "probe_lost": WARNING,
    "connected": INFO,
    "disconnected": INFO,
    "heartbeat_missed": WARNING,
    "heartbeat_resumed": INFO,
    "value_changed": INFO,
    "quality_changed": WARNING,
    "health_check": DEBUG,
    "slow_call": WARNING,
    "local_stall": WARNING,
    "threshold_exceeded": WARNING,
    "call_rejected": DEBUG,
    "call_ignored": DEBUG,
    "late_result": DEBUG,
    "configured": INFO,
    "snapshot": INFO,  # as state_change
    "gap": WARNING,
    "alarm": CRITICAL,
}
BY_STATE = {
    State.OPEN: ERROR,
    State.HALF_OPEN: WARNING,
    State.CLOSED: INFO,
    State.FORCED_OPEN: ERROR,
    State.DISABLED: WARNING,
    State.METRICS_ONLY: INFO,
}
LED_BY_STATE = ("state_change", "circuit_reset", "snapshot")


def test_the_table_names_every_event_and_every_state():
    assert set(BY_EVENT) == set(EVENTS)
    assert set(BY_STATE) == set(State)


@requirement("EV-10")
@pytest.mark.parametrize("state", [None, *State])
@pytest.mark.parametrize("event", EVENTS)
def test_the_default_map(event, state):
    expected = BY_EVENT[event]
    if event in LED_BY_STATE and state is not None:
        expected = BY_STATE[state]
    assert severity_of(event, state) is expected
    data = {} if state is None else {"new_state": state}
    assert Severities([]).of(event, data, "search", None, None) is expected


RULES = (
    SeverityRule("critical", event="circuit_opened", connection="payment_*"),
    SeverityRule("debug", scope="playground"),
    SeverityRule("info", event="failure", state="half_open"),
    SeverityRule("error", event=["failure", "slow_*"], kind="database"),
    SeverityRule("warning", state=State.OPEN, connection="search"),
    SeverityRule("critical", connection="payment_*", event="circuit_opened", scope="late"),
    SeverityRule("info", event="alarm"),
)
TABLE = [
    # event, data, connection, scope, kind → severity
    ("circuit_opened", {"new_state": State.OPEN}, "payment_api", None, None, CRITICAL),
    ("circuit_opened", {"new_state": State.OPEN}, "payments", None, None, ERROR),
    ("circuit_opened", {"new_state": State.OPEN}, "payment_api", "playground", None, CRITICAL),
    ("circuit_opened", {"new_state": State.OPEN}, "mail", "playground", None, DEBUG),
    ("circuit_closed", {"new_state": State.CLOSED}, "payment_api", None, None, INFO),
    ("state_change", {"new_state": State.OPEN}, "payment_api", None, None, ERROR),
    ("state_change", {"new_state": State.OPEN}, "search", None, None, WARNING),
    ("state_change", {"new_state": State.HALF_OPEN}, "search", None, None, WARNING),
    ("failure", {"state": State.HALF_OPEN}, "mail", None, ConnectionKind.DATABASE, INFO),
    ("failure", {"state": State.CLOSED}, "mail", None, ConnectionKind.DATABASE, ERROR),
    ("failure", {"state": State.CLOSED}, "mail", None, ConnectionKind.DEVICE, WARNING),
    ("failure", {"state": State.OPEN}, "search", None, ConnectionKind.OTHER, WARNING),
    ("slow_call", {"state": State.CLOSED}, "mail", None, ConnectionKind.DATABASE, ERROR),
    ("success", {"state": State.CLOSED}, "mail", None, ConnectionKind.DATABASE, DEBUG),
    ("alarm", {"subject": "journal"}, "", None, None, INFO),
    ("cleanup", {"removed": 1}, "", None, None, DEBUG),
]


@requirement("EV-10")
@pytest.mark.parametrize(
    ("event", "data", "connection", "scope", "kind", "expected"), TABLE, ids=str
)
def test_the_first_rule_that_fits_decides(event, data, connection, scope, kind, expected):
    severities = Severities(RULES)
    for _ in range(2):  # what is remembered is the same
        assert severities.of(event, data, connection, scope, kind) is expected


def test_what_is_remembered_stays_bounded():
    severities = Severities(RULES)
    for number in range(25_000):
        severities.of("failure", {"state": State.CLOSED}, f"c{number}", None, None)
    assert len(severities._known) <= 10_000


@requirement("EV-10")
@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("severity", "loud"),
        ("severity", None),
        ("event", "circuit_open"),
        ("event", []),
        ("state", "ajar"),
        ("connection", ""),
        ("scope", ""),
        ("kind", "pigeon"),
    ],
)
def test_a_rule_of_a_wrong_word_is_refused(field, wrong):
    with pytest.raises(ConfigError, match=field):
        SeverityRule(**{"severity": "info", field: wrong})


@requirement("EV-10")
def test_the_refusal_of_a_severity_lists_them_all():
    with pytest.raises(ConfigError, match="debug, info, warning, error, critical"):
        brama.Settings(severity=[{"severity": "fatal"}])


@pytest.mark.parametrize(
    "wrong", ["critical", 7, [7], [{"event": "failure"}], [{"severity": "info", "colour": "red"}]]
)
def test_what_is_no_list_of_rules_is_refused_where_it_is_given(wrong):
    with pytest.raises(ConfigError):
        brama.Settings(severity=wrong)
    with pytest.raises(ConfigError):
        brama.System(brama.Settings()).configure(severity=wrong)


def test_one_rule_or_a_mapping_stands_for_a_list_of_it():
    one = SeverityRule("info", event="failure")
    for given in (one, [one], {"severity": "info", "event": "failure"}):
        severities = check_severities(given)
        assert severities is not None
        assert severities.rules == (one,)
    assert check_severities([]) is check_severities(None) is None


@requirement("EV-10")
def test_rules_of_the_settings_and_of_configure_decide_what_events_carry():
    heard: list[Event] = []
    settings = brama.Settings(severity=[SeverityRule("critical", connection="payment_*")])
    with brama.System(settings) as system:
        system.subscribe(inline(heard.append), events=["circuit_*", "state_change"])
        payments = system.circuit("payment_api")
        payments.open_circuit()
        system.configure(severity=[SeverityRule("debug", event="circuit_closed")])
        payments.close_circuit()
        system.configure(expiry=5.0)
        payments.open_circuit()
        system.configure(severity=[])
        payments.close_circuit()
    assert [(event.event, event.severity) for event in heard] == [
        ("state_change", CRITICAL),
        ("circuit_opened", CRITICAL),
        ("state_change", INFO),
        ("circuit_closed", DEBUG),
        ("state_change", ERROR),
        ("circuit_opened", ERROR),
        ("state_change", INFO),
        ("circuit_closed", INFO),
    ]


def test_an_event_is_as_severe_as_the_rules_said_when_it_happened():
    shared = Shared()
    circuit = Catalogue(shared).circuit("search")
    shared.severities = check_severities(SeverityRule("critical"))
    circuit.open_circuit()
    shared.severities = None
    (record,) = circuit._breaker.pending()
    assert record.event(1, None).severity is CRITICAL
    assert record.event(1, None) == record.event(1, None)


@requirement("EV-10")
def test_snapshots_alarms_and_gaps_in_a_log_follow_the_rules():
    heard: list[Event] = []
    rules = [SeverityRule("info", event="alarm"), SeverityRule("debug", event="snapshot")]
    with brama.System(brama.Settings(severity=rules)) as system:
        system.circuit("search").open_circuit()
        system.subscribe(inline(heard.append), events=["snapshot", "alarm"], snapshot=True)
        system._alarm({"subject": "test", "status": "failing", "reason": "", "since": 0.0})
    assert [(event.event, event.severity) for event in heard] == [
        ("snapshot", DEBUG),
        ("alarm", INFO),
    ]
    shared = Shared()
    shared.severities = check_severities(SeverityRule("critical", event="gap"))
    circuit = Catalogue(shared).circuit("search")
    circuit.open_circuit()
    (record,) = circuit._breaker.pending()
    record.lost = 3
    assert record.gap().severity is CRITICAL


@requirement("EV-10")
@pytest.mark.parametrize(
    ("rules", "level"),
    [
        (None, logging.WARNING),
        ([SeverityRule("critical", connection="search")], logging.CRITICAL),
        ([SeverityRule("debug", event="state_change")], logging.DEBUG),
        ([SeverityRule("debug", connection="another")], logging.WARNING),
    ],
)
def test_the_log_line_of_a_transition_follows_the_rules(caplog, rules, level):
    caplog.set_level(logging.DEBUG, "brama.circuits")
    with brama.System(brama.Settings(severity=rules)) as system:
        system.circuit("search").open_circuit()
    lines = [record for record in caplog.records if "closed -> open" in record.getMessage()]
    assert [record.levelno for record in lines] == [level]


@requirement("EV-10")
def test_the_severity_of_one_circuit_alone_is_refused_with_the_way_to_say_it():
    system = brama.System(brama.Settings())
    system.circuit("search")
    with pytest.raises(ConfigError, match=r"SeverityRule\(\.\.\., connection=name\)"):
        system.configure("search", severity=[])


@requirement("EV-10")
def test_a_severity_outside_of_the_list_is_dropped_from_the_wire_and_counted():
    shared = Shared()
    circuit = Catalogue(shared).circuit("search")
    circuit.open_circuit()
    (record,) = circuit._breaker.pending()
    receiver = Receiver()
    assert receiver.read({**record.event(0, None).to_dict(), "severity": "fatal"}) is None
    assert receiver.rejected == {("invalid_field", "severity"): 1}
