"""What samples say, and when they say nothing."""

from __future__ import annotations

import random

import pytest
from bench.figures import figure, ratio


def test_a_figure_is_the_median_and_one_wild_sample_moves_nothing() -> None:
    calm = [10.0, 10.1, 9.9] * 5
    wild = [*calm, 1e6]

    assert figure(calm).median == 10.0
    assert figure(wild).median == 10.0
    assert not figure(wild).noisy


def test_a_figure_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        figure([])


@pytest.mark.parametrize(
    ("samples", "ranks"),
    # Ranks (from 0) of the 95 % interval of a median, as the tables of the sign test have them.
    [(3, (0, 2)), (6, (0, 5)), (9, (1, 7)), (15, (3, 11)), (25, (7, 17))],
)
def test_the_interval_is_that_of_the_sign_test(samples: int, ranks: tuple[int, int]) -> None:
    found = figure([float(rank) for rank in range(samples)])

    assert (found.low, found.high) == ranks


def test_the_interval_holds_the_true_median_in_nineteen_of_twenty_runs() -> None:
    draw = random.Random(7)
    held = 0
    for _ in range(1000):
        found = figure([draw.gauss(100, 15) for _ in range(15)])
        held += found.low <= 100 <= found.high

    assert held >= 950


def test_a_ratio_is_taken_within_each_round() -> None:
    # The machine is ten times slower in the later rounds, for both alike.
    ours = [1.0] * 10 + [10.0] * 11
    theirs = [2.0] * 10 + [20.0] * 11

    assert figure(ours).noisy
    assert ratio(ours, theirs).median == 0.5
    assert not ratio(ours, theirs).noisy


def test_a_ratio_needs_a_sample_of_each_in_every_round() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])


def test_a_figure_whose_interval_is_wide_is_noisy() -> None:
    draw = random.Random(3)

    assert figure([draw.uniform(1, 10) for _ in range(15)]).noisy
    assert not figure([draw.uniform(9, 10) for _ in range(15)]).noisy


def test_the_spread_is_the_middle_half() -> None:
    assert figure([0.0, 90.0, 100.0, 110.0, 1000.0]).spread == pytest.approx(0.2)


def test_a_quantile_is_what_its_share_of_the_samples_does_not_exceed() -> None:
    found = figure([float(rank) for rank in range(1, 1001)], 0.99)

    assert found.median == 990
    assert found.low < 990 < found.high


def test_the_interval_of_a_quantile_holds_the_true_one_in_nineteen_of_twenty_runs() -> None:
    draw = random.Random(11)
    held = 0
    for _ in range(400):
        found = figure([draw.random() for _ in range(600)], 0.95)
        held += found.low <= 0.95 <= found.high

    assert held >= 375


def test_the_tail_may_be_less_certain_than_the_median() -> None:
    samples = [1.0] * 900 + [10.0 + rank * 0.12 for rank in range(100)]

    assert not figure(samples, 0.99).noisy
    assert figure(samples, 0.99).tolerance > figure(samples).tolerance


def test_thousands_of_samples_overflow_nothing() -> None:
    assert figure([float(rank) for rank in range(5000)]).median == 2499.5
