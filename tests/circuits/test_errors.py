"""What a circuit raises."""

from __future__ import annotations

import pickle
import threading
import traceback

import pytest

from brama.circuits import CircuitOpenError, State, UnknownConnectionError
from brama.telemetry import BramaError, ConfigError

requirement = pytest.mark.requirement


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ("search", None, State.OPEN, 12.34, "Timeout"),
            "circuit search is open after: Timeout; the call was not made, "
            "the next probe is admitted in 12.3 s",
        ),
        (
            ("search", "shop", State.OPEN, 0.0, None),
            "circuit search (shop) is open; the call was not made, "
            "the next probe is admitted in 0.0 s",
        ),
        (
            ("search", None, State.HALF_OPEN, 5.0, "Timeout"),
            "circuit search is half_open after: Timeout; the call was not made, "
            "a probe decides; wait for its outcome",
        ),
        (
            ("search", None, State.FORCED_OPEN, float("inf"), "deploy"),
            "circuit search is forced_open after: deploy; the call was not made, "
            "and none is until somebody closes the circuit",
        ),
    ],
)
def test_a_refusal_tells_which_circuit_why_and_how_long(arguments, text):
    assert str(CircuitOpenError(*arguments)) == text


def test_the_refusals_of_a_half_open_circuit_tell_when_the_probe_is_given_up(world):
    circuit = world.half_open(half_open_timeout=8.0)
    probe = circuit.try_acquire()
    world.clock.advance(3)
    with pytest.raises(CircuitOpenError) as caught:
        circuit.call(pytest.fail)
    assert (caught.value.state, caught.value.retry_after) == (State.HALF_OPEN, 5.0)
    probe.ignore()


@pytest.mark.parametrize(
    "error",
    [
        CircuitOpenError("search", "shop", State.OPEN, 1.5, "Timeout"),
        UnknownConnectionError("search", "shop"),
        UnknownConnectionError("search"),
        ConfigError("expiry", "a number", -1, hint="Try 60."),
    ],
)
def test_errors_pickle(error):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        restored = pickle.loads(pickle.dumps(error, protocol))
        assert type(restored) is type(error)
        assert str(restored) == str(error)
        assert restored.args == error.args


def test_a_pickled_refusal_has_its_attributes():
    error = pickle.loads(
        pickle.dumps(CircuitOpenError("search", "shop", State.OPEN, 1.5, "Timeout"))
    )
    assert (error.connection, error.scope, error.state) == ("search", "shop", State.OPEN)
    assert (error.retry_after, error.reason) == (1.5, "Timeout")


def test_an_exception_that_a_circuit_has_counted_pickles(world):
    circuit = world.circuit()
    error = OSError("down")
    with pytest.raises(OSError), circuit.guard():
        raise error
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        restored = pickle.loads(pickle.dumps(error, protocol))
        assert (type(restored), restored.args) == (OSError, ("down",))


@requirement("BR-R09")
@pytest.mark.parametrize("state", ["open", "half_open"])
def test_every_refusal_is_an_exception_of_its_own(world, state):
    circuit = world.circuit()
    circuit.open_circuit()
    probe = None
    if state == "half_open":
        world.clock.advance(60)
        probe = circuit.try_acquire()
    call = circuit(lambda: None)
    errors = []
    for _ in range(200):
        with pytest.raises(CircuitOpenError) as caught:
            call()
        errors.append(caught.value)
    assert len(set(map(id, errors))) == 200
    assert len(traceback.extract_tb(errors[-1].__traceback__)) == len(
        traceback.extract_tb(errors[0].__traceback__)
    )
    if probe is not None:
        probe.ignore()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            UnknownConnectionError("search"),
            "no connection 'search' is registered; register it first: brama.circuit('search')",
        ),
        (
            UnknownConnectionError("search", "shop"),
            "no connection 'search' is registered in scope 'shop'; "
            "register it first: brama.circuit('search', scope='shop')",
        ),
    ],
)
def test_an_unknown_connection_tells_how_to_register_it(error, text):
    assert str(error) == text
    assert isinstance(error, LookupError)


def test_every_error_is_a_brama_error():
    for kind in (CircuitOpenError, UnknownConnectionError, ConfigError):
        assert issubclass(kind, BramaError)


def test_a_config_error_over_a_value_that_does_not_pickle_pickles_all_the_same():
    error = ConfigError("expiry", "a number", threading.Lock())
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
