"""What a policy does to an outage, in virtual time; and in words."""

from __future__ import annotations

import time

import pytest

from brama.circuits import (
    ConsecutiveFailures,
    CountWindow,
    Policy,
    Response,
    Scenario,
    State,
    TimeWindow,
    always_failing,
    any_of,
    explain,
    failing_for,
    healthy,
    intermittent,
    lint,
    simulate,
    slow,
)
from brama.telemetry import ConfigError

requirement = pytest.mark.requirement


@requirement("BR-31")
def test_an_outage_opens_the_circuit_and_the_first_probe_behind_it_closes_it():
    happened = simulate(Policy(failure_threshold=3, expiry=20.0), failing_for(30.0))
    assert [(change.at, change.state) for change in happened.changes] == [
        (11.05, State.OPEN),
        (31.05, State.HALF_OPEN),
        (31.55, State.OPEN),
        (51.55, State.HALF_OPEN),
        (52.05, State.CLOSED),
    ]
    assert happened.count("failure") == 4
    assert sum(call.probe for call in happened.calls) == 2
    assert len(happened.calls) == 240


def test_nothing_happens_to_a_healthy_dependency():
    happened = simulate(Policy(slow_after=1.0), healthy())
    assert (happened.changes, happened.count("success")) == ((), 240)
    assert happened.spans() == ((0.0, 120.0, State.CLOSED),)


def test_a_dependency_that_hangs_opens_the_circuit_before_its_first_answer():
    policy = Policy(trip=CountWindow(size=10, minimum=5), slow_after=1.0, expiry=1000.0)
    assert simulate(policy, slow(60.0)).opened_at == 3.0  # the fifth call is a second old


def test_the_progression_of_the_open_times_shows():
    policy = Policy(
        failure_threshold=1, expiry=10.0, expiry_strategy="progressive", jitter=0.0, max_expiry=40.0
    )
    happened = simulate(policy, always_failing(lasts=200.0))
    stays = [round(end - at) for at, end, state in happened.spans() if state is State.OPEN]
    assert stays[:4] == [10, 20, 40, 40]


def test_the_same_seed_is_the_same_story():
    policy = Policy(failure_threshold=2, expiry_strategy="progressive", expiry=3.0, jitter=0.5)
    stories = [simulate(policy, intermittent(0.4), seed=seed) for seed in (1, 1, 2)]
    assert stories[0] == stories[1] != stories[2]


def test_a_scenario_may_be_a_function_or_a_name():
    assert simulate(Policy(), "always_failing") == simulate(Policy(), always_failing())
    happened = simulate(Policy(), lambda now, number, random: Response(failed=number % 2 == 0))
    assert happened.count("failure") == happened.count("success") == 120
    with pytest.raises(ConfigError, match="always_failing"):
        simulate(Policy(), "always_failling")
    with pytest.raises(ConfigError, match="every must be a number of seconds > 0"):
        Scenario("x", lambda now, number, random: Response(), every=0)


def test_a_simulated_day_takes_no_time():
    began = time.perf_counter()
    happened = simulate(Policy(), failing_for(3600.0, every=60.0, lasts=86_400.0))
    assert len(happened.calls) == 1440
    assert time.perf_counter() - began < 5


def test_it_is_drawn():
    drawn = simulate(Policy(failure_threshold=3, expiry=20.0), failing_for(30.0, lasts=60.0))
    assert drawn.text(30) == (
        "state |CCCCCCOOOOOOOOOOOOOOOOOOOOCCCC|\ncalls |sssssfrrrrrrrrrfrrrrrrrrrrssss|"
    )


# In words


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy(failure_threshold=1), "Opens after 1 failure in a row."),
        (Policy(trip=CountWindow()), "when 50% of the last 100 calls failed, once there were 10."),
        (Policy(trip=TimeWindow(30)), "when 50% of the calls of the last 30 s failed"),
        (Policy(trip=CountWindow(), slow_after=2), "or 100% of them took 2 s or more"),
        (Policy(slow_after=2), "or 5 calls in a row that take 2 s or more"),
        (Policy(trip=any_of(CountWindow(), ConsecutiveFailures(3))), ", or after 3 failures in a"),
        (Policy(expiry=7), "Stays open for 7 s."),
        (
            Policy(expiry_strategy="progressive"),
            "2 times as long at each opening in a row, at most",
        ),
        (Policy(half_open_wait=3), "Others wait up to 3 s for their verdict."),
        (Policy(initial_state="disabled"), "Begins disabled."),
        (Policy(expiry=max), "Stays open for as long as max says."),
        (Policy(cancel_counts_after=5), "A call cancelled after 5 s is a failure."),
    ],
)
def test_a_policy_is_explained_in_words(policy, words):
    assert words in explain(policy)


@pytest.mark.parametrize(
    ("policy", "option"),
    [
        (Policy(backoff_factor=3), "backoff_factor"),
        (Policy(reset_after=3), "reset_after"),
        (Policy(initial_expiry=3), "initial_expiry"),
        (Policy(expiry_strategy="progressive", jitter=0), "jitter"),
        (Policy(slow_rate=0.5), "slow_rate"),
        (Policy(slow_after=2, slow_rate=0.5), "slow_rate"),
        (Policy(slow_after=70), "slow_after"),
        (Policy(slow_after=5, half_open_timeout=4), "half_open_timeout"),
        (Policy(half_open_max_calls=3), "half_open_max_calls"),
        (Policy(half_open_wait=61), "half_open_wait"),
        (Policy(record=()), "record"),
        (Policy(ignore=OSError, record=ConnectionError), "ignore"),
        (Policy(initial_state="forced_open"), "initial_state"),
        (Policy(failure_threshold=1), "failure_threshold"),
        (Policy(trip=CountWindow(rate=0.1)), "trip"),
        (Policy(trip=any_of(CountWindow(rate=0.1), ConsecutiveFailures(3))), "trip"),
    ],
)
def test_what_is_odd_about_a_policy_is_found(policy, option):
    assert option in [finding.option for finding in lint(policy)]


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(trip=CountWindow(), slow_after=2.0),
        Policy(trip=TimeWindow(), slow_after=2.0, slow_rate=0.5, half_open_wait=1.0),
        Policy(expiry_strategy="progressive", reset_after=60.0),
        Policy(half_open_max_calls=3, success_threshold=3),
    ],
)
def test_nothing_is_odd_about_a_sound_policy(policy):
    assert lint(policy) == ()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: healthy(every=1e-9), "every must be at least lasts / 1000000"),
        (lambda: intermittent("0.5"), "rate must be a number from 0 to 1"),
        (lambda: simulate(Policy(), healthy()).text(10**9), "width must be at most 10000"),
        (lambda: explain(None), "policy must be a brama.Policy"),
        (lambda: lint("strict"), "policy must be a brama.Policy, got: 'strict'"),
    ],
)
def test_what_cannot_be_simulated_or_explained_is_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


def test_the_shortest_of_expiries_keeps_nothing_busy():
    policy = Policy(failure_threshold=1, expiry=1e-6)
    began = time.perf_counter()
    simulate(policy, always_failing(every=30.0))
    assert time.perf_counter() - began < 5.0
