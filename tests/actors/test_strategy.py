"""The pure rules of supervision, against OTP's words and a model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brama import BramaError
from brama.actors import Backoff, Crash, Killed, NoProc, Normal, Restart, Shutdown, Strategy
from brama.actors.intensity import Intensity
from brama.actors.strategy import affected, is_expected_end, wants_restart

REASONS = [Normal(), Shutdown(), Shutdown("why"), Crash(ValueError()), Killed(), NoProc()]


@pytest.mark.requirement("actors:restart-types")
@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_permanent_is_always_and_temporary_never_restarted(reason):
    assert wants_restart(Restart.PERMANENT, reason)
    assert not wants_restart(Restart.TEMPORARY, reason)


@pytest.mark.requirement("actors:restart-types")
@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_transient_is_restarted_unless_it_ended_quietly(reason):
    assert wants_restart(Restart.TRANSIENT, reason) == (not isinstance(reason, Normal | Shutdown))


@pytest.mark.requirement("actors:strategies")
def test_each_strategy_takes_its_own_part_of_the_children_in_start_order():
    assert list(affected(Strategy.ONE_FOR_ONE, "abcd", "b")) == ["b"]
    assert list(affected(Strategy.ONE_FOR_ALL, "abcd", "b")) == ["a", "b", "c", "d"]
    assert list(affected(Strategy.REST_FOR_ONE, "abcd", "b")) == ["b", "c", "d"]


@pytest.mark.requirement("actors:ordered-shutdown")
@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize(
    ("reason", "brutal", "expected"),
    [
        (Shutdown(), False, "always"),
        (Shutdown("for a reason of its own"), False, "unless permanent"),
        (Normal(), False, "unless permanent"),
        (Crash(ValueError()), False, "never"),
        (Killed(), False, "never"),
        (Killed(), True, "always"),
        (Shutdown(), True, "unless permanent"),
        (Normal(), True, "unless permanent"),
        (Crash(ValueError()), True, "never"),
    ],
    ids=repr,
)
def test_an_end_that_was_ordered_is_expected_as_in_otps_shutdown(restart, reason, brutal, expected):
    meant = expected == "always" or (
        expected == "unless permanent" and restart is not Restart.PERMANENT
    )
    assert is_expected_end(restart, reason, brutal=brutal) is meant


@pytest.mark.requirement("actors:restart-intensity")
def test_intensity_three_permits_three_restarts_and_refuses_the_fourth():
    intensity = Intensity(3, 5.0)
    assert [intensity.allows(at) for at in (0.0, 1.0, 2.0, 3.0)] == [True, True, True, False]


@pytest.mark.requirement("actors:restart-intensity")
def test_intensity_zero_refuses_the_first_restart():
    assert not Intensity(0, 5.0).allows(0.0)


@pytest.mark.requirement("actors:restart-intensity")
def test_a_restart_exactly_one_period_old_still_counts():
    inclusive, beyond = Intensity(1, 5.0), Intensity(1, 5.0)
    assert inclusive.allows(0.0)
    assert not inclusive.allows(5.0)
    assert beyond.allows(0.0)
    assert beyond.allows(5.000001)


@pytest.mark.requirement("actors:restart-intensity")
@given(
    st.integers(0, 5),
    st.floats(0.1, 10.0),
    st.lists(st.floats(0.0, 4.0), max_size=40),
)
def test_intensity_agrees_with_otps_list_of_instants(limit, period, gaps):
    # OTP's add_restart: prepend now, keep what is within the period, compare the length.
    intensity, model, now = Intensity(limit, period), [], 0.0
    for gap in gaps:
        now += gap
        model = [now, *(at for at in model if at >= now - period)]
        assert intensity.allows(now) == (len(model) <= limit)
        assert intensity.used(now) == len(model)


@given(st.integers(1, 10_000), st.floats(0.0, 0.999))
def test_a_backoff_never_leaves_its_bounds(failures, chance):
    backoff = Backoff(min=0.5, max=20.0, factor=3.0, jitter=0.3)
    assert 0.5 * 0.7 <= backoff.delay(failures, lambda: chance) <= 20.0


def test_a_backoff_grows_by_its_factor_up_to_its_maximum():
    backoff = Backoff(min=1.0, max=6.0, factor=2.0, jitter=0.0)
    assert [backoff.delay(n, lambda: 0.5) for n in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 6.0, 6.0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"min": 0}, "Backoff.min must be a positive number of seconds, got: 0"),
        ({"min": 2, "max": 1}, "Backoff.max must be at least Backoff.min (2.0), got: 1.0"),
        ({"factor": 0.5}, "Backoff.factor must be a number, 1 or more, got: 0.5"),
        ({"jitter": 1}, "Backoff.jitter must be a share from 0 to below 1, got: 1"),
    ],
)
def test_a_wrong_backoff_is_refused_with_the_option_the_expectation_and_the_value(options, text):
    with pytest.raises(BramaError) as caught:
        Backoff(**options)
    assert str(caught.value) == text
