"""The gate: limits on instructions, and what stands in for them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from bench.budgets import Budget, Verdict
from bench.contest import Contest, WorkNotDone
from bench.figures import Figure
from bench.gate import Limit, compare, limits_on_file, retried
from bench.instructions import cost, paths
from bench.rounds import Outcome

CONTEST = Contest("sync", "a call", lambda _scale: nullcontext([]))


def outcome(ratio: float) -> Outcome:
    figure = Figure(100, 99, 101, 0.01, 15)
    near = Figure(ratio, ratio * 0.99, ratio * 1.01, 0.01, 15)
    return Outcome(CONTEST, {"brama": figure, "peer": figure}, {"peer": near}, 1.0, None)


def test_what_two_counts_have_in_common_costs_a_call_nothing() -> None:
    assert cost({300: 1_000_000 + 300 * 3_000, 900: 1_000_000 + 900 * 3_000}) == 3_000


def test_a_path_is_held_to_a_share_of_another() -> None:
    counted = {"sync": 3500.0, "guard": 8100.0, "sync circuitbreaker": 8000.0}
    limits = [Limit("sync", "sync circuitbreaker", 0.5), Limit("guard", "sync circuitbreaker", 1.0)]

    lines, kept = compare(counted, limits)
    assert not kept
    assert lines[0].endswith("at most 0.5: met")
    assert lines[1].endswith("at most 1: MISSED")
    assert compare(counted, limits[:1])[1]


def test_a_path_that_was_not_counted_is_no_pass() -> None:
    with pytest.raises(WorkNotDone, match="'sync circuitbreaker' was not counted"):
        compare({"sync": 3500.0}, [Limit("sync", "sync circuitbreaker", 0.5)])


def test_the_limits_on_file_are_for_paths_that_exist() -> None:
    ours = {name for name in paths() if "circuitbreaker" not in name}

    assert len(limits_on_file()) >= 5
    assert {limit.path for limit in limits_on_file()} <= ours


@pytest.mark.parametrize(
    ("ratios", "verdict", "tries"),
    [
        ([0.9, 0.9, 0.9], Verdict.MISSED, 3),
        ([0.9, 0.9, 0.4], Verdict.MET, 3),
        ([0.4, 0.9, 0.9], Verdict.MET, 1),
    ],
)
def test_a_time_is_missed_when_three_runs_miss_it(
    ratios: list[float], verdict: Verdict, tries: int
) -> None:
    left = list(ratios)
    budget = Budget("sync", against="peer", at_most=0.5)

    assert retried(budget, CONTEST, lambda _contest: outcome(left.pop(0))) is verdict
    assert len(ratios) - len(left) == tries
