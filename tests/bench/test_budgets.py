"""Budgets: met, missed, or not told."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from bench.budgets import Budget, Verdict, judge, load
from bench.contest import Contest
from bench.contests import ALL
from bench.document import as_json
from bench.figures import Figure
from bench.rounds import Outcome
from bench.table import rows, table


def outcome(*, ours: Figure, ratio: Figure | None = None) -> Outcome:
    contest = Contest("sync", "a call", lambda _scale: nullcontext([]))
    figures = {"brama": ours}
    if ratio is not None:
        figures["peer"] = ours
    return Outcome(contest, figures, {} if ratio is None else {"peer": ratio}, 1.0, None)


def around(median: float, share: float) -> Figure:
    return Figure(median, median * (1 - share), median * (1 + share), share, 15)


CALM = around(100, 0.01)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (around(0.40, 0.05), Verdict.MET),
        (around(0.60, 0.05), Verdict.MISSED),
        (around(0.49, 0.05), Verdict.CLOSE),
        (around(0.10, 0.30), Verdict.NOISY),
        (around(0.90, 0.30), Verdict.NOISY),
        (None, Verdict.NO_PEER),
    ],
)
def test_a_budget_is_told_by_the_whole_interval(ratio: Figure | None, verdict: Verdict) -> None:
    budget = Budget("sync", against="peer", at_most=0.5)

    assert judge(budget, outcome(ours=CALM, ratio=ratio)) is verdict


@pytest.mark.parametrize(
    ("limit", "verdict"), [(90, Verdict.MET), (120, Verdict.MISSED), (100, Verdict.CLOSE)]
)
def test_a_budget_may_be_a_least(limit: float, verdict: Verdict) -> None:
    assert judge(Budget("sync", at_least=limit), outcome(ours=CALM)) is verdict


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [
        (Budget("sync", at_most=95), Verdict.SLACK),
        (Budget("sync", at_most=89), Verdict.MISSED),
        (Budget("sync", at_most=89, slack=0.2), Verdict.SLACK),
        (Budget("sync", at_most=98, slack=0.0), Verdict.MISSED),
        (Budget("sync", at_least=105), Verdict.SLACK),
        (Budget("sync", at_least=120), Verdict.MISSED),
        (Budget("sync", at_least=120, slack=0.2), Verdict.SLACK),
    ],
)
def test_a_limit_may_be_missed_by_its_slack(budget: Budget, verdict: Verdict) -> None:
    assert judge(budget, outcome(ours=CALM)) is verdict


def test_a_budget_may_be_for_another_figure_than_the_first() -> None:
    found = outcome(ours=CALM)
    found.figures["brama p99"] = around(500, 0.01)  # type: ignore[index]

    assert judge(Budget("sync", contender="brama p99", at_most=400), found) is Verdict.MISSED
    assert judge(Budget("sync", at_most=400), found) is Verdict.MET
    assert judge(Budget("sync", contender="brama p9", at_most=400), found) is Verdict.NO_PEER
    text = table(list(rows(found, [Budget("sync", contender="brama p99", at_most=400)])))
    assert text.splitlines()[-1].split()[0:3] == ["brama", "p99", "500"]
    assert "MISSED" in text.splitlines()[-1]


def test_a_large_limit_is_written_out() -> None:
    assert Budget("burst", at_least=1_000_000).text("/s") == "≥ 1,000,000/s"


def test_a_budget_has_one_limit() -> None:
    with pytest.raises(ValueError, match="at_most or at_least"):
        Budget("sync")
    with pytest.raises(ValueError, match="at_most or at_least"):
        Budget("sync", at_most=1, at_least=1)


def test_a_noisy_ratio_is_printed_nowhere() -> None:
    found = outcome(ours=CALM, ratio=around(0.4321, 0.3))
    budgets = [Budget("sync", against="peer", at_most=0.5)]

    text = table(list(rows(found, budgets)))
    assert "0.43" not in text
    assert "noisy" in text
    assert "too noisy to tell" in text
    document = as_json(found, budgets)
    assert document["ratios"] == {"peer": None}
    assert document["budgets"] == [
        {
            "budget": "≤ 0.5 × peer",
            "beside": "peer",
            "found": None,
            "verdict": "too noisy to tell",
        }
    ]


def test_the_table_shows_each_budget_beside_what_it_limits() -> None:
    found = outcome(ours=CALM, ratio=around(0.4, 0.01))
    budgets = [Budget("sync", against="peer", at_most=0.5), Budget("sync", at_most=50)]

    _header, ours, theirs = table(list(rows(found, budgets))).splitlines()
    assert ours.split() == ["sync", "brama", "100", "ns", "1%", "≤", "50", "ns", "MISSED"]
    assert theirs.split() == [
        "peer",
        "100",
        "ns",
        "1%",
        "0.40",
        "[0.40–0.40]",
        "≤",
        "0.5",
        "×",
        "peer",
        "met",
    ]


def test_a_peer_that_is_not_there_is_named() -> None:
    text = table(list(rows(outcome(ours=CALM), [Budget("sync", against="peer", at_most=1)])))

    assert "peer not installed" in text


def test_the_budgets_on_file_belong_to_contests_that_exist() -> None:
    assert {budget.bench for budget in load()} <= {contest.name for contest in ALL}
    assert len(load()) >= 15


def test_a_budget_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text('[[budget]]\nbench = "sync"\nat_mots = 1\n', encoding="utf-8")

    with pytest.raises(TypeError, match="at_mots"):
        load(file)
