"""The list of events, and the value that carries one."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest

from brama.circuits import (
    ALL,
    CRITICAL,
    EVENTS,
    Event,
    Fields,
    Severity,
    State,
    check_events,
    mask_of,
)
from brama.circuits.events import severity_of
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement

SPECIFIED = [
    "state_change",
    "registration",
    "failure",
    "success",
    "expiry",
    "cleanup",
    "circuit_opened",
    "circuit_closed",
    "circuit_reset",
    "connection_registered",
    "connection_unregistered",
    "circuit_half_opened",
    "connection_removed",
]


def event(**fields) -> Event:
    values = {
        "event": "circuit_opened",
        "connection": "search",
        "scope": "shop",
        "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
        "monotonic": 5.0,
        "epoch": 7,
        "seq": 2,
        "event_id": "a-7-2",
        "severity": Severity.ERROR,
        "data": Fields(previous_state=State.CLOSED, new_state=State.OPEN, reason="Timeout"),
    }
    return Event(**(values | fields))


def test_the_thirteen_events_of_the_specification_come_first():
    assert list(EVENTS)[:13] == SPECIFIED


def test_critical_are_the_state_changes_and_nothing_else():
    assert {
        "state_change",
        "circuit_opened",
        "circuit_closed",
        "circuit_reset",
        "circuit_half_opened",
    } == CRITICAL


def test_every_kind_has_a_bit_of_its_own_and_all_of_them_make_the_whole():
    assert sum(kind.bit for kind in EVENTS.values()) == ALL
    assert all(kind.bit.bit_count() == 1 for kind in EVENTS.values())
    assert mask_of(None) == ALL == mask_of(EVENTS)
    assert mask_of(["success", "failure"]) == EVENTS["success"].bit | EVENTS["failure"].bit
    assert mask_of([]) == 0


def test_every_kind_is_known_under_its_own_name_and_tells_when_it_happens():
    for name, kind in EVENTS.items():
        assert kind.name == name
        assert kind.when
        assert kind.data


@requirement("SB-02")
def test_names_of_events_are_checked_and_repeated_ones_dropped():
    assert check_events(["success", "failure", "success"]) == ("success", "failure")
    assert check_events(name for name in ("cleanup",)) == ("cleanup",)
    assert check_events(None) is None


@requirement("SB-02", "BR-03")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("success", "events must be a list of names, got: 'success'. Write events=['success']."),
        ([], "events must be a list with at least one name, got: []"),
        (5, "events must be a list of names, got: 5"),
        (b"success", "events must be a list of names, got: b'success'"),
        ([["success"]], "events must be a list of names, got: [['success']]"),
        (["circuit_open"], "Did you mean 'circuit_opened'?"),
        (["nonsense"], "an event must be one of state_change, registration,"),
        ([5], "got: 5"),
    ],
)
def test_wrong_names_of_events_are_refused_with_an_advice(given, says):
    with pytest.raises(ConfigError) as caught:
        check_events(given)
    assert says in str(caught.value)


def test_the_severity_of_a_state_change_follows_the_new_state():
    assert severity_of("state_change", State.OPEN) is Severity.ERROR
    assert severity_of("state_change", State.HALF_OPEN) is Severity.WARNING
    assert severity_of("circuit_reset", State.CLOSED) is Severity.INFO
    assert severity_of("failure", None) is Severity.WARNING


CHANGES = {
    "set": lambda data: data.__setitem__("reason", "mine"),
    "delete": lambda data: data.__delitem__("reason"),
    "update": lambda data: data.update(reason="mine"),
    "pop": lambda data: data.pop("reason"),
    "popitem": lambda data: data.popitem(),
    "setdefault": lambda data: data.setdefault("more", 1),
    "clear": lambda data: data.clear(),
    "merge": lambda data: data.__ior__({"more": 1}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_data_of_an_event_cannot_be_changed(change):
    data = event().data
    before = dict(data)
    with pytest.raises(TypeError, match=r"copy it: dict\(event\.data\)"):
        change(data)
    assert data == before


def test_a_copy_of_the_data_may_be_changed():
    data = event().data
    mine = dict(data)
    mine["reason"] = "mine"
    merged = data | {"reason": "mine"}
    assert (data["reason"], mine["reason"], merged["reason"]) == ("Timeout", "mine", "mine")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_event_pickles_and_so_does_its_data(protocol):
    original = event(trace="00-trace").delivery(3, redelivered=True)
    restored = pickle.loads(pickle.dumps(original, protocol))
    assert restored == original
    assert type(restored.data) is Fields
    assert restored.data["new_state"] is State.OPEN


def test_an_event_can_be_copied_deeply():
    assert copy.deepcopy(event()) == event()


def test_an_event_is_frozen_and_hashable():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event().n = 5
    assert hash(event()) == hash(event())


def test_an_event_with_a_number_of_its_own_is_critical():
    assert event().critical
    assert not event(seq=None).critical


def test_a_delivery_is_the_event_with_its_number_in_the_subscription():
    original = event()
    delivery = original.delivery(5, redelivered=True)
    assert (delivery.n, delivery.redelivered) == (5, True)
    assert attrs.evolve(delivery, n=0, redelivered=False) == original
    assert (original.n, original.redelivered) == (0, False)
    assert delivery.data is original.data


def test_a_delivery_is_frozen_too():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event().delivery(1, redelivered=False).n = 5


def test_an_event_says_which_schema_it_follows():
    assert event().schema_version == "1.0"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", "circuit_exploded"),
        ("event", None),
        ("connection", None),
        ("scope", 5),
        ("timestamp", datetime(2026, 1, 1)),
        ("timestamp", "2026-01-01T00:00:00Z"),
        ("monotonic", True),
        ("epoch", "1"),
        ("seq", 1.0),
        ("event_id", 7),
        ("severity", "loud"),
        ("data", [1]),
        ("data", {1: 2}),
        ("kind", "spaceship"),
        ("n", None),
        ("redelivered", 1),
    ],
)
def test_an_event_made_by_hand_takes_no_wrong_value(field, value):
    with pytest.raises(ConfigError) as caught:
        event(**{field: value})
    assert caught.value.option == field


def test_an_event_made_by_hand_is_in_utc_and_its_data_cannot_be_changed():
    given = {"reason": "deploy"}
    east = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    made = event(timestamp=east, severity="error", data=given)
    given["reason"] = "changed"
    assert made.timestamp == east
    assert made.timestamp.tzinfo is UTC
    assert made.severity is Severity.ERROR
    assert made.data == {"reason": "deploy"}
    with pytest.raises(TypeError, match="copy it"):
        made.data["reason"] = "changed"


def test_an_event_of_a_later_version_may_have_another_name():
    assert event(event="circuit_exploded", schema_version="1.7").event == "circuit_exploded"
