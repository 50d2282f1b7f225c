"""Where the values come from, and which goes before which."""

from __future__ import annotations

import os
import threading
from datetime import timedelta

import pytest

import brama
from brama import Settings
from brama import system as module
from brama.circuits import Catalogue, Shared
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


@requirement("B2")
def test_every_variable_is_read():
    settings = Settings.from_environment(
        {
            "BRAMA_FAILURE_THRESHOLD": "3",
            "BRAMA_EXPIRY": " 2.5 ",
            "BRAMA_EXPIRY_STRATEGY": "progressive",
            "BRAMA_INITIAL_EXPIRY": "1",
            "BRAMA_MAX_EXPIRY": "9",
            "BRAMA_BACKOFF_FACTOR": "3",
            "BRAMA_JITTER": "0.5",
            "BRAMA_HALF_OPEN_MAX_CALLS": "2",
            "BRAMA_SUCCESS_THRESHOLD": "4",
            "BRAMA_HALF_OPEN_TIMEOUT": "7",
            "BRAMA_STOP_TIMEOUT": "1.5",
            "HOME": "somewhere",
        }
    )
    assert settings.stop_timeout == 1.5
    assert settings.options == {
        "failure_threshold": 3,
        "expiry": 2.5,
        "expiry_strategy": "progressive",
        "initial_expiry": 1.0,
        "max_expiry": 9.0,
        "backoff_factor": 3.0,
        "jitter": 0.5,
        "half_open_max_calls": 2,
        "success_threshold": 4,
        "half_open_timeout": 7.0,
    }


def test_an_empty_variable_counts_as_unset_and_the_old_word_is_understood():
    settings = Settings.from_environment({"BRAMA_EXPIRY": " ", "BRAMA_MAX_ATTEMPTS": "7"})
    assert settings.options == {"failure_threshold": 7}


@requirement("BR-03", "B17")
@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("BRAMA_EXPIRY", "soon", "BRAMA_EXPIRY must be a number, got: 'soon'"),
        ("BRAMA_EXPIRY", "-1", "BRAMA_EXPIRY must be a number of seconds > 0, got: -1.0"),
        ("BRAMA_EXPIRY", "nan", "BRAMA_EXPIRY must be a number of seconds > 0, got: nan"),
        ("BRAMA_EXPIRY", "inf", "BRAMA_EXPIRY must be a number of seconds > 0, got: inf"),
        ("BRAMA_FAILURE_THRESHOLD", "2.5", "BRAMA_FAILURE_THRESHOLD must be a whole number"),
        ("BRAMA_FAILURE_THRESHOLD", "0", "BRAMA_FAILURE_THRESHOLD must be a whole number >= 1"),
        ("BRAMA_MAX_ATTEMPTS", "0", "BRAMA_MAX_ATTEMPTS must be a whole number >= 1, got: 0"),
        ("BRAMA_JITTER", "2", "BRAMA_JITTER must be a number from 0 to 1, got: 2.0"),
        ("BRAMA_EXPIRY_STRATEGY", "progresive", "Did you mean 'progressive'?"),
        ("BRAMA_STOP_TIMEOUT", "0", "BRAMA_STOP_TIMEOUT must be a number of seconds > 0"),
    ],
)
def test_a_wrong_value_names_the_variable_the_value_and_the_bound(variable, text, says):
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({variable: text})
    assert says in str(caught.value)
    assert variable in str(caught.value)


def test_variables_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="BRAMA_MAX_EXPIRY must be at least initial_expiry"):
        Settings.from_environment({"BRAMA_MAX_EXPIRY": "1", "BRAMA_INITIAL_EXPIRY": "2"})


def test_two_variables_for_one_option_must_say_the_same():
    variables = {"BRAMA_MAX_ATTEMPTS": "2", "BRAMA_FAILURE_THRESHOLD": "2"}
    assert Settings.from_environment(variables).options == {"failure_threshold": 2}
    with pytest.raises(ConfigError, match="BRAMA_MAX_ATTEMPTS must be left out, or the same as"):
        Settings.from_environment({**variables, "BRAMA_FAILURE_THRESHOLD": "3"})


@pytest.mark.parametrize(
    "variables",
    [
        {"BRAMA_MAX_EXPIRY": "9", "BRAMA_EXPIRY": "2.5"},
        {"BRAMA_INITIAL_EXPIRY": "700", "BRAMA_MAX_EXPIRY": "800"},
    ],
)
def test_variables_that_agree_are_not_held_against_the_defaults(variables):
    brama.Policy(**Settings.from_environment(variables).options)


def test_what_concerns_the_cleanup_can_be_read_back():
    settings = Settings()
    assert (settings.cleanup_interval, settings.inactive_threshold) == (10.0, 86400.0)
    settings = Settings(cleanup_interval=timedelta(minutes=1), inactive_threshold=None)
    assert (settings.cleanup_interval, settings.inactive_threshold) == (60.0, None)


def test_an_unknown_variable_is_named_in_a_warning():
    with pytest.warns(UserWarning, match=r"BRAMA_EXPIRI.* Did you mean 'BRAMA_EXPIRY'\?"):
        settings = Settings.from_environment({"BRAMA_EXPIRI": "5"})
    assert settings.options == {}


def test_what_settings_leave_out_follows_the_environment(monkeypatch):
    monkeypatch.setenv("BRAMA_EXPIRY", "7")
    monkeypatch.setenv("BRAMA_FAILURE_THRESHOLD", "3")
    monkeypatch.setenv("BRAMA_STOP_TIMEOUT", "2")
    monkeypatch.setenv("BRAMA_INACTIVE_THRESHOLD", "50")
    settings = Settings(expiry=9.0, inactive_threshold=None)
    assert settings.options == {"expiry": 9.0, "failure_threshold": 3}
    assert (settings.stop_timeout, settings.inactive_threshold) == (2.0, None)
    assert Settings(trip=brama.CountWindow()).options == {
        "expiry": 7.0,
        "trip": brama.CountWindow(),
    }
    alone = Settings(environ={}, expiry=9.0)
    assert (alone.options, alone.stop_timeout) == ({"expiry": 9.0}, 5.0)


def test_an_argument_that_contradicts_a_variable_names_the_variable(monkeypatch):
    monkeypatch.setenv("BRAMA_MAX_EXPIRY", "7")
    with pytest.raises(ConfigError, match="BRAMA_MAX_EXPIRY must be at least initial_expiry"):
        Settings(initial_expiry=9.0)


def test_settings_are_equal_when_all_that_they_come_to_is():
    assert Settings(expiry=2) == Settings(environ={"BRAMA_EXPIRY": "2"})
    assert Settings() != Settings(inactive_threshold=None)
    assert Settings() != 5


def test_the_text_of_settings_shows_every_value():
    text = repr(Settings(expiry=2.0, inactive_threshold=None, testing_mode=True))
    assert text == (
        "Settings(stop_timeout=5.0, cleanup_interval=10.0, inactive_threshold=None, journal=None, "
        "severity=(), when_down='last_known', testing_mode=True, metadata={}, expiry=2.0)"
    )


@requirement("BR-03")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expiri": 5}, "Did you mean 'expiry'?"),
        ({"expiry": 0}, "expiry must be a number of seconds > 0, got: 0"),
        ({"stop_timeout": 0}, "stop_timeout must be"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_given(options, says):
    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert says in str(caught.value)


def test_a_system_takes_settings_and_nothing_else():
    with pytest.raises(ConfigError, match=r"settings must be a brama\.Settings"):
        brama.System({"expiry": 5})


@requirement("BR-02")
def test_nothing_given_is_what_the_documentation_says(monkeypatch):
    for variable in [name for name in os.environ if name.startswith("BRAMA_")]:
        monkeypatch.delenv(variable)
    system = brama.System()
    policy = system.circuit("search").policy
    assert (policy.failure_threshold, policy.expiry, policy.expiry_strategy) == (5, 60.0, "fixed")
    assert (policy.initial_expiry, policy.max_expiry, policy.backoff_factor) == (60.0, 600.0, 2.0)
    assert (policy.half_open_max_calls, policy.success_threshold) == (1, 1)
    assert (policy.half_open_timeout, policy.jitter) == (60.0, 0.1)
    assert (policy.ignore, policy.record) == ((), (Exception,))
    assert brama.Settings().cleanup == {"cleanup_interval": 10.0, "inactive_threshold": 86400.0}
    # What follows from expiry follows from the one that was given.
    other = system.circuit("mail", expiry=2.0).policy
    assert (other.initial_expiry, other.max_expiry, other.half_open_timeout) == (2.0, 20.0, 2.0)


@requirement("B2", "BR-02")
def test_the_circuit_goes_before_configure_before_the_environment_before_the_default(
    monkeypatch,
):
    monkeypatch.setenv("BRAMA_EXPIRY", "2")
    monkeypatch.setenv("BRAMA_FAILURE_THRESHOLD", "2")
    monkeypatch.setenv("BRAMA_SUCCESS_THRESHOLD", "2")
    system = brama.System()
    system.configure(expiry=3, failure_threshold=3)
    policy = system.circuit("search", expiry=4)._breaker.policy
    assert policy.expiry == 4  # the circuit
    assert policy.failure_threshold == 3  # configure
    assert policy.success_threshold == 2  # the environment
    assert policy.half_open_max_calls == 1  # the default
    circuit = system.find("search")
    for _ in range(3):
        circuit.failure()
    assert circuit.state is brama.State.OPEN
    assert 3 < circuit.status().retry_after <= 4


@requirement("B11")
def test_configure_merges_what_is_given_and_touches_no_circuit_that_is_there(system):
    before = system.circuit("before")
    system.configure(expiry=3)
    system.configure(failure_threshold=2)
    after = system.circuit("after")
    assert (before.status().expiry, before.status().failure_threshold) == (60.0, 5)
    assert (after.status().expiry, after.status().failure_threshold) == (3.0, 2)


def test_configure_understands_the_old_word(system):
    system.configure(max_attempts=2)
    assert system.circuit("search").status().failure_threshold == 2


@requirement("BR-03")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"stop_timeout": 3}, "an option of configure() must be one of"),
        ({"cleanup_intervall": 3}, "Did you mean 'cleanup_interval'?"),
        ({"expiri": 3}, "Did you mean 'expiry'?"),
        ({"expiry": -3}, "expiry must be a number of seconds > 0"),
        ({"scope": "shop", "expiry": 3}, "scope must be given together with a name"),
    ],
)
def test_configure_refuses_what_is_wrong_and_changes_nothing(system, arguments, says):
    with pytest.raises(ConfigError) as caught:
        system.configure(**arguments)
    assert says in str(caught.value)
    assert system.circuit("search")._breaker.policy == brama.Policy()


def test_of_two_threads_that_configure_at_once_neither_loses_its_option(monkeypatch):
    system = brama.System(brama.Settings())
    merge = module.merge
    other = threading.Thread(target=system.configure, kwargs={"failure_threshold": 7})

    def slowly(base, more):
        if base is system._configured and "expiry" in more:
            other.start()
            other.join(0.2)  # it waits for us, so that this never succeeds
        return merge(base, more)

    monkeypatch.setattr(module, "merge", slowly)
    system.configure(expiry=3.0)
    other.join()
    policy = system.circuit("api").policy
    assert (policy.expiry, policy.failure_threshold) == (3.0, 7)


def test_a_circuit_that_is_made_while_the_defaults_change_is_the_last_with_the_old_ones():
    defaults = {"expiry": 1.0}
    catalogue = None

    def read():
        former = dict(defaults)
        if defaults["expiry"] == 1.0:
            defaults["expiry"] = 2.0  # another thread, which comes in between
            catalogue.forget_defaults()
        return former

    catalogue = Catalogue(Shared(), read)
    assert catalogue.circuit("first").policy.expiry == 1.0
    assert catalogue.circuit("second").policy.expiry == 2.0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: brama.System(nmae="shop"), "Did you mean 'name'?"),
        (lambda: brama.System(failure_threshold=3), "Settings has it: brama.System(brama.Settings"),
        (lambda: brama.Settings(journl="a.db"), "a setting must be one of"),
        (lambda: brama.System().circuit("api", scop="shop"), "Did you mean 'scope'?"),
    ],
)
def test_an_option_that_there_is_not_is_named_with_the_nearest(make, says):
    with pytest.raises(ConfigError) as caught:
        make()
    assert isinstance(caught.value, TypeError)
    assert says in str(caught.value)
