"""Get or create, and everything that may race with it."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from brama.circuits import (
    Catalogue,
    Circuit,
    ConsecutiveFailures,
    CountWindow,
    Policy,
    Shared,
    State,
    UnknownConnectionError,
    any_of,
)
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Shared())


@requirement("B20")
def test_eight_threads_that_ask_at_once_get_one_circuit():
    for _ in range(100):
        catalogue = Catalogue(Shared())
        start, found = threading.Barrier(8), []

        def ask(catalogue=catalogue, start=start, found=found) -> None:
            start.wait(10)
            found.append(catalogue.circuit("search", failure_threshold=2))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({id(circuit) for circuit in found}) == 1
        assert len(catalogue) == 1


def test_the_same_or_no_options_give_the_same_circuit(catalogue):
    circuit = catalogue.circuit("search", failure_threshold=2)
    assert catalogue.circuit("search") is circuit
    assert catalogue.circuit("search", max_attempts=2) is circuit
    assert catalogue.circuit("search", policy=Policy(failure_threshold=2)) is circuit


@requirement("BR-03")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"failure_threshold": 3},
            "failure_threshold of circuit 'search' must be 2, which it has, got: 3. "
            "Change it with brama.configure(), or leave the option out here.",
        ),
        ({"policy": Policy()}, "the policy of circuit 'search' must be the one it has"),
        ({"policy": Policy(), "expiry": 1.0}, "policy must be given alone"),
        ({"policy": 5}, "policy must be a brama.Policy, got: 5"),
        ({"metadata": 5}, "metadata must be a mapping"),
        ({"failure_treshold": 3}, "Did you mean 'failure_threshold'?"),
        ({"expiry": -1}, "expiry must be a number of seconds > 0, got: -1"),
        ({"scope": ""}, "scope must be 1 to 255 printable characters"),
        ({"scope": "  "}, "scope must be 1 to 255 printable characters, and not blanks alone"),
        ({"metadata": {"team": "b"}}, "metadata of circuit 'search' must be {}, which it has"),
        ({"max_attempts": 2, "failure_threshold": 3}, "max_attempts is another word for it"),
        ({"expiry": len}, "expiry_strategy of circuit 'search' must be 'fixed', which it has"),
    ],
)
def test_what_contradicts_or_is_wrong_is_refused_where_it_is_given(catalogue, options, says):
    catalogue.circuit("search", failure_threshold=2)
    with pytest.raises(ConfigError) as caught:
        catalogue.circuit("search", **options)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 256, 5, None])
@requirement("BR-03", "B17")
def test_a_wrong_name_is_refused(catalogue, name):
    with pytest.raises(ConfigError, match="name must be"):
        catalogue.circuit(name)
    assert len(catalogue) == 0


@requirement("B19", "EV-07")
def test_scopes_do_not_mix(catalogue):
    keys = [(None, "a:b"), ("a", "b"), ("a:b", "b"), (None, "b"), ("a", "a:b")]
    circuits = [catalogue.circuit(name, scope=scope) for scope, name in keys]
    assert len({id(circuit._breaker) for circuit in circuits}) == len(keys)
    circuits[1].open_circuit()
    assert [c.state for c in circuits].count(State.OPEN) == 1
    assert catalogue.unregister("b", scope="a")
    assert catalogue.find("b") is circuits[3]
    assert catalogue.find("b", scope="a") is None


def test_what_is_not_there_is_not_found(catalogue):
    assert catalogue.find("search") is None
    assert catalogue.unregister("search") is False
    with pytest.raises(UnknownConnectionError, match="search"):
        catalogue.get("search")
    with pytest.raises(UnknownConnectionError):
        catalogue.configure("search", expiry=5)


@requirement("BR-01")
def test_strictly_to_unregister_the_unknown_is_an_error_that_names_it(catalogue):
    with pytest.raises(UnknownConnectionError, match=r"'search' is registered in scope 'shop'"):
        catalogue.unregister("search", scope="shop", strict=True)
    catalogue.circuit("search", scope="shop")
    assert catalogue.unregister("search", scope="shop", strict=True)


@requirement("B20")
def test_a_guarded_function_registers_its_circuit_again(catalogue):
    circuit = catalogue.circuit("search", failure_threshold=2, expiry=5.0)
    guarded = circuit(lambda: "served")
    breaker = circuit._breaker
    circuit.open_circuit()
    catalogue.unregister("search")
    assert catalogue.find("search") is None
    assert guarded() == "served"
    again = catalogue.get("search")
    assert again._breaker is breaker
    assert again._breaker.policy == Policy(failure_threshold=2, expiry=5.0)


def test_there_is_never_more_than_one_breaker_for_a_key(catalogue):
    guarded = catalogue.circuit("search")(lambda: None)
    catalogue.unregister("search")
    asked = catalogue.circuit("search", failure_threshold=9)
    guarded()
    assert catalogue.get("search") is asked
    assert asked.status().successes == 1


def test_registering_calling_and_unregistering_at_once_breaks_no_call(catalogue):
    guarded = catalogue.circuit("search")(lambda: "served")
    stop, answers, errors = threading.Event(), [0], []

    def call() -> None:
        try:
            while not stop.is_set():
                assert guarded() == "served"
                answers[0] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        catalogue.unregister("search")
        catalogue.circuit("search")
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert answers[0] > 0
    assert len(catalogue) == 1


@requirement("B11")
def test_configuring_one_option_leaves_the_others_and_the_state(catalogue):
    circuit = catalogue.circuit("search", failure_threshold=3, expiry=5.0)
    circuit.failure()
    catalogue.configure("search", expiry=7.0)
    status = circuit.status()
    assert (status.failure_threshold, status.expiry, status.failure_count) == (3, 7.0, 1)
    assert circuit._breaker.policy.half_open_timeout == 7.0


def test_metadata_may_be_repeated_and_left_out(catalogue):
    circuit = catalogue.circuit("search", metadata={"team": "a"})
    assert catalogue.circuit("search", metadata={"team": "a"}) is circuit
    assert catalogue.circuit("search") is circuit
    with pytest.raises(ConfigError, match=r"must be \{'team': 'a'\}, which it has, got: \{\}"):
        catalogue.circuit("search", metadata={})
    assert circuit.status().metadata == {"team": "a"}


@pytest.mark.parametrize("word", ["expiry", "expiry_strategy"])
def test_a_function_as_the_expiry_may_be_repeated_in_either_spelling(catalogue, word):
    def longer(attempt: int, _outcome: object) -> float:
        return 10.0 * attempt

    def other(_attempt: int, _outcome: object) -> float:
        return 1.0

    circuit = catalogue.circuit("search", failure_threshold=1, expiry=longer)
    assert catalogue.circuit("search", **{word: longer}) is circuit
    with pytest.raises(ConfigError, match="expiry_strategy of circuit 'search'"):
        catalogue.circuit("search", **{word: other})
    circuit.failure()
    assert circuit.status().retry_after == pytest.approx(10.0, abs=1.0)


def test_a_function_as_the_expiry_replaces_the_strategy_of_the_defaults_and_the_other_way_round():
    def shortly(_attempt: int, _outcome: object) -> float:
        return 1.0

    catalogue = Catalogue(Shared(), lambda: {"expiry_strategy": "progressive"})
    assert catalogue.circuit("search", expiry=shortly).policy.expiry_strategy is shortly
    catalogue.configure("search", expiry_strategy="fixed")
    assert catalogue.get("search").policy.expiry_strategy == "fixed"
    assert catalogue.get("search").policy.expiry == 60.0


def test_two_words_for_one_option_may_say_the_same(catalogue):
    circuit = catalogue.circuit("search", max_attempts=2, failure_threshold=2)
    assert circuit.status().failure_threshold == 2


def test_a_circuit_is_not_made_by_its_class():
    with pytest.raises(TypeError, match=r"made by brama.circuit\(name, ...\).* got: 'search'"):
        Circuit("search")


@pytest.mark.parametrize("given", [Fraction(5, 2), Decimal("2.5"), timedelta(seconds=2.5)])
def test_seconds_may_be_any_real_number(catalogue, given):
    assert catalogue.circuit("search", expiry=given).policy.expiry == 2.5


@pytest.mark.parametrize("given", [timedelta(seconds=-1), Decimal("NaN"), Decimal("sNaN"), "5"])
def test_an_error_shows_the_duration_as_it_was_given(catalogue, given):
    with pytest.raises(ConfigError) as caught:
        catalogue.circuit("search", expiry=given)
    assert caught.value.got is given


@requirement("B2")
def test_an_option_of_the_circuit_goes_before_the_defaults():
    defaults = {"failure_threshold": 2, "expiry": 5.0}
    catalogue = Catalogue(Shared(clock=time.monotonic), lambda: defaults)
    circuit = catalogue.circuit("search", expiry=9.0)
    assert (circuit.status().failure_threshold, circuit.status().expiry) == (2, 9.0)
    catalogue.configure("search", success_threshold=2)
    assert (circuit.status().failure_threshold, circuit.status().expiry) == (2, 9.0)


def test_a_policy_given_whole_does_not_follow_the_defaults():
    catalogue = Catalogue(Shared(), lambda: {"failure_threshold": 2})
    assert catalogue.circuit("search", policy=Policy(expiry=9.0)).status().failure_threshold == 5


def test_thousands_that_were_unregistered_leave_nothing_behind(catalogue):
    for number in range(2000):
        catalogue.circuit(f"c{number}", expiry=1 + number)
        assert catalogue.unregister(f"c{number}")
    assert len(catalogue) == 0
    assert len(catalogue._gone) == 0
    assert len(catalogue._policies) <= 256


def test_registered_circuits_can_be_listed_while_others_register(catalogue):
    for number in range(10):
        catalogue.circuit(f"c{number}")
    for number, _circuit in enumerate(catalogue):
        catalogue.circuit(f"more {number}")
    assert len(catalogue) == 20


@requirement("BR-R01")
def test_a_call_from_before_a_registration_is_not_in_the_counts_of_the_next(catalogue):
    old = catalogue.circuit("search", failure_threshold=1).try_acquire()
    catalogue.unregister("search")
    again = catalogue.circuit("search", failure_threshold=1)
    old.failure("from another life")
    status = again.status()
    assert (status.state, status.failures, status.late, status.in_flight) == (State.CLOSED, 0, 0, 0)


@requirement("BR-24")
@pytest.mark.parametrize(
    ("before", "change"),
    [
        ({}, {"slow_after": 2.0}),
        ({"slow_after": 2.0}, {"slow_after": None}),
        ({"slow_after": 2.0}, {"slow_after": 3.0}),
        ({"slow_after": 2.0}, {"failure_threshold": 4}),
        ({}, {"trip": any_of(ConsecutiveFailures(5), CountWindow())}),
    ],
)
def test_a_row_of_failures_goes_on_under_changed_rules(catalogue, before, change):
    circuit = catalogue.circuit("search", **before)
    for _ in range(3):
        circuit.failure()
    catalogue.configure("search", **change)
    assert circuit.status().failure_count == 3
    for _ in range(circuit.status().failure_threshold - 4):
        circuit.failure()
    assert circuit.state is State.CLOSED
    circuit.failure()
    assert circuit.state is State.OPEN


def test_a_success_under_changed_rules_ends_the_row(catalogue):
    circuit = catalogue.circuit("search", failure_threshold=3)
    circuit.failure()
    circuit.failure()
    catalogue.configure("search", slow_after=2.0)
    circuit.success()
    circuit.failure()
    assert (circuit.state, circuit.status().failure_count) == (State.CLOSED, 1)


def test_a_wrong_option_pins_nothing(catalogue):
    with pytest.raises(ConfigError):
        catalogue.circuit("search", pinned=True, expiry=-1)
    circuit = catalogue.circuit("search")
    assert catalogue.remove_idle(circuit, 0.0)


def test_a_copy_of_what_holds_a_circuit_guards_the_same_connection(catalogue):
    circuit = catalogue.circuit("search")
    assert copy.deepcopy({"circuit": circuit})["circuit"] is circuit
    assert copy.copy(circuit) is circuit
    with pytest.raises(TypeError, match="belongs to its process and does not pickle"):
        pickle.dumps(circuit)


def test_a_call_that_revives_a_circuit_and_hangs_is_looked_at(catalogue):
    circuit = catalogue.circuit("search", slow_after=2.0)
    catalogue.unregister("search")
    rings = []
    catalogue.shared.bell = rings.append
    assert circuit.try_acquire() is not None
    assert circuit._breaker in rings
    assert 1.5 < circuit._breaker.tick() <= 2.0


def test_a_function_as_expiry_is_an_option_like_any_other(catalogue):
    def three(_attempt, _outcome):
        return 3.0

    circuit = catalogue.circuit("search", expiry=three)
    assert catalogue.circuit("search", expiry=three) is circuit
    assert catalogue.circuit("search", expiry_strategy=three) is circuit
    with pytest.raises(ConfigError, match="expiry_strategy of circuit 'search'"):
        catalogue.circuit("search", expiry=lambda _attempt, _outcome: 4.0)
    catalogue.configure("search", expiry_strategy="fixed")
    assert circuit.policy.expiry_strategy == "fixed"
    catalogue.configure("search", expiry=three)
    assert circuit.policy.expiry_strategy is three
