"""The options of a policy: their defaults, their bounds, what follows from what."""

from __future__ import annotations

import asyncio
import math
import pickle
import re
from datetime import timedelta

import attrs
import pytest

from brama.circuits import (
    OPTIONS,
    ConsecutiveFailures,
    CountWindow,
    Policy,
    TimeWindow,
    any_of,
    check_name,
    check_options,
    check_scope,
    merge,
    seconds,
    whole,
)
from brama.telemetry import BramaError, ConfigError

requirement = pytest.mark.requirement


def test_the_defaults():
    policy = Policy()
    assert {option: getattr(policy, option) for option in OPTIONS} == {
        "trip": ConsecutiveFailures(5),
        "failure_threshold": 5,
        "slow_after": None,
        "slow_rate": 1.0,
        "expiry": 60.0,
        "expiry_strategy": "fixed",
        "initial_expiry": 60.0,
        "max_expiry": 600.0,
        "backoff_factor": 2.0,
        "jitter": 0.1,
        "reset_after": 0.0,
        "half_open_max_calls": 1,
        "success_threshold": 1,
        "failure_threshold_half_open": 1,
        "half_open_timeout": 60.0,
        "half_open_wait": 0.0,
        "ignore": (),
        "record": (Exception,),
        "record_result": None,
        "classify": None,
        "cancel_counts_after": None,
        "stall_after": None,
        "health_check": None,
        "health_interval": 5.0,
        "health_timeout": 2.5,
        "initial_state": "closed",
    }


@requirement("B12")
def test_what_follows_from_the_expiry_follows_it():
    policy = Policy(expiry=7)
    assert (policy.initial_expiry, policy.max_expiry, policy.half_open_timeout) == (7.0, 70.0, 7.0)


@requirement("B12")
@pytest.mark.parametrize("option", ["initial_expiry", "max_expiry", "half_open_timeout"])
def test_what_follows_from_the_expiry_may_be_given_instead(option):
    assert getattr(Policy(expiry=7, **{option: 33}), option) == 33.0


SECONDS = "a number of seconds > 0"
WHOLE = "a whole number >= 1"
BAD_SECONDS = [0, -1, -0.1, math.nan, math.inf, "60", True, timedelta(0), timedelta(seconds=-1)]
BAD_WHOLE = [0, -1, 1.0, "5", None, True]
BAD_SECONDS_OR_ZERO = [bad for bad in BAD_SECONDS if bad not in (0, timedelta(0))]
SECONDS_OR_ZERO = "a number of seconds >= 0"
KINDS = "exception classes, or functions of an exception"
FUNCTION = "a function of one argument"
BAD = {
    "trip": (
        "ConsecutiveFailures, CountWindow, TimeWindow, any_of(...) or an object with watch()",
        [5, "window", CountWindow, object(), [CountWindow()]],
    ),
    "slow_after": (SECONDS, BAD_SECONDS),
    "slow_rate": ("a number above 0 and up to 1", [0, -1, 1.1, math.nan, "1", True, None]),
    "reset_after": (SECONDS_OR_ZERO, [*BAD_SECONDS_OR_ZERO, None]),
    "failure_threshold_half_open": (WHOLE, BAD_WHOLE),
    "half_open_wait": (SECONDS_OR_ZERO, [*BAD_SECONDS_OR_ZERO, None]),
    "record_result": (FUNCTION, [5, "failure"]),
    "classify": (FUNCTION, [5, "failure"]),
    "cancel_counts_after": (SECONDS_OR_ZERO, BAD_SECONDS_OR_ZERO),
    "stall_after": (SECONDS, BAD_SECONDS),
    "health_check": ("a function without arguments, plain or async", [5, "ping"]),
    "health_interval": (SECONDS, [*BAD_SECONDS, None]),
    "health_timeout": (SECONDS, BAD_SECONDS),
    "initial_state": (
        "one of closed, forced_open, disabled, metrics_only",
        ["open", "half_open", "shut", None, 5],
    ),
    "failure_threshold": (WHOLE, [bad for bad in BAD_WHOLE if bad is not None]),
    "expiry": (SECONDS, [*BAD_SECONDS, None]),
    "expiry_strategy": ("one of fixed, progressive", ["fast", "Fixed", None, 1]),
    "initial_expiry": (SECONDS, BAD_SECONDS),
    "max_expiry": (SECONDS, BAD_SECONDS),
    "backoff_factor": ("a number >= 1", [0.99, 0, -2, math.nan, math.inf, "2", True, None]),
    "jitter": ("a number from 0 to 1", [-0.1, 1.1, math.nan, "0.1", True, None]),
    "half_open_max_calls": (WHOLE, BAD_WHOLE),
    "success_threshold": (WHOLE, BAD_WHOLE),
    "half_open_timeout": (SECONDS, BAD_SECONDS),
    "ignore": (KINDS, [5, "OSError", int, [OSError, 5], OSError("x")]),
    "record": (KINDS, [5, "OSError", int, (OSError, object), None]),
}


def test_the_bounds_of_every_option_are_tested():
    assert set(BAD) == set(OPTIONS)


@requirement("BR-03", "B17")
@pytest.mark.parametrize(
    ("option", "expected", "got"),
    [(option, expected, got) for option, (expected, bad) in BAD.items() for got in bad],
)
def test_a_value_out_of_bounds_is_refused_by_name_bound_and_value(option, expected, got):
    with pytest.raises(
        ConfigError, match=f"^{option} must be {re.escape(expected)}, got: {re.escape(repr(got))}"
    ) as caught:
        Policy(**{option: got})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BramaError)


@requirement("BR-03")
def test_a_time_may_be_a_timedelta():
    policy = Policy(
        expiry=timedelta(minutes=1.5),
        max_expiry=timedelta(hours=1),
        initial_expiry=timedelta(seconds=2),
        half_open_timeout=timedelta(milliseconds=500),
    )
    assert (policy.expiry, policy.max_expiry) == (90.0, 3600.0)
    assert (policy.initial_expiry, policy.half_open_timeout) == (2.0, 0.5)


@requirement("BR-03", "B17")
@pytest.mark.parametrize(
    "options",
    [
        {"initial_expiry": 10, "max_expiry": 9},
        {"expiry": 10, "max_expiry": 9},
        {"initial_expiry": 601},
    ],
)
def test_options_that_contradict_each_other_are_refused(options):
    with pytest.raises(
        ConfigError, match=r"max_expiry must be at least initial_expiry \(\d+\.0 s\), got:"
    ):
        Policy(**options)


@pytest.mark.parametrize(
    ("kinds", "stored"),
    [
        (OSError, (OSError,)),
        ([OSError, ValueError], (OSError, ValueError)),
        ((KeyboardInterrupt,), (KeyboardInterrupt,)),
        ((), ()),
    ],
)
def test_exceptions_may_be_one_class_or_several(kinds, stored):
    assert Policy(ignore=kinds).ignore == stored
    assert Policy(record=kinds).record == stored


def test_a_policy_is_frozen_comparable_and_pickles():
    policy = Policy(failure_threshold=3, ignore=OSError)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        policy.expiry = 1.0
    assert policy == Policy(failure_threshold=3, ignore=[OSError])
    assert hash(policy) == hash(Policy(failure_threshold=3, ignore=[OSError]))
    assert pickle.loads(pickle.dumps(policy)) == policy


def test_options_are_named_never_positional():
    with pytest.raises(TypeError):
        Policy(5)


def test_the_word_of_the_elixir_library_is_understood():
    assert check_options({"max_attempts": 3, "expiry": 1}) == {"failure_threshold": 3, "expiry": 1}


@requirement("BR-03", "B17")
def test_an_unknown_option_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match="Did you mean 'failure_threshold'") as caught:
        check_options({"failure_treshold": 3})
    assert "failure_treshold" in str(caught.value)
    assert "half_open_max_calls" in str(caught.value)


def test_consecutive_failures_are_written_in_two_ways():
    policy = Policy(failure_threshold=3)
    assert policy == Policy(trip=ConsecutiveFailures(3))
    assert policy.trip == ConsecutiveFailures(3)
    assert Policy(trip=ConsecutiveFailures(3)).failure_threshold == 3


@pytest.mark.parametrize(
    ("trip", "fewest"),
    [
        (CountWindow(size=100, rate=0.5, minimum=10), 5),
        (TimeWindow(seconds=1, rate=0.1, minimum=10), 1),
        (CountWindow(size=100, rate=0.01, minimum=10), 1),
        (any_of(ConsecutiveFailures(3), CountWindow()), 3),
    ],
)
def test_the_threshold_of_another_trip_is_the_fewest_failures_that_open(trip, fewest):
    assert Policy(trip=trip).failure_threshold == fewest


def test_a_threshold_beside_another_trip_is_refused():
    with pytest.raises(ConfigError, match="failure_threshold must be left out beside another trip"):
        Policy(trip=CountWindow(), failure_threshold=3)


def test_of_two_spellings_in_two_layers_the_later_holds():
    assert merge({"failure_threshold": 3}, {"trip": CountWindow()}) == {"trip": CountWindow()}
    assert merge({"trip": CountWindow()}, {"failure_threshold": 3}) == {"failure_threshold": 3}
    assert merge({"trip": CountWindow()}, {"expiry": 3}) == {"trip": CountWindow(), "expiry": 3}


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CountWindow(size=0), "size must be a whole number >= 1, got: 0"),
        (lambda: CountWindow(size="9"), "size must be a whole number >= 1, got: '9'"),
        (lambda: CountWindow(rate=0), "rate must be a number above 0 and up to 1, got: 0"),
        (lambda: CountWindow(rate=50), "rate must be a number above 0 and up to 1, got: 50"),
        (lambda: CountWindow(size=5, minimum=6), "minimum must be at most size (5), got: 6"),
        (lambda: TimeWindow(seconds=0), "seconds must be a number of seconds > 0, got: 0"),
        (lambda: TimeWindow(buckets=0), "buckets must be a whole number >= 1, got: 0"),
        (lambda: TimeWindow(minimum=0), "minimum must be a whole number >= 1, got: 0"),
        (lambda: ConsecutiveFailures(0), "failures must be a whole number >= 1, got: 0"),
        (any_of, "any_of must be one condition or more, got: ()"),
        (lambda: any_of(CountWindow(), 5), "trip must be ConsecutiveFailures, CountWindow"),
    ],
)
def test_a_condition_out_of_bounds_is_refused(make, text):
    with pytest.raises(ConfigError, match=re.escape(text)):
        make()


def test_a_small_window_judges_when_it_is_full():
    assert CountWindow(size=4).minimum == 4


def test_conditions_within_conditions_are_one_list():
    rows, window = ConsecutiveFailures(2), CountWindow()
    assert any_of(rows, any_of(window, rows)) == any_of(rows, window, rows)


def test_a_function_as_expiry_is_the_strategy():
    def after(attempt, last_failure):
        return attempt

    policy = Policy(expiry=after)
    assert (policy.expiry, policy.expiry_strategy) == (60.0, after)
    assert Policy(**policy.options()) == policy
    with pytest.raises(ConfigError, match="expiry must be seconds beside an expiry_strategy"):
        Policy(expiry=after, expiry_strategy="progressive")


@requirement("BR-03")
@pytest.mark.parametrize("name", ["payment_api", "a", "ü" * 255, "b:c", "two words"])
def test_names_of_up_to_255_printable_characters_are_accepted(name):
    assert check_name("name", name) == name
    assert check_scope(name) == name


@requirement("BR-03")
@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "\x00"])
def test_other_names_are_refused(name):
    with pytest.raises(
        ConfigError, match="name must be 1 to 255 printable characters, and not blanks"
    ):
        check_name("name", name)


@requirement("BR-03")
@pytest.mark.parametrize("name", [5, b"bytes", ("a", "b")])
def test_a_name_is_text(name):
    with pytest.raises(ConfigError, match="name must be a str, got: "):
        check_name("name", name)
    with pytest.raises(ConfigError, match="scope must be a str, got: "):
        check_scope(name)


def test_no_scope_is_a_scope():
    assert check_scope(None) is None


def test_zero_seconds_are_accepted_where_they_are_meant():
    assert seconds("linger", 0, zero=True) == 0.0
    with pytest.raises(ConfigError, match="linger must be a number of seconds >= 0, got: -1"):
        seconds("linger", -1, zero=True)


def test_a_whole_number_may_have_another_least_value():
    assert whole("workers", 0, least=0) == 0
    with pytest.raises(ConfigError, match="workers must be a whole number >= 2, got: 1"):
        whole("workers", 1, least=2)


async def asks(*_arguments):
    return True


@requirement("BR-03")
@pytest.mark.parametrize(
    "option", ["ignore", "record", "record_result", "classify", "expiry", "expiry_strategy"]
)
def test_a_function_that_would_have_to_be_awaited_is_refused(option):
    with pytest.raises(ConfigError, match="must be a plain function, which is not awaited"):
        Policy(**{option: asks})


@pytest.mark.parametrize("kinds", ["", "OSError", b"x", {}, {OSError: 1}])
def test_kinds_of_exceptions_are_a_list_and_no_text_or_mapping(kinds):
    with pytest.raises(ConfigError, match="exception classes, or functions"):
        Policy(ignore=kinds)


def test_a_policy_that_was_made_on_a_loop_pickles():
    async def make():
        return Policy(expiry=5.0)

    policy = asyncio.run(make())
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert policy.health_loop is None


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("failure_treshold", "Did you mean 'failure_threshold'?"),
        ("max_attempts", "It is called 'failure_threshold' here."),
        ("max_failures", "It is called 'failure_threshold' here."),
        ("recovery_timeout", "It is called 'expiry' here."),
        ("expected_exception", "It is called 'record' here."),
        ("failure_rate_threshold", "Give trip=CountWindow"),
        ("bogus", "must be one of trip,"),
    ],
)
def test_an_option_that_there_is_not_is_a_config_error_and_a_type_error_with_a_hint(word, hint):
    for make in (Policy, lambda **given: attrs.evolve(Policy(), **given)):
        with pytest.raises(ConfigError) as caught:
            make(**{word: 1})
        assert isinstance(caught.value, TypeError)
        assert hint in str(caught.value)


def test_an_option_of_a_window_that_there_is_not_says_what_it_is_called():
    with pytest.raises(ConfigError, match="It is called 'size' here"):
        CountWindow(window_size=5)
    with pytest.raises(ConfigError, match="It is called 'seconds' here"):
        TimeWindow(duration=5)
