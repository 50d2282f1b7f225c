"""The log of a breaker: in order, bounded, honest about what it could not keep."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from brama.circuits import ALL, EVENTS, Fields, Severity, State
from brama.circuits.log import LIMIT

requirement = pytest.mark.requirement


def events(circuit, records):
    return [event for record in records(circuit) for event in record.events]


@requirement("B3", "EV-06")
def test_every_transition_is_a_state_change_and_an_event_of_its_own(world, records):
    circuit = world.circuit(failure_threshold=1)
    circuit.failure("Timeout")
    world.clock.advance(60)
    circuit.try_acquire().success()
    assert events(circuit, records) == [
        "state_change",
        "circuit_opened",
        "state_change",
        "circuit_half_opened",
        "state_change",
        "circuit_closed",
    ]


@requirement("EV-06")
def test_a_transition_carries_both_states_its_reason_and_the_failure_count(world, records):
    circuit = world.circuit(failure_threshold=3, expiry=30.0)
    for _ in range(3):
        circuit.try_acquire().failure("HTTP 503")
    world.clock.advance(30)
    circuit.try_acquire().success()
    assert [record.data for record in records(circuit)] == [
        {
            "previous_state": State.CLOSED,
            "new_state": State.OPEN,
            "reason": "HTTP 503",
            "failure_count": 3,
            "generation": 2,
            "retry_after": 30.0,
            "duration": 0.0,
            "error_type": None,
            "error_code": None,
            "attempts": 0,
        },
        {
            "previous_state": State.OPEN,
            "new_state": State.HALF_OPEN,
            "reason": "expiry elapsed",
            "failure_count": 3,
            "generation": 3,
            "retry_after": 0.0,
            "duration": 30.0,
            "error_type": None,
            "error_code": None,
            "attempts": 0,
        },
        {
            "previous_state": State.HALF_OPEN,
            "new_state": State.CLOSED,
            "reason": "probe succeeded",
            "failure_count": 0,
            "generation": 4,
            "retry_after": 0.0,
            "duration": 0.0,
            "error_type": None,
            "error_code": None,
            "attempts": 1,
        },
    ]


def test_an_exception_appears_as_its_type_and_the_start_of_its_text(world, records):
    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(OSError), circuit.guard():
        raise OSError("x" * 1000)
    reason = records(circuit)[-1].data["reason"]
    assert reason == ("OSError: " + "x" * 1000)[:200]


def test_an_exception_whose_text_cannot_be_made_appears_as_its_type(world):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    circuit = world.circuit(failure_threshold=1)
    with pytest.raises(Mute), circuit.guard():
        raise Mute
    assert circuit.status().reason.endswith("Mute")


def test_nothing_but_transitions_is_logged_while_nobody_listens(world, records):
    circuit = world.circuit()
    circuit.failure()
    circuit.success()
    assert records(circuit) == []
    assert circuit._breaker.log is None


def test_every_kind_that_somebody_wants_is_logged(watched, records):
    circuit = watched.circuit(failure_threshold=2, half_open_timeout=5.0)
    circuit.try_acquire().success()
    circuit.failure("Timeout")
    circuit.failure("Timeout")
    watched.clock.advance(60)
    lost = circuit.try_acquire()
    watched.clock.advance(5)
    circuit._breaker.tick()
    circuit.reset_circuit()
    circuit._breaker.shut_gate("connection_unregistered")
    assert events(circuit, records) == [
        "registration",
        "connection_registered",
        "success",
        "failure",
        "state_change",
        "circuit_opened",
        "expiry",
        "state_change",
        "circuit_half_opened",
        "probe_lost",
        "state_change",
        "circuit_reset",
        "connection_unregistered",
    ]
    lost.ignore()


def test_every_event_has_the_data_that_the_list_promises(watched, records):
    circuit = watched.circuit(failure_threshold=2, half_open_timeout=5.0)
    circuit.try_acquire().success()
    circuit.failure("Timeout")
    circuit.failure("Timeout")
    watched.clock.advance(60)
    circuit.try_acquire().success()
    circuit.reset_circuit()
    circuit._breaker.shut_gate("connection_removed")
    for record in records(circuit):
        for name in record.events:
            assert set(record.data) == set(EVENTS[name].data), name


def test_an_event_that_nobody_wants_is_not_built(watched, records):
    class Opened:
        version = 2

        def mask(self, connection, scope, kind):
            return EVENTS["failure"].bit

    watched.shared.interest = Opened()
    circuit = watched.circuit(failure_threshold=2)
    circuit.success()
    circuit.failure()
    assert events(circuit, records) == ["failure"]


@requirement("SB-08")
def test_interest_is_looked_up_again_only_when_its_version_has_changed(watched):
    asked = []

    class Counting:
        version = 7

        def mask(self, connection, scope, kind):
            asked.append((connection, scope))
            return ALL

    interest = watched.shared.interest = Counting()
    circuit = watched.circuit("search", "shop")
    for _ in range(10):
        circuit.success()
    assert asked == [("search", "shop")]
    interest.version += 1
    circuit.success()
    assert len(asked) == 2


def test_critical_events_are_numbered_without_a_gap_and_the_others_not_at_all(watched, records):
    circuit = watched.circuit(failure_threshold=2)
    for _ in range(3):
        circuit.success()
        circuit.failure()
        circuit.failure()
        watched.clock.advance(60)
        circuit.try_acquire().success()
    seen = [
        record.event(place, None)
        for record in records(circuit)
        for place in range(len(record.events))
    ]
    critical = [event for event in seen if event.critical]
    assert [event.seq for event in critical] == list(range(1, len(critical) + 1))
    assert {event.event for event in critical} == {
        "state_change",
        "circuit_opened",
        "circuit_half_opened",
        "circuit_closed",
    }
    assert len({event.event_id for event in seen}) == len(seen)


def test_the_same_record_makes_the_same_event_every_time(world, records):
    circuit = world.circuit("search", "shop")
    circuit.open_circuit()
    record = records(circuit)[0]
    assert record.event(1, None) == record.event(1, None)


@requirement("B14", "EV-07")
def test_an_event_of_a_record_has_all_its_fields(world, records):
    circuit = world.circuit("search", "shop")
    circuit.open_circuit("deploy", expires_in=5)
    breaker = circuit._breaker
    event = records(circuit)[0].event(1, "00-trace")
    assert (event.event, event.connection, event.scope) == ("circuit_opened", "search", "shop")
    assert event.timestamp == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert (event.monotonic, event.epoch, event.seq) == (1000.0, breaker.epoch, 2)
    assert event.event_id == f"{world.shared.source}-{breaker.epoch:x}-2"
    assert (event.severity, event.schema_version, event.trace) == (
        Severity.ERROR,
        "1.0",
        "00-trace",
    )
    assert event.data["reason"] == "deploy"
    assert (event.n, event.redelivered) == (0, False)


def test_the_severity_of_a_state_change_is_that_of_the_state_it_leads_to(world, records):
    circuit = world.circuit(failure_threshold=1)
    circuit.failure()
    world.clock.advance(60)
    circuit.try_acquire().success()
    severities = [record.event(0, None).severity for record in records(circuit)]
    assert severities == [Severity.ERROR, Severity.WARNING, Severity.INFO]


def test_the_bell_is_rung_once_until_somebody_has_looked(world, records):
    circuit = world.circuit()
    circuit.open_circuit()
    circuit.close_circuit()
    assert world.rings == [circuit._breaker]
    records(circuit)
    circuit.reset_circuit()
    assert world.rings == [circuit._breaker] * 2


@requirement("BR-R07", "BR-R15")
def test_whoever_hears_the_bell_may_use_the_circuit(world, records):
    circuit = world.circuit(failure_threshold=1)
    heard = []

    def bell(breaker):
        heard.append((circuit.state, len(records(circuit)), circuit.status().state))

    world.shared.bell = bell
    circuit.try_acquire().failure()
    assert heard == [(State.OPEN, 1, State.OPEN)]


def test_records_stay_until_they_are_published(world, records):
    circuit = world.circuit()
    circuit.open_circuit()
    circuit.close_circuit()
    first, second = records(circuit)
    first.published = True
    assert records(circuit) == [second]
    second.published = True
    assert records(circuit) == []


def test_a_record_that_is_published_out_of_turn_waits_for_those_before_it(world, records):
    circuit = world.circuit()
    circuit.open_circuit()
    circuit.close_circuit()
    first, second = records(circuit)
    second.published = True
    assert records(circuit) == [first, second]


def test_the_log_is_given_up_once_there_is_nothing_to_manage(world, records):
    circuit = world.circuit()
    breaker = circuit._breaker
    assert breaker.release()
    circuit.open_circuit()
    records(circuit)[0].published = True
    assert not breaker.release()
    circuit.close_circuit()
    assert not breaker.release()
    records(circuit)[0].published = True
    assert breaker.release()
    assert breaker.log is None


def test_numbers_go_on_after_the_log_was_given_up(world, records):
    circuit = world.circuit()
    for _ in range(3):
        circuit.reset_circuit()
        (record,) = records(circuit)
        record.published = True
        circuit._breaker.release()
    assert record.seq == 3


@requirement("BR-17")
def test_a_log_that_nobody_reads_is_bounded_goes_on_counting_and_tells_its_loss(world, records):
    circuit = world.circuit()
    for _ in range(2500):
        circuit.open_circuit()
        circuit.close_circuit()
    kept = records(circuit)
    assert len(kept) == LIMIT
    assert kept[-1].seq == 2 * 5000 - 1
    assert [record.seq for record in kept] == list(range(kept[0].seq, kept[-1].seq + 1, 2))
    # The gap is told where it is: before the oldest record that was kept.
    assert kept[0].lost == kept[0].seq - 1 == 2 * (5000 - LIMIT)
    assert sum(record.lost for record in kept[1:]) == 0


def test_a_full_log_gives_up_what_is_not_critical_first(watched, records):
    circuit = watched.circuit(failure_threshold=10**9)
    circuit.open_circuit()
    circuit.close_circuit()
    for _ in range(LIMIT):
        circuit.failure()
    circuit.open_circuit()
    kept = records(circuit)
    assert len(kept) == LIMIT
    assert [record.seq for record in kept if record.seq] == [1, 3, 5]
    sent = 2 + 3 * 2 + LIMIT  # the registration, three transitions, the failures
    assert sum(record.lost for record in kept) + sum(len(record.events) for record in kept) == sent


def test_what_a_full_log_did_not_take_is_told_by_the_next_record_it_takes(watched, records):
    circuit = watched.circuit(failure_threshold=10**9)
    for _ in range(LIMIT + 10):
        circuit.failure()
    for record in records(circuit):
        record.published = True
    circuit.failure()
    (record,) = records(circuit)
    assert record.lost == 11


def test_what_is_under_way_is_neither_dropped_nor_said_to_be_lost(watched, records):
    circuit = watched.circuit(failure_threshold=10**9)
    for _ in range(LIMIT // 2):
        circuit.open_circuit()
        circuit.close_circuit()
    under_way = circuit._breaker.take()
    losses = [record.lost for record in under_way]
    for _ in range(LIMIT):
        circuit.open_circuit()
        circuit.close_circuit()
    kept = records(circuit)
    assert kept[: len(under_way)] == under_way
    assert [record.lost for record in under_way] == losses
    waiting = kept[len(under_way) :]
    assert len(waiting) == LIMIT
    assert waiting[0].lost == waiting[0].seq - (under_way[-1].seq + 2)


def test_a_full_log_gives_up_what_is_not_critical_behind_what_is_under_way(watched, records):
    circuit = watched.circuit(failure_threshold=10**9)
    circuit.failure()
    under_way = circuit._breaker.take()
    for _ in range(LIMIT):
        circuit.failure()
    circuit.open_circuit()
    kept = records(circuit)
    assert kept[: len(under_way)] == under_way
    assert [record.lost for record in kept if record.lost] == [1]
    assert kept[len(under_way)].lost == 1
    assert kept[-1].events[0] == "state_change"


def test_one_part_is_under_way_until_it_is_published(watched):
    circuit = watched.circuit()
    breaker = circuit._breaker
    circuit.open_circuit()
    first = breaker.take()
    circuit.close_circuit()
    assert breaker.take() == first  # its registry may have ended over it
    first[0].published = True
    assert breaker.take() == first[1:]
    for record in first:
        record.published = True
    (second,) = breaker.take()
    assert second.data["new_state"] is State.CLOSED


def test_a_loss_with_nothing_behind_it_is_told_all_the_same(watched, records):
    circuit = watched.circuit(failure_threshold=10**9)
    for _ in range(LIMIT + 10):
        circuit.failure()
    for record in records(circuit):
        record.published = True
    (told,) = records(circuit)
    assert (told.events, told.lost) == ((), 11)
    told.published = True
    circuit.failure()
    (after,) = records(circuit)
    assert after.lost == 0
    assert after.gap().event_id != told.gap().event_id


def test_published_records_make_room_and_are_no_loss(world, records):
    circuit = world.circuit()
    for _ in range(LIMIT // 2):
        circuit.open_circuit()
        circuit.close_circuit()
    for record in records(circuit):
        record.published = True
    circuit.open_circuit()
    (record,) = records(circuit)
    assert record.lost == 0


def test_the_data_of_a_record_cannot_be_changed(world, records):
    circuit = world.circuit()
    circuit.open_circuit()
    data = records(circuit)[0].data
    assert type(data) is Fields
    with pytest.raises(TypeError, match="shared and cannot be changed"):
        data["reason"] = "mine"
