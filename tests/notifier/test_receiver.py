"""For those who collect events: repeats, gaps, strange times."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama.circuits import Event, Severity
from brama.notifier import Receiver, cloudevents

requirement = pytest.mark.requirement
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(number: int | None, *, epoch: int = 1, connection: str = "search", **fields) -> Event:
    values = {
        "event": "success" if number is None else "state_change",
        "connection": connection,
        "scope": None,
        "timestamp": NOW,
        "monotonic": 0.0,
        "epoch": epoch,
        "seq": number,
        "event_id": f"{connection}-{epoch}-{number}",
        "severity": Severity.INFO,
        "data": {},
        "source": "brama-1",
    }
    return Event(**(values | fields))


def receiver(**rules) -> Receiver:
    return Receiver(wall=NOW.timestamp, **rules)


def flags(*events: Event) -> list[tuple[str, ...]]:
    made = receiver()
    return [made.see(one).flags for one in events]


@requirement("EV-12")
def test_what_comes_in_sequence_is_nothing_out_of_the_ordinary():
    assert flags(event(1), event(2), event(None), event(3)) == [()] * 4


@requirement("EV-12")
def test_a_repeat_is_known_by_its_id():
    assert flags(event(1), event(1), event(2), event(1)) == [(), ("repeat",), (), ("repeat",)]


@requirement("EV-12")
def test_a_gap_is_counted():
    made = receiver()
    assert made.see(event(1)).missing == 0
    found = made.see(event(5))
    assert (found.missing, found.flags) == (3, ("gap",))


@requirement("EV-12")
def test_what_comes_late_is_kept_and_flagged():
    made = receiver()
    made.see(event(1))
    made.see(event(3))
    found = made.see(event(2))
    assert (found.event.seq, found.flags) == (2, ("out_of_sequence",))


def test_whoever_begins_to_listen_has_missed_nothing():
    assert flags(event(7), event(8)) == [(), ()]


def test_a_new_epoch_begins_with_one_or_goes_on():
    assert flags(event(4), event(1, epoch=2), event(2, epoch=2)) == [()] * 3
    assert flags(event(4), event(5, epoch=2)) == [(), ()]
    assert flags(event(4), event(2, epoch=2)) == [(), ("gap",)]
    assert flags(event(4), event(7, epoch=2)) == [(), ("gap",)]
    assert flags(event(4, epoch=2), event(9, epoch=1)) == [(), ("out_of_sequence",)]


def test_sources_scopes_and_connections_are_numbered_for_themselves():
    assert (
        flags(
            event(1),
            event(1, connection="stock"),
            event(1, scope="shop", event_id="a"),
            event(1, source="brama-2", event_id="b"),
            event(2),
        )
        == [()] * 5
    )


@requirement("EV-13")
def test_an_event_from_the_future_is_accepted_and_flagged():
    late = event(1, timestamp=NOW + timedelta(minutes=5, seconds=1))
    found = receiver().see(late)
    assert (found.event, found.flags) == (late, ("clock_skew",))
    assert receiver().see(event(1, timestamp=NOW + timedelta(minutes=5))).flags == ()
    assert receiver(tolerance=0).see(event(1, timestamp=NOW + timedelta(seconds=1))).clock_skew


def test_ids_are_remembered_up_to_a_limit():
    made = receiver(remember=3)
    for number in range(1, 5):
        made.see(event(number))
    assert made.see(event(2)).repeat
    assert not made.see(event(1)).repeat
    assert made.see(event(1, event_id="x")).out_of_sequence


@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_every_number_that_did_not_come_is_counted_once(count, chance: random.Random):
    made = receiver()
    taken = [number for number in range(2, count + 1) if chance.random() < 0.3]
    events = [event(number) for number in range(1, count + 1) if number not in taken]
    missing = sum(made.see(one).missing for one in events)
    last = events[-1].seq
    assert missing == sum(number < last for number in taken)


@pytest.mark.parametrize("rules", [{"remember": 0}, {"tolerance": -1}, {"remember": 1.5}])
def test_wrong_rules_are_refused(rules):
    with pytest.raises(ValueError, match="must be"):
        receiver(**rules)


def test_what_was_received_is_frozen():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        receiver().see(event(1)).missing = 5


@requirement("EV-01")
@requirement("EV-02")
@pytest.mark.parametrize(
    ("change", "rejected"),
    [
        ({"severity": "loud"}, ("invalid_field", "severity")),
        ({"monotonic": "soon"}, ("invalid_field", "monotonic")),
        ({"schema_version": "2.0"}, ("unsupported_schema_version", "schema_version")),
        ({"schema_version": "new"}, ("invalid_field", "schema_version")),
        ({"connection": ...}, ("missing_field", "connection")),
    ],
)
def test_what_is_no_event_is_dropped_and_counted_by_its_field(change, rejected):
    here = receiver()
    fields = {**event(1).to_dict(), **change}
    message = {name: value for name, value in fields.items() if value is not ...}
    assert here.read(json.dumps(message)) is None
    assert here.read(message) is None
    assert here.rejected == {rejected: 2}
    assert here.read(event(1).to_json()).flags == ()


@pytest.mark.parametrize("form", [cloudevents.to_binary, cloudevents.to_structured])
@requirement("EV-04")
def test_a_cloudevent_is_read_from_its_message(form):
    here = receiver()
    headers, body = form(event(1))
    assert here.read(body, headers).event == event(1)
    assert here.read(body, headers).repeat
    assert here.read(b"[" * 100_000, headers) is None
    assert here.rejected == {("invalid_field", "data"): 1}
