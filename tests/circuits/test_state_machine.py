"""Closed, open, half-open: what leads from one to the next."""

from __future__ import annotations

import pytest
from opentelemetry.context import Context

from brama.circuits import State, recorder, settlement

requirement = pytest.mark.requirement


def fail(circuit, times=1):
    for _ in range(times):
        circuit.try_acquire().failure("Timeout")


def test_a_new_circuit_is_closed_and_admits(world):
    circuit = world.circuit()
    assert (circuit.state, circuit.available()) == (State.CLOSED, True)


def test_the_circuit_stays_closed_one_failure_below_the_threshold(world):
    circuit = world.circuit(failure_threshold=3)
    fail(circuit, 2)
    assert circuit.state is State.CLOSED


def test_the_circuit_opens_with_the_failure_that_reaches_the_threshold(world):
    circuit = world.circuit(failure_threshold=3)
    fail(circuit, 3)
    assert circuit.state is State.OPEN


def test_a_success_in_between_starts_the_row_of_failures_anew(world):
    circuit = world.circuit(failure_threshold=3)
    fail(circuit, 2)
    circuit.try_acquire().success()
    fail(circuit, 2)
    assert circuit.state is State.CLOSED
    assert circuit.status().failure_count == 2


def test_many_successes_in_between_count_like_one(world):
    circuit = world.circuit(failure_threshold=2)
    fail(circuit)
    for _ in range(100):
        circuit.try_acquire().success()
    fail(circuit)
    assert circuit.state is State.CLOSED
    fail(circuit)
    assert circuit.state is State.OPEN


def test_an_ignored_call_in_between_does_not_interrupt_the_row_of_failures(world):
    circuit = world.circuit(failure_threshold=2)
    fail(circuit)
    circuit.try_acquire().ignore()
    fail(circuit)
    assert circuit.state is State.OPEN


def test_an_open_circuit_refuses_until_the_expiry_is_over(world):
    circuit = world.circuit(failure_threshold=1, expiry=30.0)
    fail(circuit)
    world.clock.advance(29.999)
    assert circuit.try_acquire() is None
    assert not circuit.available()


@requirement("B7", "BR-R05")
def test_reading_shows_half_open_as_soon_as_the_expiry_is_over_and_changes_nothing(
    world, transitions
):
    circuit = world.circuit(failure_threshold=1, expiry=30.0)
    fail(circuit)
    world.clock.advance(30.0)
    before = transitions(circuit)
    generation = circuit.status().generation
    for _ in range(3):
        assert circuit.state is State.HALF_OPEN
        assert circuit.available()
        assert circuit.status().state is State.HALF_OPEN
    assert transitions(circuit) == before
    assert circuit.status().generation == generation


@requirement("BR-R05")
def test_half_opening_by_an_admission_is_one_transition_and_the_timer_adds_none(world, transitions):
    circuit = world.half_open()
    permit = circuit.try_acquire()
    circuit._breaker.tick()
    assert transitions(circuit) == [("closed", "open"), ("open", "half_open")]
    permit.ignore()


@requirement("BR-R05")
def test_half_opening_by_the_timer_is_one_transition_and_the_admission_adds_none(
    world, transitions
):
    circuit = world.half_open()
    circuit._breaker.tick()
    permit = circuit.try_acquire()
    assert transitions(circuit) == [("closed", "open"), ("open", "half_open")]
    permit.ignore()


@requirement("BR-R05")
def test_the_timer_learns_when_to_look_again(world):
    circuit = world.circuit(failure_threshold=1, expiry=30.0, half_open_timeout=8.0)
    assert circuit._breaker.tick() is None
    fail(circuit)
    world.clock.advance(10.0)
    assert circuit._breaker.tick() == 20.0
    world.clock.advance(20.0)
    assert circuit._breaker.tick() == 8.0


def test_a_successful_probe_closes_the_circuit_and_clears_the_failures(world):
    circuit = world.half_open()
    circuit.try_acquire().success()
    status = circuit.status()
    assert (status.state, status.failure_count) == (State.CLOSED, 0)


def test_a_failed_probe_opens_the_circuit_for_another_expiry(world):
    circuit = world.half_open(expiry=30.0)
    fail(circuit)
    assert circuit.state is State.OPEN
    world.clock.advance(29.0)
    assert not circuit.available()
    world.clock.advance(1.0)
    assert circuit.available()


@requirement("B6")
def test_one_probe_is_admitted_and_everybody_else_is_refused(world):
    circuit = world.half_open()
    admitted = [circuit.try_acquire() for _ in range(20)]
    assert sum(permit is not None for permit in admitted) == 1
    assert not circuit.available()
    assert circuit.status().refused == 19


@requirement("B6")
def test_as_many_probes_are_out_as_the_policy_admits(world):
    circuit = world.half_open(half_open_max_calls=3, success_threshold=3)
    admitted = [circuit.try_acquire() for _ in range(20)]
    assert sum(permit is not None for permit in admitted) == 3
    assert circuit.status().half_open_in_flight == 3


def test_the_circuit_closes_after_as_many_successful_probes_as_the_policy_wants(world):
    circuit = world.half_open(success_threshold=3)
    for _ in range(2):
        circuit.try_acquire().success()
        assert circuit.state is State.HALF_OPEN
    circuit.try_acquire().success()
    assert circuit.state is State.CLOSED


def test_a_failed_probe_opens_the_circuit_however_many_have_succeeded(world):
    circuit = world.half_open(success_threshold=3)
    circuit.try_acquire().success()
    circuit.try_acquire().success()
    fail(circuit)
    assert circuit.state is State.OPEN


def test_successes_of_an_earlier_half_open_do_not_count_in_the_next(world):
    circuit = world.half_open(success_threshold=2)
    circuit.try_acquire().success()
    fail(circuit)
    world.clock.advance(60.0)
    circuit.try_acquire().success()
    assert circuit.state is State.HALF_OPEN


def test_a_probe_that_succeeds_ends_the_row_of_failures(world):
    circuit = world.half_open(success_threshold=2)
    circuit.try_acquire().success()
    fail(circuit)
    assert circuit.status().failure_count == 1


@requirement("BR-R04")
def test_a_probe_without_an_outcome_gives_its_place_back_when_its_lease_is_over(world):
    circuit = world.half_open(half_open_timeout=8.0)
    lost = circuit.try_acquire()
    world.clock.advance(7.9)
    assert circuit.try_acquire() is None
    world.clock.advance(0.1)
    assert circuit.available()
    probe = circuit.try_acquire()
    assert probe is not None
    probe.success()
    assert circuit.state is State.CLOSED
    lost.ignore()


@requirement("BR-R04", "BR-R01")
@pytest.mark.parametrize("outcome", ["success", "failure", "ignore"])
def test_the_answer_of_a_lost_probe_is_late(world, outcome):
    circuit = world.half_open(half_open_timeout=8.0)
    lost = circuit.try_acquire()
    world.clock.advance(8.0)
    probe = circuit.try_acquire()
    getattr(lost, outcome)()
    status = circuit.status()
    assert (status.state, status.late, status.half_open_in_flight) == (State.HALF_OPEN, 1, 1)
    probe.ignore()


@requirement("BR-R04")
def test_the_timer_notices_a_lost_probe_without_traffic(watched, records):
    circuit = watched.half_open(half_open_timeout=8.0)
    lost = circuit.try_acquire()
    watched.clock.advance(8.0)
    circuit._breaker.tick()
    assert records(circuit)[-1].events == ("probe_lost",)
    assert circuit.status().half_open_in_flight == 0
    lost.ignore()


def test_refused_calls_tell_how_long_to_wait(world):
    circuit = world.circuit(failure_threshold=1, expiry=30.0, half_open_timeout=8.0)
    fail(circuit)
    world.clock.advance(12.0)
    assert circuit.status().retry_after == 18.0
    world.clock.advance(18.0)
    assert circuit.status().retry_after == 0.0
    probe = circuit.try_acquire()
    world.clock.advance(3.0)
    assert circuit.status().retry_after == 5.0
    probe.ignore()


@requirement("B13", "BR-R06")
def test_a_jump_of_the_wall_clock_changes_nothing(world):
    circuit = world.circuit(failure_threshold=1, expiry=30.0)
    fail(circuit)
    world.posix += 86_400
    assert circuit.state is State.OPEN
    world.posix -= 2 * 86_400
    world.clock.advance(30.0)
    assert circuit.available()


@requirement("BR-R17")
def test_simultaneous_failures_open_the_circuit_once(world, transitions):
    circuit = world.circuit(failure_threshold=2)
    permits = [circuit.try_acquire() for _ in range(10)]
    for permit in permits:
        permit.failure("Timeout")
    assert transitions(circuit) == [("closed", "open")]
    assert circuit.status().opened_count == 1


@requirement("B8")
def test_late_failures_do_not_prolong_an_open_circuit(world, transitions):
    circuit = world.circuit(failure_threshold=1, expiry=30.0)
    permits = [circuit.try_acquire() for _ in range(3)]
    permits[0].failure()
    opened_at = circuit.status().opened_at
    world.clock.advance(20.0)
    world.posix += 20.0
    permits[1].failure()
    permits[2].failure()
    circuit.failure("seen elsewhere")
    assert circuit.status().retry_after == 10.0
    assert circuit.status().opened_at == opened_at
    assert transitions(circuit) == [("closed", "open")]


@requirement("B4", "B5")
def test_each_automatic_opening_in_a_row_lasts_longer(world):
    circuit = world.circuit(
        failure_threshold=4, expiry=10.0, expiry_strategy="progressive", jitter=0.0, max_expiry=50.0
    )
    fail(circuit, 4)
    times = []
    for _ in range(5):
        times.append(circuit.status().retry_after)
        world.clock.advance(times[-1])
        fail(circuit)
    assert times == [10.0, 20.0, 40.0, 50.0, 50.0]


@requirement("B4")
def test_a_recovery_starts_the_progression_anew(world):
    circuit = world.circuit(
        failure_threshold=1, expiry=10.0, expiry_strategy="progressive", jitter=0.0
    )
    fail(circuit)
    world.clock.advance(10.0)
    fail(circuit)
    world.clock.advance(20.0)
    circuit.try_acquire().success()
    fail(circuit)
    assert circuit.status().retry_after == 10.0


def test_the_jitter_of_a_progressive_expiry_takes_a_share_off(world):
    circuit = world.circuit(
        failure_threshold=1, expiry=10.0, expiry_strategy="progressive", jitter=0.2
    )
    fail(circuit)
    assert circuit.status().retry_after == pytest.approx(9.0)  # the world draws 0.5


def test_an_opening_is_dated_when_it_happened_however_long_the_expiry_function_takes(
    world, records
):
    def slowly(_attempt, _outcome):
        world.posix += 5.0
        return 30.0

    circuit = world.circuit(failure_threshold=1, expiry_strategy=slowly)
    began = world.posix
    circuit.failure("down")
    (opened,) = [one for one in records(circuit) if "circuit_opened" in one.events]
    assert opened.wall == began
    assert opened.data["retry_after"] == 30.0


def test_an_opening_that_an_order_of_somebody_else_tells_of_keeps_its_own_trace(
    world, records, monkeypatch
):
    whose = {"context": "the call's"}
    monkeypatch.setattr(settlement, "capture", lambda: whose["context"])
    monkeypatch.setattr(recorder, "capture", lambda: whose["context"])
    monkeypatch.setattr(settlement, "recorded_span", lambda _context: None)

    def meanwhile(_attempt, _outcome):
        whose["context"] = "the operator's"
        circuit.close_circuit()

    circuit = world.circuit(failure_threshold=1, expiry_strategy=meanwhile)
    circuit.failure("down")
    told = {one.events[-1]: one.context for one in records(circuit)}
    assert told["circuit_opened"] == "the call's"
    assert told["circuit_closed"] == "the operator's"


def test_the_child_of_a_fork_makes_no_span_of_a_transition_of_its_parent(world, monkeypatch):
    monkeypatch.setattr(recorder, "capture", Context)
    circuit = world.circuit()
    circuit.open_circuit()
    breaker = circuit._breaker
    assert breaker.turn is not None
    breaker.reset_after_fork()
    assert (circuit.state, breaker.turn) == (State.OPEN, None)
