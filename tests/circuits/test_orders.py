"""Orders: forced states, isolation, the expiry by hand, storing and restoring."""

from __future__ import annotations

import gc
import json
import math
import threading

import pytest

from brama.circuits import Catalogue, CircuitOpenError, CountWindow, Policy, State
from brama.circuits.testing import set_state
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement

FORCED = {
    State.FORCED_OPEN: "force_open",
    State.DISABLED: "disable",
    State.METRICS_ONLY: "metrics_only",
}


def fail(circuit, times=1):
    for _ in range(times):
        permit = circuit.try_acquire()
        if permit is not None:
            permit.failure("Timeout")


# Forced states


@requirement("BR-04")
@pytest.mark.parametrize("state", FORCED)
@pytest.mark.parametrize("begin", ["closed", "open", "half_open", *FORCED.values()])
def test_a_forced_state_is_entered_from_every_state_and_stays(world, transitions, state, begin):
    circuit = world.half_open(failure_threshold=1) if begin == "half_open" else world.circuit()
    if begin == "open":
        circuit.open_circuit()
    elif begin in FORCED.values():
        getattr(circuit, begin)()
    if begin == "half_open":
        circuit._breaker.tick()
    getattr(circuit, FORCED[state])()
    assert circuit.state is state
    world.clock.advance(1e6)
    circuit._breaker.tick()
    fail(circuit, 10)
    circuit.success()
    circuit.failure()
    assert circuit.state is state
    assert transitions(circuit)[-1][1] == state


@requirement("BR-04")
def test_forced_open_refuses_and_says_so(world):
    circuit = world.circuit()
    circuit.force_open("deploy")
    assert (circuit.available(), circuit.try_acquire()) == (False, None)
    for call in (circuit(lambda: 1), lambda: circuit.call(int), circuit.guard().__enter__):
        with pytest.raises(CircuitOpenError) as caught:
            call()
        assert caught.value.state is State.FORCED_OPEN
        assert caught.value.reason == "deploy"
        assert "inf" not in str(caught.value)
    assert circuit.status().retry_after == math.inf
    assert circuit.status().refused == 4


@requirement("BR-04")
def test_disabled_lets_pass_counts_and_does_not_judge(world):
    circuit = world.circuit(failure_threshold=2)
    circuit.disable()
    fail(circuit, 10)
    status = circuit.status()
    assert (status.state, status.calls, status.failures) == (State.DISABLED, 10, 10)
    circuit.close_circuit()
    assert circuit.status().failure_count == 0
    fail(circuit)
    assert circuit.state is State.CLOSED


@requirement("BR-04")
@pytest.mark.parametrize("trip", [None, CountWindow(size=4, rate=0.5)])
def test_metrics_only_tells_once_of_what_would_have_opened(watched, records, trip):
    circuit = watched.circuit(**({"trip": trip} if trip else {"failure_threshold": 4}))
    circuit.metrics_only()
    fail(circuit, 6)
    told = [record.events[0] for record in records(circuit)]
    assert told.count("threshold_exceeded") == 1
    assert told.count("failure") == 6
    for _ in range(4):
        circuit.try_acquire().success()
    fail(circuit, 4)
    told = [record.events[0] for record in records(circuit)]
    assert told.count("threshold_exceeded") == 2
    assert circuit.state is State.METRICS_ONLY


@requirement("BR-04")
@pytest.mark.parametrize("order", ["close_circuit", "reset_circuit"])
@pytest.mark.parametrize("state", FORCED)
def test_orders_end_a_forced_state(world, state, order):
    circuit = world.circuit(failure_threshold=1)
    getattr(circuit, FORCED[state])()
    getattr(circuit, order)()
    assert circuit.state is State.CLOSED
    fail(circuit)
    assert circuit.state is State.OPEN


@requirement("BR-04")
@pytest.mark.parametrize("state", [State.CLOSED, *FORCED])
def test_a_circuit_begins_in_the_state_that_its_policy_names(world, state):
    circuit = world.circuit(initial_state=state)
    assert circuit.state is state
    assert circuit.available() == (state is not State.FORCED_OPEN)


def test_forcing_the_state_that_is_there_is_no_transition(world, transitions):
    circuit = world.circuit()
    circuit.disable()
    circuit.disable()
    assert transitions(circuit) == [("closed", "disabled")]


# Isolation


@requirement("BR-13")
def test_a_circuit_is_isolated_until_the_last_holder_lets_go(world):
    circuit = world.circuit()
    first, second = circuit.isolate("deploy"), circuit.isolate("rollback")
    assert circuit.state is State.FORCED_OPEN
    assert circuit.why().isolated == 2
    first.release()
    first.release()
    assert not circuit.available()
    second.close()
    assert circuit.state is State.CLOSED
    assert (first.held, second.held) == (False, False)


def test_isolation_is_a_block(world):
    circuit = world.circuit()
    with circuit.isolate():
        assert not circuit.available()
    assert circuit.available()


def test_an_isolated_open_circuit_goes_back_to_what_then_remains(world):
    circuit = world.circuit(failure_threshold=1, expiry=60.0)
    fail(circuit)
    with circuit.isolate():
        world.clock.advance(20)
    assert circuit.status().retry_after == 40.0
    with circuit.isolate():
        world.clock.advance(50)
        assert not circuit.available()
    assert circuit.state is State.HALF_OPEN


@pytest.mark.parametrize(
    ("order", "state"),
    [
        ("close_circuit", "closed"),
        ("reset_circuit", "closed"),
        ("open_circuit", "open"),
        *((order, state.value) for state, order in FORCED.items()),
    ],
)
def test_an_order_during_isolation_decides_what_follows(world, order, state):
    circuit = world.circuit()
    with circuit.isolate():
        getattr(circuit, order)()
        assert circuit.state is State.FORCED_OPEN
        assert not circuit.available()
    assert circuit.state == state


def test_many_threads_isolate_and_let_go(world):
    circuit = world.circuit()

    def job():
        for _ in range(200):
            with circuit.isolate():
                assert not circuit.available()

    threads = [threading.Thread(target=job) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert circuit.state is State.CLOSED
    assert circuit.why().isolated == 0


# The expiry by hand


def test_set_expiry_holds_for_the_present_opening_and_for_later_ones(world):
    circuit = world.circuit(failure_threshold=1, expiry=60.0)
    fail(circuit)
    world.clock.advance(10)
    circuit.set_expiry(15.0)
    assert circuit.status().retry_after == 5.0
    world.clock.advance(5)
    fail(circuit)
    assert circuit.status().retry_after == 15.0
    circuit.reset_expiry()
    assert circuit.state is State.HALF_OPEN
    fail(circuit)
    assert circuit.status().retry_after == 60.0


def test_set_expiry_that_has_passed_admits_probes_now(world, transitions):
    circuit = world.circuit(failure_threshold=1)
    fail(circuit)
    world.clock.advance(10)
    circuit.set_expiry(5)
    assert transitions(circuit)[-1] == ("open", "half_open")


def test_without_expiry_a_circuit_stays_open_until_somebody_closes_it(world):
    circuit = world.circuit(failure_threshold=1)
    circuit.disable_expiry()
    fail(circuit)
    world.clock.advance(1e9)
    assert circuit._breaker.tick() is None
    assert (circuit.state, circuit.status().retry_after) == (State.OPEN, math.inf)
    with pytest.raises(CircuitOpenError, match="until somebody"):
        circuit.call(int)
    circuit.close_circuit()
    assert circuit.available()


@pytest.mark.parametrize("bad", [0, -1, math.inf, "60", None])
def test_a_wrong_expiry_is_refused(world, bad):
    with pytest.raises(ConfigError, match="expiry must be a number of seconds > 0"):
        world.circuit().set_expiry(bad)


# The expiry as a function


@requirement("BR-06")
def test_a_function_says_how_long_the_circuit_stays_open(world, records):
    asked = []

    def strategy(attempt, last_failure):
        asked.append((attempt, last_failure.reason, last_failure.retry_after))
        return 7.0 * attempt

    circuit = world.circuit(failure_threshold=1, expiry_strategy=strategy, reset_after=1e9)
    circuit.try_acquire().failure("HTTP 503", retry_after=3.0)
    assert circuit.status().retry_after == 7.0
    assert records(circuit)[-1].data["retry_after"] == 7.0
    world.clock.advance(7)
    fail(circuit)
    assert circuit.status().retry_after == 14.0
    assert asked == [(1, "HTTP 503", 3.0), (2, "Timeout", None)]
    assert circuit.why().cause.open_for == 14.0


def test_a_function_sees_the_exception_and_the_circuit_does_not_keep_it(world):
    class Refused(Exception):
        retry_after = 12.0

    circuit = world.circuit(
        failure_threshold=1, expiry_strategy=lambda _n, failure: failure.error.retry_after
    )

    @circuit
    def call():
        raise Refused

    with pytest.raises(Refused):
        call()
    assert circuit.status().retry_after == 12.0
    gc.collect()
    assert not [thing for thing in gc.get_objects() if type(thing) is Refused]


@pytest.mark.parametrize("answer", [None, -1, math.nan, "soon", KeyError("mine")])
def test_a_function_that_fails_leaves_the_policys_expiry(world, answer):
    def strategy(attempt, last_failure):
        if isinstance(answer, Exception):
            raise answer
        return answer

    circuit = world.circuit(failure_threshold=1, expiry=30.0, expiry_strategy=strategy)
    fail(circuit)
    assert circuit.status().retry_after == 30.0


def test_a_function_may_use_the_circuit_and_is_called_without_its_lock(world):
    def strategy(attempt, last_failure):
        assert not circuit._breaker.lock._is_owned()
        assert circuit.state is State.OPEN
        circuit.close_circuit("never mind")
        return 5.0

    circuit = world.circuit(failure_threshold=1, expiry_strategy=strategy)
    fail(circuit)
    assert circuit.state is State.CLOSED


def test_the_events_of_an_opening_stay_in_order_when_the_function_moves_the_circuit(
    world, transitions, records
):
    def strategy(attempt, last_failure):
        circuit.close_circuit("never mind")
        return 5.0

    circuit = world.circuit(failure_threshold=1, expiry_strategy=strategy)
    fail(circuit)
    assert transitions(circuit) == [("closed", "open"), ("open", "closed")]
    assert [record.seq for record in records(circuit)] == [1, 3]


def test_our_own_loop_calls_no_function_of_the_users(world):
    def strategy(attempt, last_failure):
        raise AssertionError("called on the loop")

    circuit = world.circuit(
        failure_threshold=1, slow_after=1.0, expiry=30.0, expiry_strategy=strategy
    )
    hanging = circuit.try_acquire()
    world.clock.advance(1)
    circuit._breaker.tick()
    assert circuit.status().retry_after == 30.0
    hanging.ignore()


@requirement("BR-06")
def test_the_row_of_openings_ends_when_the_circuit_was_closed_for_long_enough(world):
    circuit = world.circuit(
        failure_threshold=1,
        expiry=10.0,
        expiry_strategy="progressive",
        jitter=0.0,
        reset_after=100.0,
    )

    def open_and_recover(healthy):
        fail(circuit)
        seconds = circuit.status().retry_after
        world.clock.advance(seconds)
        circuit.try_acquire().success()
        world.clock.advance(healthy)
        return seconds

    assert [open_and_recover(99), open_and_recover(50), open_and_recover(100)] == [10, 20, 40]
    assert open_and_recover(0) == 10


# Storing and restoring


def stored(circuit):
    return json.loads(json.dumps(circuit.dump()))


@requirement("BR-30")
def test_an_open_circuit_goes_on_with_what_remains_of_its_open_time(world):
    circuit = world.circuit(failure_threshold=2, expiry=60.0)
    fail(circuit, 2)
    world.clock.advance(10)
    kept = stored(circuit)
    world.posix += 20
    heir = world.circuit("heir", failure_threshold=2)
    heir.load(kept)
    status = heir.status()
    assert (status.state, status.retry_after, status.reason) == (State.OPEN, 30.0, "Timeout")
    assert status.failure_count == 2
    assert status.opened_at == circuit.status().opened_at
    world.clock.advance(30)
    assert heir.state is State.HALF_OPEN


@requirement("BR-30")
def test_a_progression_goes_on(world):
    options = {"failure_threshold": 1, "expiry": 10.0, "jitter": 0.0}
    circuit = world.circuit(expiry_strategy="progressive", **options)
    fail(circuit)
    world.clock.advance(10)
    fail(circuit)
    heir = world.circuit("heir", expiry_strategy="progressive", **options)
    heir.load(stored(circuit))
    world.clock.advance(20)
    fail(heir)
    assert heir.status().retry_after == 40.0


@requirement("BR-30")
def test_probes_that_were_made_before_are_told_when_the_circuit_closes_after_all(world):
    circuit = world.circuit(failure_threshold=1, expiry=10.0)
    fail(circuit)
    for _ in range(2):
        world.clock.advance(10)
        fail(circuit)
    kept = stored(circuit)
    heir = world.circuit("heir", failure_threshold=1)
    heir.load(kept)
    world.clock.advance(10)
    heir.call(int)
    record = heir._breaker.log.take()[-1]
    assert (record.data["new_state"], record.data["attempts"]) == (State.CLOSED, 3)
    assert stored(heir)["attempts"] == 0
    del kept["attempts"]  # as it was stored before there was a word for it
    heir.load(kept)
    assert heir.state is State.OPEN


@requirement("BR-30")
@pytest.mark.parametrize("state", State)
def test_every_state_is_restored(world, state):
    circuit = world.circuit(failure_threshold=5)
    fail(circuit, 3)
    if state in FORCED:
        getattr(circuit, FORCED[state])()
    elif state is not State.CLOSED:
        circuit.open_circuit(expires_in=10)
    if state is State.HALF_OPEN:
        world.clock.advance(10)
        circuit._breaker.tick()
    heir = world.circuit("heir", failure_threshold=5)
    heir.load(stored(circuit))
    assert heir.state is state
    if state is State.CLOSED:
        assert heir.status().failure_count == 3
        fail(heir, 2)
        assert heir.state is State.OPEN


@requirement("BR-30")
def test_isolation_is_not_stored_and_what_is_below_it_is(world):
    circuit = world.circuit(failure_threshold=1, expiry=60.0)
    fail(circuit)
    with circuit.isolate():
        kept = stored(circuit)
    assert (kept["state"], kept["remaining"]) == ("open", 60.0)


@requirement("BR-30")
def test_a_disabled_expiry_is_restored(world):
    circuit = world.circuit(failure_threshold=1)
    circuit.disable_expiry()
    fail(circuit)
    heir = world.circuit("heir", failure_threshold=1)
    heir.load(stored(circuit))
    world.clock.advance(1e9)
    assert heir.state is State.OPEN
    heir.reset_expiry()
    assert heir.state is State.HALF_OPEN


@pytest.mark.parametrize(
    "change",
    [{"version": 2}, {"state": "ajar"}, {"remaining": "long"}, {"opens": None}, {"state": 5}],
)
def test_what_was_not_stored_by_us_is_refused(world, change):
    kept = {**stored(world.circuit()), **change}
    with pytest.raises(ConfigError, match="stored"):
        world.circuit("heir").load(kept)
    with pytest.raises(ConfigError, match="stored"):
        world.circuit("third").load({})


# Why


@requirement("BR-13")
def test_the_evidence_tells_the_rule_the_failures_and_the_wait(world):
    circuit = world.circuit(failure_threshold=3, expiry=60.0)
    for reason in ("a", "b", "c"):
        circuit.try_acquire().failure(reason)
    why = circuit.why()
    assert why.state is State.OPEN
    assert why.cause.rule == "3 failures in a row"
    assert [incident.reason for incident in why.incidents] == ["a", "b", "c"]
    text = str(why)
    assert "payment_api is open since" in text
    assert "next probe: in 60.0 s" in text
    assert "Opens after 3 failures in a row." in text


def test_a_row_of_failures_that_a_success_has_ended_is_no_evidence(world):
    circuit = world.circuit(failure_threshold=2)
    circuit.failure("long ago")
    circuit.success()
    assert circuit.why().incidents == ()
    for reason in ("a", "b"):
        circuit.failure(reason)
    assert circuit.state is State.OPEN
    assert [incident.reason for incident in circuit.why().incidents] == ["a", "b"]


def test_what_a_window_may_still_count_is_evidence_though_a_call_has_succeeded_since(world):
    circuit = world.circuit(trip=CountWindow(size=4, rate=0.5, minimum=4))
    circuit.failure("a")
    circuit.success()
    circuit.failure("b")
    circuit.success()
    assert [incident.reason for incident in circuit.why().incidents] == ["a", "b"]


def test_a_closed_circuit_keeps_no_evidence_of_what_is_over(world):
    circuit = world.circuit(failure_threshold=1, expiry=60.0)
    fail(circuit)
    world.clock.advance(60)
    circuit.try_acquire().success()
    why = circuit.why()
    assert (why.state, why.reason, why.cause, why.incidents) == (
        State.CLOSED, "probe succeeded", None, (),
    )  # fmt: skip


# Configuration


@requirement("BR-24")
def test_changed_options_are_told(watched, records):
    circuit = watched.circuit(failure_threshold=3)
    circuit._breaker.reconfigure(Policy(failure_threshold=3, expiry=5.0), {})
    assert records(circuit)[-1].events == ("configured",)
    assert records(circuit)[-1].data["changed"] == [
        "expiry", "initial_expiry", "max_expiry", "half_open_timeout",
    ]  # fmt: skip


# Orders that meet a circuit while somebody holds it


@requirement("BR-13")
def test_a_handle_from_before_a_new_registration_releases_nobody_elses(world):
    catalogue = Catalogue(world.shared)
    old = catalogue.circuit("search").isolate("before")
    catalogue.unregister("search")
    circuit = catalogue.circuit("search")
    held = circuit.isolate("after")
    old.release()
    assert (circuit.state, circuit.available()) == (State.FORCED_OPEN, False)
    held.release()
    assert circuit.state is State.CLOSED


@requirement("BR-13", "BR-30")
@pytest.mark.parametrize("passed", [0.0, 60.0])
def test_what_is_loaded_into_an_isolated_circuit_holds_when_it_is_let_go(world, passed):
    opened = world.circuit("opened")
    opened.open_circuit()
    world.clock.advance(passed)
    opened._breaker.tick()
    circuit = world.circuit()
    with circuit.isolate():
        circuit.load(opened.dump())
        assert circuit.state is State.FORCED_OPEN
    assert circuit.state is opened.state
    assert circuit.status().retry_after == opened.status().retry_after


@requirement("BR-13")
def test_an_expiry_that_is_set_meanwhile_holds_when_an_isolated_circuit_is_let_go(world):
    circuit = world.circuit()
    circuit.open_circuit()
    world.clock.advance(10.0)
    with circuit.isolate():
        circuit.set_expiry(100.0)
    assert circuit.status().retry_after == 90.0
    with circuit.isolate():
        circuit.disable_expiry()
    world.clock.advance(1e9)
    assert circuit.state is State.OPEN
    with circuit.isolate():
        circuit.reset_expiry()
    assert circuit.state is State.HALF_OPEN


@requirement("BR-13", "BR-22")
def test_no_probe_goes_out_while_somebody_holds_the_circuit(world):
    circuit = world.circuit()
    with circuit.isolate():
        set_state(circuit, "half_open")
        assert circuit.try_acquire() is None
    assert circuit.state is State.HALF_OPEN


@requirement("BR-30")
def test_a_row_of_failures_goes_on_where_it_was_stored_also_if_calls_are_timed(world):
    before = world.circuit(slow_after=1.0, failure_threshold=3)
    fail(before, 2)
    circuit = world.circuit(slow_after=1.0, failure_threshold=3)
    circuit.load(before.dump())
    fail(circuit)
    assert circuit.state is State.OPEN
