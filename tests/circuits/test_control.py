"""Reports from elsewhere, control by hand, other rules, registration."""

from __future__ import annotations

from datetime import timedelta

import pytest

from brama.circuits import Policy, State
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


# Reports from elsewhere


@requirement("BR-25")
def test_failures_from_elsewhere_open_the_circuit(world):
    circuit = world.circuit(failure_threshold=3)
    for _ in range(3):
        circuit.failure(reason="melted")
    status = circuit.status()
    assert (status.state, status.reason, status.failures, status.calls) == (
        State.OPEN,
        "melted",
        3,
        3,
    )


@requirement("BR-25")
def test_a_success_from_elsewhere_ends_a_row_of_failures(world):
    circuit = world.circuit(failure_threshold=2)
    circuit.failure()
    circuit.success()
    circuit.failure()
    assert circuit.state is State.CLOSED


@requirement("BR-25")
def test_reports_and_calls_make_one_row(world):
    circuit = world.circuit(failure_threshold=2)
    circuit.failure()
    circuit.try_acquire().failure()
    assert circuit.state is State.OPEN


@requirement("BR-25")
def test_a_success_from_elsewhere_closes_a_half_open_circuit(world):
    circuit = world.half_open()
    circuit.success()
    assert circuit.state is State.CLOSED


@requirement("BR-25")
def test_a_failure_from_elsewhere_opens_a_half_open_circuit(world):
    circuit = world.half_open()
    probe = circuit.try_acquire()
    circuit.failure("Timeout")
    probe.success()
    assert (circuit.state, circuit.status().late) == (State.OPEN, 1)


@requirement("BR-25", "B8")
def test_reports_are_counted_and_move_nothing_while_the_circuit_is_open(world, transitions):
    circuit = world.circuit()
    circuit.open_circuit("deploy", expires_in=30)
    world.clock.advance(10)
    circuit.failure("Timeout")
    circuit.success()
    status = circuit.status()
    assert (status.state, status.retry_after, status.reason) == (State.OPEN, 20.0, "deploy")
    assert (status.failures, status.successes) == (1, 1)
    assert len(transitions(circuit)) == 1


def test_reports_to_one_open_circuit_are_not_counted_by_another(world):
    one, other, later = (world.circuit(name=name) for name in ("one", "other", "later"))
    one.open_circuit()
    other.force_open()
    one.success()
    one.failure()
    later.open_circuit()
    one.success()
    assert [(each.status().calls, each.status().successes) for each in (one, other, later)] == [
        (3, 2),
        (0, 0),
        (0, 0),
    ]


@requirement("B16")
def test_reporting_nothing_adds_nothing(world):
    circuit = world.circuit()
    for _ in range(0):
        circuit.failure()
    assert circuit.status().failure_count == 0


@pytest.mark.parametrize("method", ["failure", "open_circuit", "close_circuit", "reset_circuit"])
def test_a_reason_is_text(world, method):
    with pytest.raises(ConfigError, match="reason must be a str, an exception or None, got: 5"):
        getattr(world.circuit(), method)(5)


@pytest.mark.parametrize("method", ["failure", "open_circuit", "force_open", "isolate"])
def test_an_exception_as_a_reason_is_described(world, method):
    circuit = world.circuit(failure_threshold=1)
    getattr(circuit, method)(ConnectionError("no route"))
    assert circuit.status().reason == "ConnectionError: no route"


def test_an_exception_that_a_report_gives_is_shown_to_the_functions_of_the_policy(world):
    seen = []
    circuit = world.circuit(
        failure_threshold=1, expiry=lambda attempt, outcome: seen.append(outcome.error)
    )
    error = TimeoutError("no answer")
    circuit.failure(error)
    assert circuit.state is State.OPEN
    assert seen == [error]


# Control by hand


def test_open_circuit_opens_for_the_expiry_of_the_policy(world):
    circuit = world.circuit(expiry=30.0)
    circuit.open_circuit()
    status = circuit.status()
    assert (status.state, status.retry_after, status.reason) == (
        State.OPEN,
        30.0,
        "manually opened",
    )


@pytest.mark.parametrize("expires_in", [90, 90.0, timedelta(minutes=1.5)])
def test_open_circuit_may_expire_at_another_time_this_once(world, expires_in):
    circuit = world.circuit(expiry=30.0)
    circuit.open_circuit("deploy", expires_in=expires_in)
    assert circuit.status().retry_after == 90.0
    assert circuit.status().expiry == 30.0
    circuit.close_circuit()
    circuit.open_circuit()
    assert circuit.status().retry_after == 30.0


@requirement("B17")
@pytest.mark.parametrize("expires_in", [0, -1, float("inf"), float("nan"), "60", True])
def test_an_open_time_is_a_positive_number_of_seconds(world, expires_in):
    circuit = world.circuit()
    with pytest.raises(ConfigError, match="expires_in must be a number of seconds > 0, got: "):
        circuit.open_circuit(expires_in=expires_in)
    assert circuit.state is State.CLOSED


def test_opening_an_open_circuit_starts_its_time_anew_and_is_no_transition(world, transitions):
    circuit = world.circuit(expiry=30.0)
    circuit.open_circuit("first")
    world.clock.advance(20)
    circuit.open_circuit("second", expires_in=5)
    status = circuit.status()
    assert (status.retry_after, status.reason, status.opened_count) == (5.0, "second", 1)
    assert len(transitions(circuit)) == 1


@requirement("BR-R05")
def test_opening_an_open_circuit_rings_so_that_its_timer_is_set_anew(world, records):
    circuit = world.circuit()
    circuit.open_circuit(expires_in=60)
    records(circuit)
    world.rings.clear()
    circuit.open_circuit(expires_in=1)
    assert world.rings == [circuit._breaker]


@requirement("BR-R16")
def test_opening_a_half_open_circuit_makes_its_probes_late(world):
    circuit = world.half_open()
    probe = circuit.try_acquire()
    circuit.open_circuit()
    probe.success()
    status = circuit.status()
    assert (status.state, status.late, status.half_open_in_flight) == (State.OPEN, 1, 0)


def test_opening_by_hand_tells_the_present_row_of_failures(world, records):
    circuit = world.circuit()
    circuit.failure()
    circuit.failure()
    circuit.success()
    circuit.open_circuit()
    assert records(circuit)[-1].data["failure_count"] == 0
    assert circuit.status().failure_count == 0


def test_opening_by_hand_does_not_lengthen_the_next_automatic_opening(world):
    circuit = world.circuit(
        failure_threshold=1, expiry=10.0, expiry_strategy="progressive", jitter=0.0
    )
    for _ in range(3):
        circuit.open_circuit()
    world.clock.advance(10)
    circuit.try_acquire().failure()
    assert circuit.status().retry_after == 10.0


@requirement("B10")
@pytest.mark.parametrize("method", ["close_circuit", "reset_circuit"])
@pytest.mark.parametrize("state", ["closed", "open", "half_open"])
def test_closing_by_hand_clears_the_failures(world, method, state):
    circuit = world.circuit(failure_threshold=3)
    for _ in range(2 if state == "closed" else 3):
        circuit.failure()
    if state == "half_open":
        world.clock.advance(60)
    getattr(circuit, method)()
    assert (circuit.state, circuit.status().failure_count) == (State.CLOSED, 0)
    circuit.failure()
    circuit.failure()
    assert circuit.state is State.CLOSED


@requirement("BR-R16")
@pytest.mark.parametrize("method", ["close_circuit", "reset_circuit"])
def test_closing_a_half_open_circuit_by_hand_makes_its_probes_late(world, method):
    circuit = world.half_open(failure_threshold=1)
    probe = circuit.try_acquire()
    getattr(circuit, method)()
    probe.failure()
    status = circuit.status()
    assert (status.state, status.late, status.failure_count) == (State.CLOSED, 1, 0)


def test_closing_a_closed_circuit_is_no_transition(world, transitions):
    circuit = world.circuit()
    circuit.close_circuit()
    assert transitions(circuit) == []


def test_a_reset_is_an_event_in_every_state(world, records):
    circuit = world.circuit()
    circuit.reset_circuit()
    assert records(circuit)[-1].events == ("circuit_reset",)
    circuit.open_circuit()
    circuit.reset_circuit("drill")
    assert records(circuit)[-1].events == ("state_change", "circuit_reset")
    assert records(circuit)[-1].data["reason"] == "drill"


def test_a_reset_of_a_closed_circuit_is_no_change_of_state(world):
    circuit = world.circuit()
    circuit.reset_circuit()
    assert circuit.status().last_transition_at is None


@requirement("BR-R16")
def test_a_reset_makes_calls_under_way_late(world):
    circuit = world.circuit(failure_threshold=1)
    permit = circuit.try_acquire()
    circuit.reset_circuit()
    permit.failure()
    assert (circuit.state, circuit.status().late) == (State.CLOSED, 1)


@pytest.mark.parametrize("method", ["close_circuit", "reset_circuit"])
def test_closing_by_hand_starts_the_progression_of_the_expiry_anew(world, method):
    circuit = world.circuit(
        failure_threshold=1, expiry=10.0, expiry_strategy="progressive", jitter=0.0
    )
    circuit.failure()
    world.clock.advance(10)
    circuit.failure()
    getattr(circuit, method)()
    circuit.failure()
    assert circuit.status().retry_after == 10.0


def test_control_by_hand_of_an_expired_circuit_tells_of_half_open_first(world, transitions):
    circuit = world.half_open()
    circuit.close_circuit()
    assert transitions(circuit) == [
        ("closed", "open"),
        ("open", "half_open"),
        ("half_open", "closed"),
    ]


# Other rules while running


def test_other_rules_hold_from_the_next_failure_on(world):
    circuit = world.circuit(failure_threshold=5)
    circuit.failure()
    circuit.failure()
    circuit._breaker.reconfigure(Policy(failure_threshold=3), {})
    assert circuit.status().failure_count == 2
    circuit.failure()
    assert circuit.state is State.OPEN


def test_other_rules_do_not_bring_back_failures_that_a_success_has_ended(world):
    circuit = world.circuit(failure_threshold=5)
    circuit.failure()
    circuit.failure()
    circuit.success()
    circuit._breaker.reconfigure(Policy(failure_threshold=3), {})
    assert circuit.status().failure_count == 0
    circuit.failure()
    assert circuit.state is State.CLOSED


def test_other_rules_leave_a_running_expiry_alone(world):
    circuit = world.circuit(expiry=30.0)
    circuit.open_circuit()
    circuit._breaker.reconfigure(Policy(expiry=5.0), {})
    assert circuit.status().retry_after == 30.0


@requirement("BR-R16")
def test_other_rules_make_probes_late_and_free_their_places(world):
    circuit = world.half_open()
    probe = circuit.try_acquire()
    circuit._breaker.reconfigure(Policy(success_threshold=2), {})
    probe.failure()
    assert (circuit.state, circuit.status().late) == (State.HALF_OPEN, 1)
    assert circuit.available()


@requirement("BR-R16")
def test_other_rules_make_calls_under_way_late_and_equal_ones_do_not(world):
    circuit = world.circuit(failure_threshold=1)
    permit = circuit.try_acquire()
    circuit._breaker.reconfigure(Policy(failure_threshold=1), {})
    assert circuit.status().generation == 1
    circuit._breaker.reconfigure(Policy(failure_threshold=2), {})
    permit.failure()
    assert (circuit.status().late, circuit.status().failure_count) == (1, 0)
    circuit.try_acquire().success()
    assert circuit.status().successes == 1


def test_other_rules_of_a_closed_circuit_ring_for_nobody(world):
    circuit = world.circuit()
    world.rings.clear()
    circuit._breaker.reconfigure(Policy(failure_threshold=2), {})
    assert world.rings == []


# Registration


@requirement("B20")
@pytest.mark.parametrize("state", ["closed", "open"])
def test_a_circuit_that_was_unregistered_registers_again_on_the_next_call(world, state):
    circuit = world.circuit()
    call = circuit(lambda: 0)
    if state == "open":
        circuit.open_circuit()
    circuit._breaker.shut_gate("connection_unregistered")
    assert not circuit.available()
    assert call() == 0
    assert circuit.available()
    assert (circuit.state, circuit.status().calls) == (State.CLOSED, 1)


@requirement("B20", "BR-R01")
def test_calls_under_way_when_a_circuit_is_unregistered_end_quietly(world):
    circuit = world.circuit(failure_threshold=1)
    permits = [circuit.try_acquire() for _ in range(3)]
    circuit._breaker.shut_gate("connection_unregistered")
    permits[0].success()
    permits[1].failure()
    permits[2].ignore()
    status = circuit.status()
    assert (status.late, status.in_flight, status.state) == (3, 0, State.CLOSED)


@requirement("BR-R13")
def test_the_child_of_a_fork_begins_with_empty_counts_and_log_and_the_same_state(world, records):
    circuit = world.circuit(failure_threshold=5)
    for _ in range(4):
        circuit.failure()
    circuit.success()
    for _ in range(20):
        circuit.reset_circuit()
    circuit.open_circuit(expires_in=30)
    circuit.try_acquire()
    epoch = circuit.status().generation, circuit._breaker.epoch
    circuit._breaker.reset_after_fork()
    status = circuit.status()
    assert (status.state, status.retry_after) == (State.OPEN, 30.0)
    assert (status.calls, status.successes, status.failures, status.refused) == (0, 0, 0, 0)
    assert (status.generation, circuit._breaker.epoch) > epoch
    assert records(circuit) == []


@requirement("BR-R13")
def test_the_child_of_a_fork_does_not_bring_back_failures_that_a_success_has_ended(world):
    circuit = world.circuit(failure_threshold=5)
    for _ in range(4):
        circuit.failure()
    circuit.success()
    circuit._breaker.reset_after_fork()
    circuit.try_acquire().failure()
    assert circuit.state is State.CLOSED


@requirement("BR-R13")
def test_the_places_of_the_parents_probes_are_free_in_the_child(world):
    circuit = world.half_open()
    probe = circuit.try_acquire()
    circuit._breaker.reset_after_fork()
    assert circuit.available()
    probe.failure()
    assert circuit.state is State.HALF_OPEN


@requirement("B19", "EV-07")
def test_the_same_name_in_two_scopes_is_two_connections(world):
    first, second = world.circuit("b:c", "a"), world.circuit("c", "a:b")
    assert first.key != second.key
    first.open_circuit()
    assert second.state is State.CLOSED
    assert repr(first) == "<Circuit 'b:c', scope='a', open>"
